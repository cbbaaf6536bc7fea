"""The values behind the charts of a panel, of one series, with the sweeps that they come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadgen.report.format import MISSING_FIGURE, cell, number, shown_factor, shown_unit
from loadgen.report.study.panels.rows import PanelMark, PanelScales, axis_title, bound_percent, text_of
from loadgen.report.study.site import Site

_DIGITS = 4


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One point. `sweeps`: ids with addresses, empty ones for pages that are not there. `doubts`: why it is doubtful."""

    cells: tuple[str, ...]
    sweeps: tuple[tuple[str, str], ...]
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ValueTable:
    """One row a point, in the order of the study."""

    columns: tuple[str, ...]
    rows: tuple[ValueRow, ...]


Column = tuple[str, Callable[[PanelMark], str]]


def value_table(scales: PanelScales, marks: Sequence[PanelMark], site: Site) -> ValueTable:
    columns = _columns(scales, marks)
    return ValueTable(
        tuple(title for title, _ in columns),
        tuple(
            ValueRow(tuple(read(mark) for _, read in columns), _sweeps(mark, site), mark.point.doubts) for mark in marks
        ),
    )


def _columns(scales: PanelScales, marks: Sequence[PanelMark]) -> list[Column]:
    """The columns that any mark has a value for."""
    panel, unit = scales.panel, scales.figure.unit
    shown = shown_unit(unit)
    keys = [key for key in (panel.facet, panel.colour, panel.x) if key is not None]
    columns: list[Column] = [(axis_title(key), _coordinate(key)) for key in keys]
    if any(mark.rest for mark in marks):
        columns.append(("with", lambda mark: mark.rest or MISSING_FIGURE))
    columns.append((f"{scales.title}, {shown}" if shown else scales.title, lambda mark: _exact(mark.pooled.mean, unit)))
    if any(mark.pooled.low is not None for mark in marks):
        columns.append(("from", lambda mark: _exact(mark.pooled.low, unit)))
        columns.append(("to", lambda mark: _exact(mark.pooled.high, unit)))
    if any(mark.bound is not None for mark in marks):
        columns.append(("% of the bound", lambda mark: number(bound_percent(scales, mark))))
    return [*columns, ("runs", lambda mark: str(mark.pooled.runs))]


def _coordinate(key: str) -> Callable[[PanelMark], str]:
    def read(mark: PanelMark) -> str:
        at = mark.point.coordinates
        return text_of(at[key]) if key in at else MISSING_FIGURE

    return read


def _sweeps(mark: PanelMark, site: Site) -> tuple[tuple[str, str], ...]:
    ids = dict.fromkeys(run["sweep_id"] for run in mark.point.runs)
    return tuple((each, site.sweep(each)) for each in ids)


def _exact(value: float | None, unit: str) -> str:
    """A figure with four digits: values are to be copied."""
    if value is None:
        return MISSING_FIGURE
    return number(value * shown_factor(unit), _DIGITS) if unit else cell(value, unit)
