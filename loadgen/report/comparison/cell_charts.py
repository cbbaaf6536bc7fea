"""The charts of a comparison: one for each figure and each part, all of one figure on the same axes.

A mark is the mean over the repeats of a point, its bar as in a sweep's charts. Valid
points are filled, doubtful ones hollow, invalid ones, where they are asked for, a cross; colours have shapes of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NotRequired

from typing_extensions import TypedDict

from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.stats import wants_log
from loadgen.report.charts import palette
from loadgen.report.charts.chart import (
    Chart,
    Spec,
    dash_of,
    frame,
    interval_bars,
    labelled,
    layer,
    load_axis,
    nominal,
    points_by_verdict,
    shape_of,
    value_axis,
)
from loadgen.report.comparison.cells import Cell, natural
from loadgen.report.comparison.names import ShortNames
from loadgen.report.format import ANSWERS, MISSING_FIGURE, is_number, number, shown_factor, shown_unit

CROSS = "M-1,-1L1,1M1,-1L-1,1"  # of an invalid point
_LINES: Spec = {"orient": "bottom", "symbolType": "stroke", "symbolSize": 500}  # their legend


# What is drawn of a cell, in the unit of the axis; `from` is a word of the language, so that a class cannot have it.
CellRow = TypedDict(
    "CellRow",
    {
        "x": Any,  # a number, or a word where the axis has words
        "color": str,
        "line": str,
        "rest": str,
        "status": str,
        "runs": int,
        "why": str,
        "share": str,
        "answer": str,
        "mark": NotRequired[float],
        "from": NotRequired[float],
        "to": NotRequired[float],
        "bar_from": NotRequired[float],
        "bar_to": NotRequired[float],
    },
)


@dataclass(frozen=True, slots=True)
class CellDrawing:
    """How the cells are drawn: the axis's label, colours and lines in order, which axes are logarithmic (None: where it helps)."""

    x_label: str
    names: ShortNames  # of the colours, in order
    lines: tuple[str, ...]  # what tells lines of one colour apart
    log: tuple[str, ...] | None
    baseline: str = ""  # of ratios; empty: figures


def charts(figure: Figure, stat: str, found: Sequence[Cell], drawing: CellDrawing) -> list[Chart]:
    """One chart for each part (facet) of the cells of a figure that are to be drawn."""
    rows = [(cell, row) for cell in found if (row := _row(cell, figure, drawing)) is not None]
    title, unit = figure.name(stat), shown_unit(figure.unit)
    if drawing.baseline:
        title, unit = f"{title}, × {drawing.names[drawing.baseline]}", ""
    if not rows:
        why = (
            "No other point has this figure where the baseline has it."
            if drawing.baseline
            else _why_empty(figure, stat)
        )
        return [Chart(figure.key, title, unit, why, None)]
    facets = list(dict.fromkeys(cell.place.facet for cell in found))
    x_scale, y_scale = _x(rows, drawing), _y([row for _, row in rows], figure, drawing)
    made: list[Chart] = []
    for facet in facets:
        values = [row for cell, row in rows if cell.place.facet == facet]
        runs = [run for cell, _ in rows if cell.place.facet == facet for run in cell.runs]
        caption = _caption(figure, drawing)
        if any((row["from"], row["to"]) != (row["bar_from"], row["bar_to"]) for row in values if "from" in row):
            caption = f"{caption} Longer bars are cut off at the edge; the table has them whole.".strip()
        chart = Chart(figure.key, f"{title} · {facet}" if facet else title, unit, caption, None)
        if values:
            chart = replace(chart, spec=_spec(chart, values, x_scale, y_scale, drawing))
        else:
            chart = replace(chart, caption=_why_empty(figure, stat))
        made.append(labelled(chart, runs))
    return made


def _why_empty(figure: Figure, stat: str) -> str:
    if figure.is_distribution and stat[:1] == "p" and stat != "p50":
        least = round(10 / (1 - int(stat[1:]) / 100))
        return f"No usable run has its {stat}, which needs {least:,} values in a run: choose a lower percentile."
    return "No usable run has this figure."


def _caption(figure: Figure, drawing: CellDrawing) -> str:
    words = {"lower": "Lower is better", "higher": "Higher is better", None: ""}[figure.better]
    if drawing.baseline:
        return f"{words}; 1 is the baseline." if words else "1 is the baseline."
    return f"{words}." if words else ""


def _row(cell: Cell, figure: Figure, drawing: CellDrawing) -> CellRow | None:
    """What is drawn of a cell; None where it has nothing to draw."""
    if cell.pooled is None:
        return None
    row: CellRow = {
        "x": cell.place.x,
        "color": drawing.names[cell.place.color],
        "line": f"{cell.place.color} · {cell.place.remainder}" if cell.place.remainder else cell.place.color,
        "rest": cell.place.remainder,
        "status": cell.status,
        "runs": cell.pooled.runs,
        "why": " ".join(cell.reasons)[:300] or MISSING_FIGURE,
        "share": MISSING_FIGURE,  # what a tooltip says must be there for each mark, or it reads "undefined"
        "answer": MISSING_FIGURE,
    }
    scale = shown_factor(figure.unit)
    against = cell.against_baseline
    if against is not None and against.ratio is not None:
        answer = MISSING_FIGURE if against.answer is None else ANSWERS[against.answer]
        row |= {"share": f"{number(against.ratio)}×", "answer": answer}
    if drawing.baseline:
        if against is None or against.ratio is None:
            return None
        row["mark"] = against.ratio
        if against.change is not None and against.change.low is not None and against.change.high is not None:
            row |= {"from": 1 + against.change.low, "to": 1 + against.change.high}
        return row
    row["mark"] = cell.pooled.mean * scale
    if cell.pooled.low is not None and cell.pooled.high is not None:
        row |= {"from": max(0.0, cell.pooled.low) * scale, "to": cell.pooled.high * scale}
    return row


