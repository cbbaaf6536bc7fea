"""Accuracy in words: values with their standard errors, a table of results, and a table of differences."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.report.format import ANSWERS, MISSING_FIGURE, number, plural, timestamp
from loadgen.report.points import Table
from loadgen.store.rows import AccuracyRow
from loadgen.study import accuracy
from loadgen.study.measured import PROVENANCE_LABELS

_COLUMNS = ("task", "metric", "value", "± standard error", "questions", "shots", "tool", "measured")


def accuracy_value(row: AccuracyRow) -> str:
    """`0.905 ± 0.021`."""
    error = "" if row.standard_error is None else f" ± {_error(row)}"
    return f"{row.value:.3f}{error}".replace("≈", "about ")


def _error(row: AccuracyRow) -> str:
    """The tool's standard error; an estimate, marked with ≈, where it is 0 because all replies are right, or all wrong."""
    error = accuracy.standard_error(row)
    if row.standard_error is None or error is None:
        return MISSING_FIGURE
    return f"{'' if row.standard_error else '≈'}{error:.3f}"


def accuracy_table(rows: Sequence[AccuracyRow]) -> Table | None:
    """Each result as it was found, the newest of each task and metric; None without any."""
    if not rows:
        return None
    newest = accuracy.newest_results(rows)
    return Table(
        _COLUMNS,
        tuple(
            (
                row.task,
                row.metric,
                f"{row.value:.3f}",
                _error(row),
                number(row.samples),
                number(row.shots),
                f"{row.tool} {row.tool_version or ''}".strip(),
                timestamp(row.measured_at),
            )
            for row in newest
        ),
    )


def accuracy_note(rows: Sequence[AccuracyRow], sweep_id: str | None) -> str:
    """Return a note on where results come from; empty if they are the sweep's own, of a model of full size."""
    newest = accuracy.newest_results(rows)
    words = []
    if any(row.sweep_id != sweep_id for row in newest):
        words.append("Evaluations on the same server count, also those of another start of it.")
    kinds = {row.provenance for row in newest} - {"measured"}
    if kinds:
        words.append(f"{', '.join(_label(kind) for kind in sorted(kinds))}: says nothing of a model of full size.")
    if any(row.standard_error == 0 and row.samples is not None for row in newest):
        words.append("≈: Agresti and Coull's estimate, since all replies are right or all are wrong.")
    return " ".join(words)


@dataclass(frozen=True, slots=True)
class AccuracyComparison:
    """The accuracy of two sweeps' servers, task by task. `note` names the tasks that are not compared."""

    title: str
    table: Table | None  # None: no task was asked of both in the same way
    note: str


def accuracy_comparisons(evaluated: Sequence[tuple[str, Sequence[AccuracyRow]]]) -> tuple[AccuracyComparison, ...]:
    """Compare the first named server that has results with each other one; empty if no server has any."""
    first = next(((name, rows) for name, rows in evaluated if rows), None)
    if first is None or len(evaluated) < 2:
        return ()
    return tuple(accuracy_comparison(first, (name, rows)) for name, rows in evaluated if name != first[0])


def accuracy_comparison(
    a: tuple[str, Sequence[AccuracyRow]], b: tuple[str, Sequence[AccuracyRow]]
) -> AccuracyComparison:
    """Compare the results of two named servers, of which at least one has some."""
    (name_a, rows_a), (name_b, rows_b) = a, b
    title = f"Accuracy of {name_b} against {name_a}"
    if not rows_a or not rows_b:
        return AccuracyComparison(title, None, f"{name_b if rows_a else name_a} was not evaluated.")
    found = accuracy.accuracy_differences(rows_a, rows_b)
    compared = {task for each in found for task in each.tasks}
    left_out = [task for task in {**accuracy.by_task(rows_a), **accuracy.by_task(rows_b)} if task not in compared]
    note = f"Not compared, since not asked of both in the same way: {', '.join(left_out)}." if left_out else ""
    columns = ("task", name_a, name_b, "difference", "95 % interval", "")
    table = Table(columns, tuple(_difference_row(each) for each in found)) if found else None
    return AccuracyComparison(title, table, note)


def _difference_row(each: accuracy.AccuracyDifference) -> tuple[str, ...]:
    task = each.tasks[0] if len(each.tasks) == 1 else f"mean of {plural(len(each.tasks), 'task')}"
    interval = (
        MISSING_FIGURE if each.low is None or each.high is None else f"{_signed(each.low)} … {_signed(each.high)}"
    )
    return (
        task,
        _with_interval(each.a),
        _with_interval(each.b),
        _signed(each.difference),
        interval,
        ANSWERS[each.answer],
    )


def _with_interval(mean: accuracy.MeanAccuracy) -> str:
    interval = "" if mean.low is None or mean.high is None else f" ({mean.low:.3f} … {mean.high:.3f})"
    return f"{mean.value:.3f}{interval}"


def _signed(difference: float) -> str:
    return f"{difference:+.3f}".replace("-", "−")


def _label(provenance: str) -> str:
    return next((label for key, label in PROVENANCE_LABELS.items() if key == provenance), provenance)
