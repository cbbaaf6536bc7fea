"""Predictions next to measurements: how far apart the two are at the points that have both, on the same hardware."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from loadgen.report.points import pool
from loadgen.report.study.results import SeriesResults, StudyResults
from loadgen.study.accuracy import STUDY_FIGURES
from loadgen.study.measured import MeasuredPoint, Series

_MEASURED = ("measured", "dummy", "dummy_routed")
_COMPARED = (("output_tokens_per_s", "p50"), ("ttft_s", "p50"), ("tpot_s", "p50"), ("e2e_latency_s", "p50"))


@dataclass(frozen=True, slots=True)
class Agreement:
    """One figure of one hardware over some points. Ratios are |predicted/measured - 1|."""

    hardware: str
    measured: Series
    figure: str
    points: int
    median_ratio: float
    max_ratio: float


def agreements(results: StudyResults) -> tuple[Agreement, ...]:
    """One for throughput and each latency, and each series that was both measured and predicted.

    Throughput by the paper's formula is left out: its error is that of output throughput.
    """
    predicted = {each.series.hardware: _by_point(each) for each in results.by_series if _is(each, ("simulated",))}
    found: list[Agreement] = []
    for each in results.by_series:
        if _is(each, _MEASURED) and each.series.hardware in predicted:
            found += _of_series(each, predicted[each.series.hardware])
    return tuple(found)


def _is(results: SeriesResults, provenances: Iterable[str]) -> bool:
    return results.series.provenance in provenances


def _by_point(results: SeriesResults) -> dict[int, MeasuredPoint]:
    return {id(point.point): point for point in results.points}


def _of_series(measured: SeriesResults, predicted: Mapping[int, MeasuredPoint]) -> Iterable[Agreement]:
    for key, statistic in _COMPARED:
        off = [
            abs(theirs / ours - 1)
            for point in measured.points
            if (other := predicted.get(id(point.point))) is not None
            and (ours := _mean(point, key, statistic)) is not None
            and (theirs := _mean(other, key, statistic)) is not None
            and ours > 0
        ]
        if off:
            series, name = measured.series, STUDY_FIGURES[key].name(statistic)
            yield Agreement(
                series.hardware, series, name, len(off), median_ratio=statistics.median(off), max_ratio=max(off)
            )


def _mean(point: MeasuredPoint, key: str, statistic: str) -> float | None:
    pooled = pool(point.values(key, statistic))
    return None if pooled is None else pooled.mean
