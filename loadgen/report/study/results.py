"""What the store has of a study: its measured points, by series, and the verdicts that they give."""

from collections.abc import Iterable
from dataclasses import dataclass

from loadgen.servers.launcher.failure import FailureKind
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow
from loadgen.study.judge import Evidence, Judgement, Verdict, judge
from loadgen.study.measured import FailedVariant, MeasuredPoint, Series, measured_points, series_on
from loadgen.study.points import Point, compared_points, points_of
from loadgen.study.served import served_of
from loadgen.study.study_file import StudyFile
from loadgen.study.variants import StudyVariant, variants_of

VERDICTS: tuple[Verdict, ...] = ("holds", "does_not_hold", "inconclusive", "not_testable", "not_measured")


@dataclass(frozen=True, slots=True)
class SeriesResults:
    """What one series shows of a study: hardware and provenance, its points, failed starts, and a verdict for each claim."""

    series: Series
    points: tuple[MeasuredPoint, ...]
    failed: tuple[FailedVariant, ...]
    judgements: tuple[Judgement, ...]

    def count(self, verdict: Verdict) -> int:
        """How many claims have this verdict."""
        return sum(1 for each in self.judgements if each.verdict == verdict)


@dataclass(frozen=True, slots=True)
class StudyResults:
    """A study and all that the store has of it. `by_series` is empty if nothing of it was measured."""

    file: StudyFile
    variants: tuple[StudyVariant, ...]
    points: tuple[Point, ...]  # planned
    by_series: tuple[SeriesResults, ...]
    unmeasured: tuple[Judgement, ...]  # verdicts on its claims without any measured point: those about sizes of models

    @property
    def cannot_run(self) -> tuple[StudyVariant, ...]:
        """Servers of the study that nobody can start."""
        return tuple(variant for variant in self.variants if variant.cannot_run is not None)


def study_results(file: StudyFile, store: Store) -> StudyResults:
    """Read what the store has of a study. Raises UsageError for a mistake in its file, StoreError."""
    variants = variants_of(file)
    points = points_of(file, variants) if variants else ()
    others = compared_points(file)
    every = store.sweeps()
    sweeps = _sweeps_of(variants, every)
    measured = _by_series(points, sweeps, store)
    compared = _by_series(others, _sweeps_of((point.variant for point in others), every), store)
    failed = _failures(points, sweeps)
    found = sorted({*measured, *(each.series for each in failed)})
    return StudyResults(
        file,
        variants,
        points,
        tuple(
            _series_results(file, series, measured.get(series, ()), compared=compared.get(series, ()), failed=failed)
            for series in found
        ),
        tuple(judge(claim, Evidence(())) for claim in file.study.claims),
    )


def _by_series(
    points: tuple[Point, ...], sweeps: Iterable[tuple[SweepRow, object]], store: Store
) -> dict[Series, list[MeasuredPoint]]:
    runs = [run for sweep, _ in sweeps if sweep.runs for run in store.runs(sweep.sweep_id)]
    found: dict[Series, list[MeasuredPoint]] = {}
    for point in measured_points(points, runs):
        found.setdefault(point.series, []).append(point)
    return found


def _series_results(
    file: StudyFile,
    series: Series,
    points: Iterable[MeasuredPoint],
    compared: Iterable[MeasuredPoint],
    failed: Iterable[FailedVariant],
) -> SeriesResults:
    measured, ours = tuple(points), tuple(each for each in failed if each.series == series)
    started = {point.point.variant.label: (point.point, True) for point in measured}
    not_started = {each.point.variant.label: (each.point, False) for each in ours if each.is_memory}
    evidence = Evidence((*measured, *compared), tuple({**started, **not_started}.values()))
    return SeriesResults(series, measured, ours, tuple(judge(claim, evidence) for claim in file.study.claims))


def _sweeps_of(variants: Iterable[StudyVariant], sweeps: Iterable[SweepRow]) -> list[tuple[SweepRow, object]]:
    """The sweeps on one of the study's variants, each with the variant's identity."""
    ours = {variant.served.identity for variant in variants}
    served = ((sweep, served_of(sweep.server)) for sweep in sweeps)
    return [(sweep, each.identity) for sweep, each in served if each is not None and each.identity in ours]


def _failures(points: Iterable[Point], sweeps: Iterable[tuple[SweepRow, object]]) -> tuple[FailedVariant, ...]:
    """The newest failed start of each variant in each series, unless a later start succeeded."""
    first: dict[object, Point] = {}
    for point in points:
        first.setdefault(point.variant.served.identity, point)
    newest: dict[tuple[Series, object], SweepRow] = {}
    for sweep, identity in sweeps:  # the newest first
        newest.setdefault((series_on(sweep.server, sweep.environment, is_simulated=sweep.simulated), identity), sweep)
    return tuple(
        FailedVariant(
            first[identity], series, FailureKind(sweep.start_failure["kind"]).is_memory, sweep.start_failure["sentence"]
        )
        for (series, identity), sweep in newest.items()
        if sweep.start_failure is not None
    )