def _x(rows: Sequence[tuple[Cell, CellRow]], drawing: CellDrawing) -> Spec:
    values = list(dict.fromkeys(row["x"] for _, row in rows))
    if not all(map(is_number, values)):
        words = [str(value) for value in sorted(values, key=natural)]
        for _, row in rows:
            row["x"] = str(row["x"])
        return {
            "field": "x",
            "type": "ordinal",
            "title": drawing.x_label,
            "sort": words,
            "axis": {"labelAngle": 0, "labelLimit": 150, "labelOverlap": True},
        }
    values.sort()
    axis = load_axis(drawing.x_label, values, None if drawing.log is None else "x" in drawing.log and values[0] > 0)
    axis["scale"] |= {"domain": [values[0], values[-1]]} if len(values) > 1 else {}
    return axis


def _y(rows: Sequence[CellRow], figure: Figure, drawing: CellDrawing) -> Spec:
    """One scale for all parts of a figure, filled by the marks; longer bars are cut off."""
    marks = [row["mark"] for row in rows]
    helps = figure.unit == "s" and not drawing.baseline and wants_log(marks)
    log = (helps if drawing.log is None else "y" in drawing.log) and min(marks) > 0
    least, most = min(marks), max(marks) or 1.0
    if drawing.baseline:
        least, most = min(least, 1.0), max(most, 1.0)
    floor, ceiling = (least / 1.5, most * 1.5) if log else (0.0, most * 1.15)
    for row in rows:
        if "from" in row:
            row["bar_from"], row["bar_to"] = max(row["from"], floor), min(row["to"], ceiling)
    return {"type": "log" if log else "linear", "nice": False, "domain": [floor, ceiling], "clamp": False}


def _spec(chart: Chart, rows: list[CellRow], x: Spec, y_scale: Spec, drawing: CellDrawing) -> Spec:
    domain = list(drawing.names.shorts.values())
    many = len(domain) > 1
    color = nominal("color", domain, [palette.color(i) for i in range(len(domain))], has_legend=many)
    if many:
        color["legend"] |= {"title": drawing.names.common or None}

    is_ordinal = x.get("type") == "ordinal"
    told: list[Spec] = [{"field": "line", "type": "nominal", "title": "runs of"}]
    told.append({"field": "x", "title": drawing.x_label} | ({} if is_ordinal else {"format": ",~r"}))
    told.append({"field": "mark", "title": chart.unit or "value", "format": ",.4~r"})
    if any("from" in row for row in rows):
        told += [
            {"field": "from", "title": "from", "format": ",.4~r"},
            {"field": "to", "title": "to", "format": ",.4~r"},
        ]
    if any(row["share"] != MISSING_FIGURE for row in rows):
        told += [{"field": "share", "title": "× baseline"}, {"field": "answer", "title": "that is"}]
    told += [{"field": "runs", "title": "repeats"}, {"field": "status", "title": "verdict"}]
    if any(row["why"] != MISSING_FIGURE for row in rows):
        told.append({"field": "why", "title": "because"})

    across: Spec = {"x": x, "color": color, "detail": {"field": "line"}}
    if is_ordinal and many:
        across["xOffset"] = {"field": "color", "type": "nominal", "scale": {"domain": domain}}
    line = {"strokeDash": dash_of("rest", drawing.lines, _LINES)} if len(drawing.lines) > 1 else {}
    layers: list[Spec] = []
    if not is_ordinal:
        course = across | {"y": value_axis("mark", y_scale)} | line
        layers.append(layer({"type": "line", "strokeWidth": 2}, course, only="datum.status !== 'invalid'"))
    if any("bar_from" in row for row in rows):
        layers.append(interval_bars(across, y_scale, {"clip": True}))
    if drawing.baseline:
        rule = {"type": "rule", "strokeDash": list(palette.DASHED), "strokeWidth": 1}
        layers.insert(0, layer(rule, {"y": value_axis("one", y_scale)}, values=[{"one": 1}]))
    style: Spec = {"size": 64, "strokeWidth": 2, "opacity": 1}
    encoding = across | {"y": value_axis("mark", y_scale), "tooltip": told}
    layers += points_by_verdict({row["status"] for row in rows}, style, encoding | {"shape": shape_of(color)})
    if any(row["status"] == "invalid" for row in rows):
        mark = {"type": "point", "filled": False, "shape": CROSS} | style
        layers.append(layer(mark, encoding, only="datum.status === 'invalid'"))
    return frame(rows) | {"layer": layers}
