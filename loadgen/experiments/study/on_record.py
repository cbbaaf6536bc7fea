"""What other studies have on record of a study's points: the same runs on the same servers, on the same hardware."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from loadgen.experiments.sweep_record import has_ended, recorded_failure
from loadgen.load.spec import RunSpec
from loadgen.servers.environment import environment
from loadgen.servers.prediction.fitted import SERVER_NAME
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow
from loadgen.study.measured import Series, hardware_label, planned_provenance, series_on
from loadgen.study.points import STUDY_TAG
from loadgen.study.served import served_of
from loadgen.study.variants import StudyVariant

_OF_MEMORY = ("gpu-memory-utilization", "kv-cache-memory-bytes", "max-model-len")
"""Arguments that change whether a model fits, but no figure of one that does."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The studies that have runs on record, by the labels of their servers and the hashes of runs; and servers that lacked memory."""

    runs: Mapping[tuple[str, str], str] = field(default_factory=dict)
    without_memory: Mapping[str, str] = field(default_factory=dict)

    def study_of(self, variant: StudyVariant, run: RunSpec) -> str | None:
        """Return the study that has this run on record, or that could not start its server for lack of memory; None if none has."""
        return self.runs.get((variant.label, run.hash)) or self.without_memory.get(variant.label)


@dataclass(frozen=True, slots=True)
class OnRecord:
    """How many of the `points` other studies have on record in full (`recorded`), which studies (`by`), and the `runs` that are left."""

    points: int
    recorded: int
    by: tuple[str, ...]
    runs: int

    @property
    def sentence(self) -> str:
        """`52 of 64 points are on record, by fig07`."""
        *others, last = self.by
        names = f"{', '.join(others)} and {last}" if others else last
        return f"{self.recorded:,} of {self.points:,} points are on record, by {names}"


def runs_of_others(
    study: str, variants: Collection[StudyVariant], store: Store, gpus: Mapping[str, Sequence[str]]
) -> Recorded:
    """Return the runs on these servers that other studies measured in full, invalid ones left out. Raises StoreError.

    A server that lacked memory is on record with all its runs: no other start would end otherwise.

    `gpus` are the names of the GPUs on which each server, by its label, would be measured now; none: on the processor.
    """
    cpu_model = environment()["cpu_model"]
    series = {
        variant.label: Series(hardware_label(gpus.get(variant.label, ()), cpu_model), planned_provenance(variant))
        for variant in variants
    }
    found: dict[tuple[str, str], str] = {}
    without_memory: dict[str, str] = {}
    for sweep in store.sweeps():
        others = [name for name in _studies(sweep) if name != study]
        served = served_of(sweep.server)
        if not others or served is None or sweep.server["name"] == SERVER_NAME:
            continue
        on = series_on(sweep.server, sweep.environment, is_simulated=sweep.simulated)
        ours = [each for each in variants if each.served.identity == served.identity and series[each.label] == on]
        failure = recorded_failure(sweep)
        if failure is not None and failure.kind.is_memory:
            held = served.identity_by(_OF_MEMORY)
            without_memory |= {each.label: others[0] for each in ours if each.served.identity_by(_OF_MEMORY) == held}
        runs = store.runs(sweep.sweep_id) if ours else []
        for run in runs:
            if has_ended(run) and run["verdict"]["status"] != "invalid":
                found |= {(variant.label, run["spec"]["hash"]): others[0] for variant in ours}
    return Recorded(found, without_memory)


def on_record(recorded: Recorded, points: Sequence[tuple[StudyVariant, Sequence[RunSpec]]]) -> OnRecord | None:
    """Count points, each given by its server and the runs of all its repeats; None if not one run is on record."""
    studies = [[recorded.study_of(variant, run) for run in runs] for variant, runs in points]
    by = sorted({study for each in studies for study in each if study is not None})
    if not by:
        return None
    return OnRecord(
        points=len(studies),
        recorded=sum(1 for each in studies if None not in each),
        by=tuple(by),
        runs=sum(each.count(None) for each in studies),
    )


def repeats_of(first: RunSpec, repeats: int) -> list[RunSpec]:
    """Return the runs of a point, given that of its first repeat."""
    return [replace(first, seed=first.seed + at) for at in range(repeats)]


def _studies(sweep: SweepRow) -> list[str]:
    """The studies for which a sweep was measured, by its tags."""
    tags = sweep.spec.get("tag") or ()
    return [tag.removeprefix(STUDY_TAG) for tag in tags if tag.startswith(STUDY_TAG)]
