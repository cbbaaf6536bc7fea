"""Accuracy in words: values with their standard errors, a table of results, and the mean over tasks that charts draw."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadgen.report.format import MISSING_FIGURE, number, timestamp
from loadgen.report.points import Table
from loadgen.store.rows import AccuracyRow
from loadgen.study.measured import PROVENANCE_LABELS

_FIRST = ("acc", "exact_match", "Overall")
"""Which metric of a task counts in the mean, the first that it has."""

_Z_95 = 1.959964  # of the standard normal distribution
_COLUMNS = ("task", "metric", "value", "± standard error", "questions", "shots", "tool", "measured")


@dataclass(frozen=True, slots=True)
class MeanAccuracy:
    """The mean over tasks, with its 95 % interval: None if no standard error of a task is known."""

    value: float
    low: float | None
    high: float | None
    tasks: tuple[str, ...]


def accuracy_value(row: AccuracyRow) -> str:
    """`0.905 ± 0.021`."""
    error = "" if row.standard_error is None else f" ± {row.standard_error:.3f}"
    return f"{row.value:.3f}{error}"


def accuracy_table(rows: Sequence[AccuracyRow]) -> Table | None:
    """Each result as it was found, the newest of each task and metric; None without any."""
    if not rows:
        return None
    newest = newest_results(rows)
    return Table(
        _COLUMNS,
        tuple(
            (
                row.task,
                row.metric,
                f"{row.value:.3f}",
                MISSING_FIGURE if row.standard_error is None else f"{row.standard_error:.3f}",
                number(row.samples),
                number(row.shots),
                f"{row.tool} {row.tool_version or ''}".strip(),
                timestamp(row.measured_at),
            )
            for row in newest
        ),
    )


def accuracy_note(rows: Sequence[AccuracyRow], sweep_id: str | None) -> str:
    """What a reader of a sweep's results has to know besides."""
    newest = newest_results(rows)
    words = []
    if any(row.sweep_id != sweep_id for row in newest):
        words.append("Evaluations on the same server count, also those of another start of it.")
    kinds = {row.provenance for row in newest} - {"measured"}
    if kinds:
        words.append(f"{', '.join(_label(kind) for kind in sorted(kinds))}: says nothing of a model of full size.")
    return " ".join(words)


def _label(provenance: str) -> str:
    return next((label for key, label in PROVENANCE_LABELS.items() if key == provenance), provenance)


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


def _variance(row: AccuracyRow) -> float | None:
    if row.standard_error:
        return row.standard_error**2
    if row.samples is None:
        return None
    share = (row.value * row.samples + 2) / (row.samples + 4)
    return share * (1 - share) / (row.samples + 4)
