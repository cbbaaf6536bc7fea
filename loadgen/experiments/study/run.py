"""Run a study: one start for each of its servers, every load on it, each run saved as it ends.

A study on record is a group of sweeps, one for each load on each server, so that everything that shows, compares or exports
a group does so with a study.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from loadgen.checkpoints.card import FILE
from loadgen.checkpoints.prune import prune
from loadgen.errors import ServerError, UsageError
from loadgen.experiments.events import CheckpointPruning, OnEvent
from loadgen.experiments.group import GroupResult, run_group
from loadgen.experiments.interrupts import Stop
from loadgen.experiments.study.on_record import OnRecord, Recorded, on_record, runs_of_others
from loadgen.experiments.sweep_request import PlannedSweep, planned_on
from loadgen.load.spec import RunSpec
from loadgen.servers.gpu.watch import installed_gpus, visible_with
from loadgen.servers.launcher.failure import FailureKind, StartFailure
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.preflight import check
from loadgen.servers.launcher.readiness import NotReady, RequestRefused, ask, key_headers
from loadgen.servers.launcher.variant import Variant
from loadgen.spec.runs import resolve
from loadgen.store.repository import Store
from loadgen.study.claims import Value, Where
from loadgen.study.points import Point, is_at, load_specs, points_of
from loadgen.study.pruned import PrunedCheckpoint
from loadgen.study.study_file import StudyFile
from loadgen.study.variants import StudyVariant

NOT_RECORDED = Recorded()


@dataclass(frozen=True, slots=True)
class PlannedLoad:
    """One load of a study on one of its servers: a sweep."""

    variant: StudyVariant
    sweep: PlannedSweep
    coordinates: Mapping[str, Mapping[str, Value]]  # of each point, by the hash of its load point

    @property
    def is_ours(self) -> bool:
        return self.sweep.variant is not None and self.sweep.variant.profile.launcher != "external"

    def has(self, run: RunSpec, only: Where, recorded: Recorded) -> bool:
        """Whether a run of it is at `only`, and not recorded by another study."""
        return is_at(self.coordinates[run.point.hash], only) and recorded.study_of(self.variant, run) is None

    def runs(self, only: Where, recorded: Recorded) -> list[RunSpec]:
        """Its runs at `only` that are not recorded by another study."""
        return [run for run in resolve(self.sweep.spec) if self.has(run, only, recorded)]


def planned_loads(file: StudyFile, variants: Sequence[StudyVariant], url: str | None = None) -> tuple[PlannedLoad, ...]:
    """Every load on every server that can be started, by server; with `url`, on the one that runs there.

    Raises UsageError when the study has no server, or at a URL more than the one variant that it can be.
    """
    can_run = [variant for variant in variants if variant.cannot_run is None]
    if not file.study.needs_server:
        raise UsageError(
            f"the study {file.study.name} is arithmetic and needs no server; `loadgen study report` shows it"
        )
    if not variants:
        raise UsageError(
            f"no server of the study {file.study.name} is at --only; `loadgen study show {file.study.name}` lists them"
        )
    if not can_run:
        raise UsageError(f"no server of the study {file.study.name} can be started: {variants[0].cannot_run}")
    if url is not None and len(can_run) > 1:
        raise UsageError(
            f"--url is one server, and {file.study.name} has {len(can_run)}: say with --only which it is, "
            f"such as --only profile={can_run[0].variant.name}"
        )
    return tuple(load for variant in can_run for load in _loads_on(file, variant, url))


def _loads_on(file: StudyFile, variant: StudyVariant, url: str | None) -> Iterator[PlannedLoad]:
    """The study's loads on one server, which runs at `url` if that is given."""
    server = variant.variant if url is None else running_at(url, variant.variant)
    points = points_of(file, (variant,))
    for at, spec in enumerate(load_specs(file, replace(variant, variant=server))):
        runs = (run for run in resolve(spec) if run.seed == spec.seed)
        ours = (point.coordinates for point in points if point.load == at)
        coordinates = {run.point.hash: each for run, each in zip(runs, ours, strict=True)}
        yield PlannedLoad(variant, planned_on(server, spec), coordinates)


def recorded_here(file: StudyFile, loads: Sequence[PlannedLoad], store: Store) -> Recorded:
    """Return the runs that other studies have on record of what this machine would measure. Raises StoreError."""
    variants = list({id(load.variant): load.variant for load in loads}.values())
    installed = installed_gpus()
    gpus = {
        variant.label: [gpu.name for gpu in visible_with(variant.variant.served.profile.environment, installed)]
        for variant in variants
        if (needs := variant.variant.served.profile.needs) is not None and needs.gpus
    }
    return runs_of_others(file.study.name, variants, store, gpus)


def on_record_at(loads: Sequence[PlannedLoad], only: Where, recorded: Recorded) -> OnRecord | None:
    """Return how many of the points at `only` other studies have on record; None if not one run is."""
    points = []
    for load in loads:
        by_point: dict[str, list[RunSpec]] = {}
        for run in load.runs(only, NOT_RECORDED):
            by_point.setdefault(run.point.hash, []).append(run)
        points += [(load.variant, runs) for runs in by_point.values()]
    return on_record(recorded, points)


