"""The table behind a figure of a comparison: as people read it, as CSV, and as rows for programs.

Every cell has a row, those that are not drawn too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from loadgen.analysis.compare import REASONS
from loadgen.analysis.figures.figure import Figure
from loadgen.report.comparison.cells import Cell, CellAxes, x_text
from loadgen.report.comparison.names import ShortNames
from loadgen.report.export.results import columns_of, csv_text
from loadgen.report.format import ANSWERS, MISSING_FIGURE, number, shown_unit
from loadgen.report.format import figure as shown
from loadgen.report.points import spread_label


class TableField(NamedTuple):
    """A field of a row: its text, the key that it sorts by, and the whole text if it was cut."""

    text: str
    key: str
    tooltip: str = ""


@dataclass(frozen=True, slots=True)
class TableLine:
    cells: tuple[TableField, ...]
    status: str
    reasons: tuple[str, ...]
    answer: str  # "", or one of `ANSWERS`
    answer_because: str
    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CellTable:
    """The table of a figure. The verdict and, with a baseline, the answer stand in columns of their own after `columns`."""

    columns: tuple[str, ...]
    lines: tuple[TableLine, ...]
    has_answers: bool


def cell_table(
    figure: Figure, found: Sequence[Cell], *, axes: CellAxes, x_label: str, baseline: str, names: ShortNames
) -> CellTable:
    """Return the table of a figure's cells, in their order, the colours by their short names."""
    dimensions = [each for each in (axes.facet, axes.color, *axes.remainder) if each is not None]
    unit = shown_unit(figure.unit)
    columns = [*(each.label for each in dimensions), x_label, f"mean ({unit})" if unit else "mean"]
    columns.append(spread_label(cell.pooled.runs for cell in found if cell.pooled is not None))
    columns.append("repeats")
    if baseline:
        columns.append("× baseline")
    return CellTable(
        tuple(columns),
        tuple(_line(figure, cell, axes=axes, baseline=baseline, names=names) for cell in found),
        bool(baseline),
    )


def _line(figure: Figure, cell: Cell, *, axes: CellAxes, baseline: str, names: ShortNames) -> TableLine:
    run, pooled, against = cell.runs[0], cell.pooled, cell.against_baseline
    color = cell.place.color
    cells = [] if axes.facet is None else [TableField(cell.place.facet, cell.place.facet)]
    cells.append(TableField(names[color], color, names.tooltip(color)))
    cells += [TableField(text, text) for text in (each.text(run) for each in axes.remainder)]
    cells.append(TableField(x_text(cell.place.x), str(cell.place.x)))
    if pooled is None:
        count = str(len(cell.runs))
        cells += [TableField(MISSING_FIGURE, ""), TableField(MISSING_FIGURE, ""), TableField(count, count)]
    else:
        interval = MISSING_FIGURE
        if pooled.low is not None and pooled.high is not None:
            interval = f"{shown(max(0.0, pooled.low), figure.unit)} … {shown(pooled.high, figure.unit)}"
        cells.append(TableField(shown(pooled.mean, figure.unit), repr(pooled.mean)))
        cells.append(TableField(interval, repr(pooled.low or 0.0)))
        cells.append(TableField(str(pooled.runs), str(pooled.runs)))
    if baseline:
        is_base = color == baseline
        ratio = None if against is None else against.ratio
        text = "baseline" if is_base else MISSING_FIGURE if ratio is None else f"{number(ratio)}×"
        cells.append(TableField(text, "1" if is_base else "" if ratio is None else repr(ratio)))
    return TableLine(
        cells=tuple(cells),
        status=cell.status,
        reasons=cell.reasons,
        answer="" if against is None or against.answer is None else ANSWERS[against.answer],
        answer_because=because(cell),
        run_ids=tuple(run["run_id"] for run in cell.runs),
    )


def because(cell: Cell) -> str:
    """The interval of the change, and why nothing may be said where that is so."""
    against = cell.against_baseline
    if against is None or against.change is None:
        return "" if against is None or against.reason is None else REASONS[against.reason]
    changed = against.change
    words = [] if changed.low is None or changed.high is None else [f"{1 + changed.low:.3g}× … {1 + changed.high:.3g}×"]
    words += [] if against.reason is None else [REASONS[against.reason]]
    words.append("paired by seed" if against.paired else "not paired")
    return "; ".join(words)


def rows(figure: Figure, stat: str, found: Iterable[Cell], axes: CellAxes, baseline: str) -> list[dict[str, Any]]:
    """One flat mapping a cell, figures in the metric's own unit, for CSV and JSON; what is not known is None."""
    made = []
    for cell in found:
        run, pooled, against = cell.runs[0], cell.pooled, cell.against_baseline
        changed = None if against is None else against.change
        row: dict[str, Any] = {
            "metric": figure.key,
            "statistic": stat if figure.is_distribution else None,
            "unit": figure.unit,
        }
        row |= {each.key: each.read(run) for each in (axes.facet, axes.color, *axes.remainder) if each is not None}
        row |= {
            axes.x.key: cell.place.x,
            "mean": None if pooled is None else pooled.mean,
            "low": None if pooled is None else pooled.low,
            "high": None if pooled is None else pooled.high,
            "repeats": len(cell.runs),
            "verdict": cell.status,
            "reasons": " ".join(cell.reasons) or None,
            "simulated": cell.simulated,
            "baseline": baseline or None,
            "ratio": None if against is None else against.ratio,
            "ratio_low": None if changed is None or changed.low is None else 1 + changed.low,
            "ratio_high": None if changed is None or changed.high is None else 1 + changed.high,
            "answer": None if against is None else against.answer,
            "answer_reason": None if against is None else against.reason,
            "run_ids": " ".join(run["run_id"] for run in cell.runs),
        }
        made.append(row)
    return made


def as_csv(made: Sequence[dict[str, Any]]) -> str:
    """The rows as CSV with a header. Texts that a spreadsheet would take for a formula are kept from being one by a quote before them."""
    return csv_text(made, columns_of(made) or ["metric"])
