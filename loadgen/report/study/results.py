"""What the store has of a study: its measured points, by series, and the verdicts that they give."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from loadgen.errors import LoadgenError, UsageError
from loadgen.moe.hardware import hardware
from loadgen.report.study.record import Identity, PlannedStudy, Record
from loadgen.report.study.sources import SeriesSource, source_of
from loadgen.servers.launcher.failure import FailureKind
from loadgen.servers.profiles.checks import resources
from loadgen.servers.profiles.memory_fit import GB
from loadgen.store.rows import SweepRow
from loadgen.study.claims import Claim
from loadgen.study.judge import Evidence, Judgement, Verdict, judge
from loadgen.study.measured import (
    FailedVariant,
    MeasuredPoint,
    PlannedPoint,
    Provenance,
    Series,
    as_planned,
    measured_points,
    series_on,
    with_accuracy,
    without_outliers,
)
from loadgen.study.points import Point
from loadgen.study.study_file import StudyFile
from loadgen.study.variants import StudyVariant

VERDICTS: tuple[Verdict, ...] = ("holds", "does_not_hold", "inconclusive", "not_testable", "not_measured")
STRENGTH: tuple[Provenance, ...] = ("measured", "dummy", "simulated", "dummy_routed")
"""Whose verdict stands, the strongest first. Made-up routers may use a few experts only, which a prediction does not; a tiny
model stands in for the one that a claim is about: its verdicts do not count."""

_WITH_VERDICT = ("holds", "does_not_hold", "inconclusive")


@dataclass(frozen=True, slots=True)
class SeriesResults:
    """What one series shows of a study: its points, what did not start or cannot fit, and a verdict for each claim."""

    series: Series
    points: tuple[MeasuredPoint, ...]
    failed: tuple[FailedVariant, ...]
    cannot_fit: dict[str, str]  # by server: why it does not fit in the memory of an accelerator, by arithmetic
    judgements: tuple[Judgement, ...]
    source: SeriesSource

    @property
    def planned_found(self) -> int:
        """How many points of the plan it has; one on other GPUs than planned may stand for a point, or stand next to it."""
        return len({(each.point.variant.label, each.point.load, each.point.run.hash) for each in self.points})


@dataclass(frozen=True, slots=True)
class Standing:
    """The verdict on a claim by the strongest series that has one; `series` is None if it needs none or none has.

    A series that has too little for a verdict gives way to a weaker one that has enough.
    """

    judgement: Judgement
    series: Series | None

    @property
    def claim(self) -> Claim:
        return self.judgement.claim


@dataclass(frozen=True, slots=True)
class StudyResults:
    """A study and all that the store has of it. `by_series` is empty if nothing of it was measured.

    `standing` has the verdict on each claim, in the order of the study.
    """

    file: StudyFile
    variants: tuple[StudyVariant, ...]
    points: tuple[Point, ...]  # planned
    by_series: tuple[SeriesResults, ...]  # the strongest first
    unmeasured: tuple[Judgement, ...]  # verdicts on its claims without any measured point: those about sizes of models
    standing: tuple[Standing, ...]
    running: tuple[SweepRow, ...] = ()  # sweeps on its servers that are being measured

    @property
    def cannot_run(self) -> tuple[StudyVariant, ...]:
        return tuple(variant for variant in self.variants if variant.cannot_run is not None)


def of_series(results: StudyResults, keys: Collection[str]) -> StudyResults:
    """The same with the series of these keys alone, and with the verdicts that stand on them."""
    kept = tuple(each for each in results.by_series if each.series.key in keys)
    return replace(results, by_series=kept, standing=standings(results.unmeasured, kept))


def results_of(planned: PlannedStudy, record: Record | None) -> StudyResults:
    """Read what the record has of a study; without a record, nothing was measured. Raises StoreError."""
    points: dict[Series, list[MeasuredPoint]] = {}
    beside: dict[Series, list[MeasuredPoint]] = {}
    failed: tuple[FailedVariant, ...] = ()
    running: tuple[SweepRow, ...] = ()
    if record is not None and planned.points:
        if record.has_tiny_models and not planned.tiny:
            planned = planned.with_tiny_models()
        sweeps = record.sweeps_on(point.variant for point in planned.all_points)
        runs = [run for sweep, _ in sweeps if sweep.runs for run in record.runs(sweep.sweep_id)]
        for each in measured_points(planned.own, runs):
            points.setdefault(each.series, []).append(each)
        for each in measured_points(planned.others, runs):
            beside.setdefault(each.series, []).append(each)
        evaluated = {sweep.sweep_id: sweep.accuracy for sweep, _ in sweeps if sweep.accuracy}
        if evaluated:
            points = {series: with_accuracy(each, evaluated) for series, each in points.items()}
        ours = record.sweeps_on(point.variant for point in planned.own)
        failed = _failures(planned.own, ours)
        running = tuple(sweep for sweep, _ in ours if sweep.status == "running")
    found = sorted(
        {*points, *(each.series for each in failed)}, key=lambda series: _rank(series, len(points.get(series, ())))
    )
    by_series = tuple(
        _series_results(planned, series, points.get(series, []), beside.get(series, []), failed=failed)
        for series in found
    )
    nothing = Evidence((), (), _to_measure(planned, Series("any hardware", "measured")))
    unmeasured = tuple(judge(claim, nothing) for claim in planned.file.study.claims)
    standing = standings(unmeasured, by_series)
    return StudyResults(planned.file, planned.variants, planned.points, by_series, unmeasured, standing, running)


def _rank(series: Series, points: int) -> tuple[object, ...]:
    """The strongest provenance first, then the series with most points."""
    strength = STRENGTH.index(series.provenance) if series.provenance in STRENGTH else len(STRENGTH)
    return strength, -points, series


def _series_results(
    planned: PlannedStudy,
    series: Series,
    points: Sequence[MeasuredPoint],
    beside: Sequence[MeasuredPoint],
    *,
    failed: Iterable[FailedVariant],
) -> SeriesResults:
    ours = tuple(each for each in failed if each.series == series)
    memory = _memory_on(series.hardware, planned.variants)
    fits = _fits(planned.own, memory, points=points, failed=ours)
    judged = tuple(without_outliers((*points, *beside)))
    evidence = Evidence(judged, fits, _to_measure(planned, series))
    judgements = tuple(judge(claim, evidence) for claim in planned.file.study.claims)
    cannot_fit = {label: problem for label, problem in memory.items() if problem is not None}
    return SeriesResults(series, tuple(points), ours, cannot_fit, judgements, source_of(points))


def _memory_on(hardware_name: str, variants: Iterable[StudyVariant]) -> dict[str, str | None]:
    """By the servers whose memory is known on this accelerator: why it does not fit, None if it does. Empty if it is not known."""
    try:
        gpu_memory_gb = hardware(hardware_name).memory_bytes / GB
    except UsageError:
        return {}
    found: dict[str, str | None] = {}
    for variant in variants:
        profile = variant.variant.served.profile
        if profile.needs is None:
            continue
        needs = profile.needs.model_copy(update={"gpu_memory_gb": gpu_memory_gb})
        with suppress(LoadgenError):  # a layout that cannot be
            memory = resources(profile.model_copy(update={"needs": needs}), None)
            if memory is not None:
                found[variant.label] = memory.problem
    return found


def _to_measure(planned: PlannedStudy, series: Series) -> tuple[PlannedPoint, ...]:
    return (*as_planned(planned.points, series), *as_planned(planned.beside, series))


def _fits(
    planned: Iterable[Point],
    memory: Mapping[str, str | None],
    *,
    points: Iterable[MeasuredPoint],
    failed: Iterable[FailedVariant],
) -> tuple[tuple[Point, bool], ...]:
    """For each server whether it fits: as it started or did not, else by arithmetic."""
    first: dict[str, Point] = {}
    for point in planned:
        first.setdefault(point.variant.label, point)
    known = {label: problem is None for label, problem in memory.items() if label in first}
    known |= {each.point.variant.label: False for each in failed if each.is_memory}
    known |= {each.point.variant.label: True for each in points}
    return tuple((first[label], fits) for label, fits in known.items())


def standings(unmeasured: Iterable[Judgement], by_series: Iterable[SeriesResults]) -> tuple[Standing, ...]:
    """The verdict that stands on each claim, by series that come the strongest first."""
    counting = [each for each in by_series if each.series.provenance in STRENGTH]
    standing_on: list[Standing] = []
    for at, judged in enumerate(unmeasured):
        standing = Standing(judged, None)
        if judged.verdict == "not_measured":
            found = [each for each in counting if each.judgements[at].verdict in _WITH_VERDICT]
            found.sort(key=lambda each: each.judgements[at].has_too_little)
            standing = Standing(found[0].judgements[at], found[0].series) if found else standing
        standing_on.append(standing)
    return tuple(standing_on)


def _failures(points: Iterable[Point], sweeps: Iterable[tuple[SweepRow, Identity]]) -> tuple[FailedVariant, ...]:
    """The newest failed start of each variant in each series, unless a later start succeeded."""
    first: dict[Identity, Point] = {}
    for point in points:
        first.setdefault(point.variant.served.identity, point)
    newest: dict[tuple[Series, Identity], SweepRow] = {}
    for sweep, identity in sweeps:  # the newest first
        newest.setdefault((series_on(sweep.server, sweep.environment, is_simulated=sweep.simulated), identity), sweep)
    return tuple(
        FailedVariant(
            first[identity], series, FailureKind(sweep.start_failure["kind"]).is_memory, sweep.start_failure["sentence"]
        )
        for (series, identity), sweep in newest.items()
        if sweep.start_failure is not None
    )