def check_can_start(points: Sequence[Point]) -> None:
    """Raise UsageError, with the first reason, if no server of these points can be started."""
    if points and all(point.variant.cannot_run is not None for point in points):
        first = points[0].variant
        raise UsageError(f"{first.label} cannot be started: {first.cannot_run}")


def at_only(variants: Sequence[StudyVariant], only: Where) -> tuple[StudyVariant, ...]:
    """Return the variants that `only` leaves; a coordinate of the load says nothing of a server."""
    of_server = {key: value for key, value in only.items() if any(key in each.coordinates for each in variants)}
    return tuple(variant for variant in variants if is_at(variant.coordinates, of_server))


def running_at(url: str, variant: Variant) -> Variant:
    """The same variant as a server that somebody else started at `url`."""
    served = variant.served
    outside = served.profile.model_copy(update={"name": variant.label, "launcher": "external", "url": url})
    return replace(variant, file=replace(served, profile=outside), overrides=type(variant.overrides)())


def run_study(
    loads: Sequence[PlannedLoad],
    store: Store,
    *,
    environ: Mapping[str, str],
    stop: Stop,
    on_event: OnEvent,
    only: Where | None = None,
    recorded: Recorded = NOT_RECORDED,
    resume: bool = False,
) -> GroupResult:
    """Measure the runs at `only` (None: all), or with `resume` those of them that the newest run of the study lacks.

    Those that are `recorded` by other studies are left out; at least one has to be left.
    A server that does not start is a result: its sweep is on record without runs, with the reason. Raises what `run_group`
    raises, StartFailure where none of the servers can be started on this machine, and ServerError or UsageError, with nothing
    on record, where a server that somebody else started does not answer or refuses a request.
    """
    due = {at for at, load in enumerate(loads) if load.runs(only or {}, recorded)}
    if not due:
        raise UsageError(
            f"no point of the study is at --only {', '.join(f'{key}={value}' for key, value in (only or {}).items())}"
        )
    make_checkpoints([load.variant.checkpoint for at, load in enumerate(loads) if at in due and load.is_ours], on_event)
    if not resume:
        _check_machine(
            [load.sweep.variant for at, load in enumerate(loads) if at in due and load.sweep.variant is not None]
        )
    return run_group(
        [load.sweep for load in loads],
        store,
        environ=environ,
        stop=stop,
        on_event=on_event,
        resume=resume,
        wanted=lambda at, run: loads[at].has(run, only or {}, recorded),
    )


def _check_machine(variants: Sequence[Variant]) -> None:
    """Raise StartFailure if this machine can start none of the servers; ServerError or UsageError if one that is not its own does not answer."""
    failures: list[StartFailure] = []
    for variant in variants:
        launch = variant.launch()
        if launch.kind == "external":
            _check_answers(launch)
            return
        try:
            check(launch)
        except StartFailure as failure:
            failures.append(failure)
        else:
            return
    first = failures[0]
    hint = "; `loadgen study predict` needs no server, and `--scale tiny` no GPU"
    raise StartFailure(
        first.kind,
        f"none of these servers can be started here: {first.sentence}"
        + (hint if first.kind is FailureKind.TOO_FEW_GPUS else ""),
    )


def _check_answers(launch: Launch) -> None:
    try:
        ask(launch.url, launch.model, launch.endpoint, key_headers(launch.api_key_env))
    except NotReady as error:
        raise ServerError(str(error)) from error
    except RequestRefused as error:
        raise UsageError(str(error)) from error


def make_checkpoints(checkpoints: Iterable[PrunedCheckpoint | None], on_event: OnEvent) -> None:
    """Prune each checkpoint to its own folder, unless that was done since the source was written.

    Raises UsageError for one that cannot be made.
    """
    for checkpoint in dict.fromkeys(each for each in checkpoints if each is not None):
        if _is_there(checkpoint):
            continue
        if checkpoint.target.exists():
            shutil.rmtree(checkpoint.target)
        on_event(CheckpointPruning(checkpoint.source, checkpoint.target))
        prune(checkpoint.source, checkpoint.target, checkpoint.pruning)


def _is_there(checkpoint: PrunedCheckpoint) -> bool:
    """Whether the folder was made of the source as it is now. Raises UsageError for a folder that is something else."""
    card = checkpoint.target / FILE
    if not checkpoint.target.exists():
        return False
    try:
        made = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{checkpoint.target} is no checkpoint that loadgen has pruned; move it away") from None
    pruning = checkpoint.pruning
    is_alike = (made.get("kind"), made.get("ratio"), made.get("rule")) == (pruning.kind, pruning.ratio, pruning.rule)
    newest_s = max(path.stat().st_mtime for path in checkpoint.source.iterdir())
    return is_alike and newest_s <= card.stat().st_mtime
