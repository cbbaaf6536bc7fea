"""The values behind the charts of a panel, of one series, with the sweeps that they come from."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.report.format import MISSING_FIGURE, cell, number, shown_unit
from loadgen.report.study.panels.rows import PanelMark, PanelScales, axis_title
from loadgen.report.study.site import Site

_DIGITS = 4


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One point. `sweeps`: ids with addresses, empty ones for pages that are not there."""

    cells: tuple[str, ...]
    sweeps: tuple[tuple[str, str], ...]
    status: str


@dataclass(frozen=True, slots=True)
class ValueTable:
    """One row a point, in the order of the study."""

    columns: tuple[str, ...]
    rows: tuple[ValueRow, ...]


def value_table(scales: PanelScales, marks: Sequence[PanelMark], site: Site) -> ValueTable:
    """Return the table of these marks."""
    panel, unit = scales.panel, shown_unit(scales.figure.unit)
    keys = [key for key in (panel.facet, panel.colour, panel.x) if key is not None]
    has_bars = any(mark.pooled.low is not None for mark in marks)
    has_bound = any(mark.bound is not None for mark in marks)
    columns = [*(axis_title(key) for key in keys), f"{scales.title}{f', {unit}' if unit else ''}"]
    columns += ["from", "to"] if has_bars else []
    columns += ["% of the bound"] if has_bound else []
    return ValueTable(
        (*columns, "runs"), tuple(_row(scales, mark, keys, site, has=(has_bars, has_bound)) for mark in marks)
    )


def _row(scales: PanelScales, mark: PanelMark, keys: Sequence[str], site: Site, *, has: tuple[bool, bool]) -> ValueRow:
    has_bars, has_bound = has
    unit, pooled = scales.figure.unit, mark.pooled
    at = mark.point.coordinates
    cells = [_setting(at.get(key)) for key in keys]
    cells.append(_exact(pooled.mean, unit))
    if has_bars:
        cells += [_exact(pooled.low, unit), _exact(pooled.high, unit)]
    if has_bound:
        cells.append(MISSING_FIGURE if mark.bound is None else number(100 * _share(scales, mark)))
    cells.append(str(pooled.runs))
    ids = dict.fromkeys(run["sweep_id"] for run in mark.point.runs)
    return ValueRow(tuple(cells), tuple((each, site.sweep(each)) for each in ids), mark.status)


def _share(scales: PanelScales, mark: PanelMark) -> float:
    """How much of the bound is reached: of a duration, the bound over the value."""
    assert mark.bound is not None
    return mark.pooled.mean / mark.bound if scales.figure.better == "higher" else mark.bound / mark.pooled.mean


def _exact(value: float | None, unit: str) -> str:
    """A figure with four digits: values are to be copied."""
    if value is None:
        return MISSING_FIGURE
    return number(value * {"s": 1000, "ratio": 100}.get(unit, 1), _DIGITS) if unit else cell(value, unit)


def _setting(value: object) -> str:
    if value is None:
        return MISSING_FIGURE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
