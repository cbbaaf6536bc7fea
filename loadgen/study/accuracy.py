"""Accuracy as a figure of points: the mean over tasks of what evaluations of a server found, with its interval.

It is of a server, not of a run: every load on a server has the same.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadgen.analysis.compare import Answer
from loadgen.analysis.figure_table import FIGURES
from loadgen.analysis.figures.figure import Figure
from loadgen.store.rows import AccuracyRow

ACCURACY = Figure(
    key="accuracy",
    label="Accuracy",
    unit="ratio",
    better="higher",
    formula="mean over the tasks that all compared servers were evaluated on",
)
STUDY_FIGURES: Mapping[str, Figure] = {**FIGURES, ACCURACY.key: ACCURACY}
"""What a panel can draw and a claim can be about."""

_FIRST = ("acc", "exact_match", "Overall")
"""Which metric of a task counts in the mean, the first that it has."""

_Z_95 = 1.959964  # of the standard normal distribution


@dataclass(frozen=True, slots=True)
class MeanAccuracy:
    """The mean over tasks, from 0 to 1, with its 95 % interval: None if no standard error of a task is known."""

    value: float
    low: float | None
    high: float | None
    tasks: tuple[str, ...]


def newest_results(rows: Iterable[AccuracyRow]) -> list[AccuracyRow]:
    """The newest result of each task and metric, in the order in which the tasks were first evaluated."""
    found: dict[tuple[str, str], AccuracyRow] = {}
    for row in rows:
        before = found.get((row.task, row.metric))
        if before is None or row.measured_at >= before.measured_at:
            found[row.task, row.metric] = row
    return list(found.values())


def by_task(rows: Iterable[AccuracyRow]) -> dict[str, AccuracyRow]:
    """The metric of each task that counts in a mean: a share of right answers, the newest."""
    found: dict[str, AccuracyRow] = {}
    for row in newest_results(rows):
        before = found.get(row.task)
        if 0 <= row.value <= 1 and (before is None or _rank(row) < _rank(before)):
            found[row.task] = row
    return found


def _rank(row: AccuracyRow) -> int:
    return _FIRST.index(row.metric) if row.metric in _FIRST else len(_FIRST)


def mean_accuracies(evaluated: Mapping[str, Sequence[AccuracyRow]]) -> dict[str, MeanAccuracy]:
    """The accuracy of each server that was evaluated, over the tasks that all of them have; empty if there is no such task."""
    found = {name: by_task(rows) for name, rows in evaluated.items() if rows}
    first = next(iter(found.values()), {})
    common = [task for task in first if all(task in results for results in found.values())]
    return {name: mean_accuracy(results, common) for name, results in found.items()} if common else {}


def mean_accuracy(results: Mapping[str, AccuracyRow], tasks: Sequence[str]) -> MeanAccuracy:
    """The mean over these tasks, each with the same weight, as the paper's Figure 17 has it.

    The variance of the mean is the sum of the squared standard errors over the squared number of tasks: their questions are
    drawn independently. Where all answers of a task are right or wrong its standard error is 0 and says nothing; in its
    place stands that of Agresti and Coull's estimate, which adds two right and two wrong answers.
    """
    chosen = [results[task] for task in tasks]
    value = sum(row.value for row in chosen) / len(chosen)
    variances = [_variance(row) for row in chosen]
    known = [each for each in variances if each is not None]
    if len(known) < len(chosen):
        return MeanAccuracy(value, None, None, tuple(tasks))
    half = _Z_95 * math.sqrt(sum(known)) / len(chosen)
    return MeanAccuracy(value, max(0.0, value - half), min(1.0, value + half), tuple(tasks))


@dataclass(frozen=True, slots=True)
class AccuracyDifference:
    """The accuracy of B less that of A over the same tasks, with its 95 % interval: None if a standard error is unknown."""

    tasks: tuple[str, ...]
    a: MeanAccuracy
    b: MeanAccuracy
    difference: float
    low: float | None
    high: float | None

    @property
    def answer(self) -> Answer:
        """Better or worse if the interval lies on one side of 0."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "cant_tell"
        return "better" if self.low > 0 else "worse"


def accuracy_differences(a: Iterable[AccuracyRow], b: Iterable[AccuracyRow]) -> tuple[AccuracyDifference, ...]:
    """Return the difference in each task that both were asked in the same way, then in their mean if there are several.

    The same way: by the same metric, after as many examples. The variance of a difference is the sum of both variances, as of
    independent questions; where both were asked the same ones, the interval is wider than it needs to be.
    """
    results_a, results_b = by_task(a), by_task(b)
    common = [task for task, row in results_a.items() if task in results_b and _is_like(row, results_b[task])]
    over = [[task] for task in common] + ([common] if len(common) > 1 else [])
    return tuple(_difference(results_a, results_b, tasks) for tasks in over)


def _is_like(row: AccuracyRow, other: AccuracyRow) -> bool:
    return (row.metric, row.shots) == (other.metric, other.shots)


def _difference(a: Mapping[str, AccuracyRow], b: Mapping[str, AccuracyRow], tasks: Sequence[str]) -> AccuracyDifference:
    mean_a, mean_b = mean_accuracy(a, tasks), mean_accuracy(b, tasks)
    change = mean_b.value - mean_a.value
    variances = [_variance(results[task]) for results in (a, b) for task in tasks]
    known = [each for each in variances if each is not None]
    if len(known) < len(variances):
        return AccuracyDifference(tuple(tasks), mean_a, mean_b, change, None, None)
    half = _Z_95 * math.sqrt(sum(known)) / len(tasks)
    return AccuracyDifference(tuple(tasks), mean_a, mean_b, change, max(-1.0, change - half), min(1.0, change + half))


def standard_error(row: AccuracyRow) -> float | None:
    """Return the standard error of a value as `mean_accuracy` has it; None if neither it nor the number of questions is known."""
    variance = _variance(row)
    return None if variance is None else math.sqrt(variance)


def _variance(row: AccuracyRow) -> float | None:
    if row.standard_error:
        return row.standard_error**2
    if row.samples is None:
        return None
    share = (row.value * row.samples + 2) / (row.samples + 4)
    return share * (1 - share) / (row.samples + 4)
