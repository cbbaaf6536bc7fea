"""Accuracy in words: values with their standard errors, and a table of results."""

from collections.abc import Sequence

from loadgen.report.format import MISSING_FIGURE, number, timestamp
from loadgen.report.points import Table
from loadgen.store.rows import AccuracyRow
from loadgen.study.accuracy import newest_results
from loadgen.study.measured import PROVENANCE_LABELS

_COLUMNS = ("task", "metric", "value", "± standard error", "questions", "shots", "tool", "measured")


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
    """Return a note on where results come from; empty if they are the sweep's own, of a model of full size."""
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
