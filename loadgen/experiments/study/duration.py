"""How long the runs of a study take: as long as runs on record, else as a prediction on record, else at least the roofline's bound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from loadgen.analysis.server.served_gpus import gpu_names
from loadgen.errors import ModelError
from loadgen.experiments.estimate import stated_s, thinking_s
from loadgen.load.spec import RunSpec
from loadgen.moe.bounds import closed_loop_cycle_bound_s, wave_bound
from loadgen.moe.hardware import Hardware, known_hardware
from loadgen.moe.roofline import Roofline
from loadgen.moe.step_work import Precisions
from loadgen.servers.profiles.command import arguments
from loadgen.servers.profiles.layout import layout
from loadgen.spec.runs import resolved_warmup_requests
from loadgen.store.repository import Store
from loadgen.study.measured import MeasuredPoint, Provenance, measured_points
from loadgen.study.points import Point
from loadgen.study.served import served_of
from loadgen.study.variants import StudyVariant

ASSUMED_START_S = 120.0
"""Seconds of a start that is not on record. Those in results/ took 79 to 161 s, with made-up weights."""

Basis = Literal["earlier", "predicted", "stated", "bound", "assumed"]
"""Runs or starts on record; a prediction on record; the spec; the least that the hardware allows; no record of a start."""

_BASES: Mapping[Provenance, Basis] = {
    "measured": "earlier",
    "dummy": "earlier",
    "simulated": "predicted",
    "dummy_routed": "earlier",  # whose routers may choose the same few experts for all tokens
    "tiny": "earlier",  # of a tiny model alone: it is no variant of a study at full size
}
"""In order of preference."""


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds and their basis; without them, `unknown` says why."""

    seconds: float | None
    basis: Basis | None = None
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is on record on one kind of accelerator: the runs of points, and the starts of servers, by identity."""

    runs: Mapping[object, tuple[float, Basis]]  # seconds of one run without its warm-up, by the id of the point
    starts: Mapping[object, float]

    def start_of(self, variant: StudyVariant) -> Duration:
        """How long the last start of a server took, else an assumption; 0 for the simulator, and for a server that loadgen does not start."""
        if variant.variant.served.profile.launcher in ("external", "simulator"):
            return Duration(0.0, "stated")
        found = self.starts.get(variant.served.identity)
        return Duration(ASSUMED_START_S, "assumed") if found is None else Duration(found, "earlier")


def earlier(points: Sequence[Point], store: Store | None, on: Hardware) -> Earlier:
    """Read the durations of runs and starts that `store` has of `points` on an accelerator. Raises StoreError."""
    if store is None:
        return Earlier({}, {})
    ours = {point.variant.served.identity: point.variant for point in points}
    runs, starts = [], dict[object, float]()
    for sweep in store.sweeps():  # the newest first
        served = served_of(sweep.server)
        variant = None if served is None else ours.get(served.identity)
        if served is None or variant is None:
            continue
        if variant.stands_for is None and not _is_on(gpu_names({"server": sweep.server}), on):
            continue
        startup_s = (sweep.server.get("launch") or {}).get("startup_s")
        if startup_s is not None and not sweep.simulated:
            starts.setdefault(served.identity, startup_s)
        runs += store.runs(sweep.sweep_id)
    found: dict[object, tuple[float, Basis]] = {}
    for measured in sorted(measured_points(points, runs), key=_preference):
        basis = _BASES.get(measured.series.provenance)
        if basis is not None:
            found.setdefault(id(measured.point), (_elapsed_s(measured), basis))
    return Earlier(found, starts)


@dataclass(frozen=True, slots=True)
class Timing:
    """What tells the time of one server's runs: those on record, else its ideal roofline, else why it has none."""

    earlier: Earlier
    roofline: Roofline | None
    unknown: str | None = None

    @classmethod
    def of(cls, variant: StudyVariant, earlier: Earlier, on: Hardware) -> "Timing":
        """Return what is known of a server on an accelerator."""
        try:
            return cls(earlier, _roofline_of(variant, on))
        except (ModelError, UnknownTimeError) as error:
            return cls(earlier, None, str(error))

    def of_run(self, point: Point) -> Duration:
        """Return how long one run of a point takes, its warm-up included."""
        run = point.run
        measuring = self.earlier.runs.get(id(point))
        if measuring is not None:
            warmup_ratio = resolved_warmup_requests(run) / (run.planned_requests() or 1)
            return Duration(measuring[0] * (1 + warmup_ratio), measuring[1])
        stated = stated_s(run)
        try:
            warmup_s = self._bound_s(run, resolved_warmup_requests(run))
            if stated is not None:
                return Duration(stated + warmup_s, "stated")
            return Duration(warmup_s + self._bound_s(run, run.planned_requests() or 0) + thinking_s(run), "bound")
        except UnknownTimeError as error:
            return Duration(stated, "stated") if stated is not None else Duration(None, unknown=str(error))

    def _bound_s(self, run: RunSpec, requests: int) -> float:
        """The least that this many requests take, in rounds of those in flight at once. Raises UnknownTimeError."""
        if self.roofline is None:
            raise UnknownTimeError(self.unknown)
        if run.workload.images is not None:
            raise UnknownTimeError("the roofline does not cover encoding images")
        if run.input_tokens is None:
            raise UnknownTimeError("the lengths of its prompts are not stated")
        at_once = min(requests, run.concurrency or run.shape.batch_size or requests)
        if not at_once:
            return 0.0
        if run.shape.batch_size is not None:
            round_s = wave_bound(self.roofline, at_once, run.input_tokens, run.output_tokens).e2e_s
        else:
            round_s = closed_loop_cycle_bound_s(self.roofline, at_once, run.input_tokens, run.output_tokens)
        return round_s * requests / at_once


class UnknownTimeError(Exception):
    """The roofline says nothing of a server or of a load; the message says why."""


def _roofline_of(variant: StudyVariant, on: Hardware) -> Roofline:
    profile, architecture = variant.variant.served.profile, variant.served.architecture
    if profile.launcher == "external":
        raise UnknownTimeError("loadgen does not start this server")
    if variant.stands_for is not None:
        raise UnknownTimeError("no run of this tiny model is on record, and a processor has no roofline here")
    if architecture is None:
        raise UnknownTimeError(f"the architecture of {profile.model} is not known")
    found = layout(arguments(profile))
    if found.precision is None:
        raise UnknownTimeError("the precision of its weights is not known")
    if "draft_model" in variant.served.coordinates:
        raise UnknownTimeError("acceptance of drafted tokens is known only from measuring")
    return Roofline(
        architecture,
        on,
        parallelism=found.parallelism,
        precisions=Precisions(found.precision, found.kv_precision),
    )


def _elapsed_s(measured: MeasuredPoint) -> float:
    """The median over runs, in proportion to their requests."""
    planned = measured.point.run.planned_requests()
    return median(
        run["elapsed_s"] * (planned or 1) / (run["spec"].get("requests") or planned or 1) for run in measured.runs
    )


def _preference(measured: MeasuredPoint) -> int:
    order = list(_BASES)
    return order.index(measured.series.provenance) if measured.series.provenance in order else len(order)


def _is_on(names: Sequence[str] | None, on: Hardware) -> bool:
    """Whether GPUs by these names are all of one kind."""
    return names is not None and {known_hardware(name) for name in names} == {on}
