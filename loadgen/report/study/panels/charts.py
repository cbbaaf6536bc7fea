"""The charts of a panel: one for each facet, all series on the same scales; and all facets of a series as one drawing.

A mark is the mean over the repeats of a point, its bar as in a sweep's charts. A thin dotted line in a mark's colour is the
roofline bound.
"""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NotRequired

from typing_extensions import TypedDict

from loadgen.report.charts import palette
from loadgen.report.charts.chart import (
    NARROW_PX,
    SCHEMA,
    Chart,
    Spec,
    bound_line,
    dash_of,
    frame,
    interval_bars,
    layer,
    legend,
    load_axis,
    nominal,
    points_by_verdict,
    shape_of,
    value_axis,
)
from loadgen.report.charts.heat_map import HeatRow, cells_spec
from loadgen.report.format import figure, is_number, shown_factor, shown_unit
from loadgen.report.study.panels.captions import caption
from loadgen.report.study.panels.rows import PanelMark, PanelScales, axis_title, ends_of, label, stand_ins
from loadgen.study.measured import Series

_HOLLOW_SIZE = 170  # of a doubtful mark: it shows around a filled one at the same place
_BAR_PX = 26  # of a bar with the space around it
_AXES_PX = 70  # below the bars
_CONCAT_COLUMN_PX = 330
_CONCAT_HEIGHT_PX = 200
_STUB_STEPS = 0.25  # from one point of a line to the next: of a bound that is drawn for less, nothing is
_BESIDE_PX = 62  # an axis's numbers with the space between two charts

# What is drawn of a mark, in the unit of the axis; `bar_from` and `bar_to` are its bar, cut off at the edge.
MarkRow = TypedDict(
    "MarkRow",
    {
        "x": Any,  # a number, or a word where the axis has words
        "colour": str,
        "rest": str,
        "value": float,
        "runs": int,
        "status": str,
        "from": NotRequired[float],
        "to": NotRequired[float],
        "bar_from": NotRequired[float],
        "bar_to": NotRequired[float],
        "bound": NotRequired[float],
    },
)


def panel_charts(scales: PanelScales, marks: Sequence[PanelMark], series: Series) -> tuple[Chart, ...]:
    """One chart for each facet that the series has a mark of, in order."""
    made = []
    for facet in scales.facets or (None,):
        of_facet = [mark for mark in marks if mark.facet == facet]
        if not of_facet:
            continue
        title = scales.title if facet is None else _facet_title(scales, of_facet)
        unit = shown_unit(scales.figure.unit)
        figure = f"{scales.title} ({unit})" if unit else scales.title
        lines = [figure, series.label] if facet is None else [figure, series.label, title]  # it may be saved alone
        spec = _spec(scales, of_facet) | {"title": {"text": lines}}
        made.append(Chart(f"{scales.figure.key}-{series.key}-{facet}", title, unit, "", spec))
    return tuple(made)


def _facet_title(scales: PanelScales, marks: Sequence[PanelMark]) -> str:
    """What the marks of one facet have in common; the model that was served, if a tiny one."""
    facet = marks[0].facet
    assert facet is not None
    title = label(str(scales.panel.facet), facet)
    return f"{stand_ins(marks)} for {title}" if scales.panel.facet == "model" and stand_ins(marks) else title


def panel_drawing(scales: PanelScales, marks: Sequence[PanelMark], series: Series, width_px: int) -> Chart:
    """All facets of a series next to each other, as one chart that is drawn by itself `width_px` wide."""
    panel = scales.panel
    facets = [facet for facet in scales.facets if any(mark.facet == facet for mark in marks)]
    title = f"{panel.title} · {series.label}"
    unit = shown_unit(scales.figure.unit)
    if len(facets) < 2:
        of_facet = f", {_facet_title(scales, marks)}" if facets else ""
        return Chart(scales.figure.key, title + of_facet, unit, caption(scales, marks), _spec(scales, marks))
    columns = max(1, min(len(facets), width_px // _CONCAT_COLUMN_PX))
    each_px = width_px // columns - _BESIDE_PX
    parts = []
    for facet in facets:
        of_facet_only = [mark for mark in marks if mark.facet == facet]
        part = _spec(scales, of_facet_only, shown=marks)
        part |= {"title": {"text": _facet_title(scales, of_facet_only), "fontSize": 12, "offset": 8}, "width": each_px}
        parts.append({key: value for key, value in part.items() if key not in ("$schema", "autosize")})
        if scales.is_line:
            parts[-1]["height"] = _CONCAT_HEIGHT_PX
    spec: Spec = {"$schema": SCHEMA, "concat": parts, "columns": columns, "spacing": 24}
    spec["resolve"] = {"scale": {"color": "shared", "shape": "shared"}}
    return Chart(scales.figure.key, title, unit, caption(scales, marks), spec)


def _spec(scales: PanelScales, marks: Sequence[PanelMark], shown: Sequence[PanelMark] = ()) -> Spec:
    """The chart of some marks. `shown`: those whose colours its legend has, if these are more."""
    if scales.panel.kind == "heat map":
        return _cells(scales, marks)
    colour = _colours(scales, shown or marks)
    return _bars(scales, marks, colour) if scales.is_bar else _lines(scales, marks, colour)


def _rows(scales: PanelScales, marks: Sequence[PanelMark]) -> list[MarkRow]:
    factor, (_, floor, ceiling) = shown_factor(scales.figure.unit), ends_of(scales, marks)
    rows = []
    for mark in marks:
        pooled = mark.pooled
        row: MarkRow = {
            "x": mark.x if is_number(mark.x) and not scales.is_bar else _name(scales, mark),
            "colour": _colour(scales, mark),
            "rest": mark.rest,
            "value": pooled.mean * factor,
            "runs": pooled.runs,
            "status": mark.status,
        }
        if pooled.low is not None and pooled.high is not None:
            low, high = max(pooled.low, 0.0) * factor, pooled.high * factor
            row |= {"from": low, "to": high, "bar_from": max(low, floor), "bar_to": min(high, ceiling)}
        if mark.bound is not None:
            row["bound"] = mark.bound * factor
        rows.append(row)
    return rows


def _name(scales: PanelScales, mark: PanelMark) -> str:
    word = _word(scales.panel.x, mark.x)
    return f"{word}, {mark.rest}" if mark.rest else word


def _word(key: str, value: object) -> str:
    return value if isinstance(value, str) else label(key, value)  # type: ignore[arg-type]


def _colour(scales: PanelScales, mark: PanelMark) -> str:
    return "" if mark.colour is None else label(str(scales.panel.colour), mark.colour)


def _colours(scales: PanelScales, marks: Sequence[PanelMark]) -> Spec:
    """The colours, the same in every chart of the panel; a legend of those that the marks have."""
    domain = [label(str(scales.panel.colour), value) for value in scales.palette] or [""]
    colour = nominal(
        "colour", domain, [palette.color(at) for at in range(len(domain))], has_legend=bool(scales.colours)
    )
    if scales.colours:
        there = {_colour(scales, mark) for mark in marks}
        values = [each for each in domain if each in there]
        colour["legend"] |= legend(values, NARROW_PX) | {"values": values}
    return colour


def _tooltip(scales: PanelScales, rows: Sequence[MarkRow]) -> list[Spec]:
    fields: list[Spec] = [{"field": "x", "title": axis_title(scales.panel.x)}]
    if scales.panel.colour is not None:
        fields.append({"field": "colour", "title": axis_title(scales.panel.colour), "type": "nominal"})
    if any(row["rest"] for row in rows):
        fields.append({"field": "rest", "title": "with", "type": "nominal"})
    fields.append({"field": "value", "title": shown_unit(scales.figure.unit) or "value", "format": ",.4~r"})
    if all("from" in row for row in rows):
        fields += [{"field": each, "title": each, "format": ",.4~r"} for each in ("from", "to")]
    if all("bound" in row for row in rows):
        fields.append({"field": "bound", "title": "roofline bound", "format": ",.4~r"})
    return [*fields, {"field": "runs", "title": "runs"}, {"field": "status", "title": "verdict"}]


def _lines(scales: PanelScales, marks: Sequence[PanelMark], colour: Spec) -> Spec:
    """The figure along a number: a line for each colour."""
    rows = _rows(scales, marks)
    is_log, floor, ceiling = ends_of(scales, marks)
    y_scale = {"type": "log" if is_log else "linear", "nice": False, "domain": [floor, ceiling], "zero": not is_log}
    xs = [float(value) for value in scales.xs]
    x = load_axis(axis_title(scales.panel.x), xs, scales.panel.log_x and min(xs) > 0)
    if len(xs) > 1:
        x["scale"] |= {"domain": [min(xs), max(xs)]}
    across: Spec = {"x": x, "color": colour, "detail": {"field": "rest"}}
    rests = list(dict.fromkeys(row["rest"] for row in rows))
    dash = {"strokeDash": dash_of("rest", rests)} if len(rests) > 1 else {}
    layers: list[Spec] = []
    if any("bound" in row for row in rows):
        layers.append(bound_line(across, y_scale, only=_bounds_seen(rows, floor, ceiling)))
        layers += _lone_bounds(rows, across | {"y": value_axis("bound", y_scale)})
    layers.append(layer({"type": "line", "strokeWidth": 2}, across | dash | {"y": value_axis("value", y_scale)}))
    if any("bar_from" in row for row in rows):
        layers.append(interval_bars(across, y_scale))
    encoding = across | {"y": value_axis("value", y_scale), "tooltip": _tooltip(scales, rows)}
    style: Spec = {"size": 56, "strokeWidth": 2, "opacity": 1}
    points = points_by_verdict({row["status"] for row in rows}, style, encoding | {"shape": shape_of(colour)})
    for point in points:
        if not point["mark"]["filled"]:
            point["mark"]["size"] = _HOLLOW_SIZE
    layers += points
    return frame(rows) | {"layer": layers}


def _lone_bounds(rows: Sequence[MarkRow], encoding: Spec) -> list[Spec]:
    """The bounds of lines of one point, which have nothing to lead to: a tick each."""
    counts = Counter((row["colour"], row["rest"]) for row in rows if "bound" in row)
    alone = [_is_of(line) for line, count in counts.items() if count == 1]
    tick = {"type": "tick", "orient": "horizontal", "size": 22, "thickness": 2, "opacity": 1, "clip": True}
    return [layer(tick, encoding, only=f"isValid(datum.bound) && ({' || '.join(alone)})")] if alone else []


def _is_of(line: tuple[str, str]) -> str:
    colour, rest = line
    return f"(datum.colour === {json.dumps(colour)} && datum.rest === {json.dumps(rest)})"


def _bounds_seen(rows: Sequence[MarkRow], floor: float, ceiling: float) -> str:
    """Which rows have a bound to draw: those of lines of which more than a stub lies inside of the chart."""
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        if "bound" in row:
            lines.setdefault((row["colour"], row["rest"]), []).append((row["x"], row["bound"]))
    stubs = [
        _is_of(line)
        for line, points in lines.items()
        if _steps_inside([bound for _, bound in sorted(points)], floor, ceiling) < _STUB_STEPS
    ]
    return " && ".join(["isValid(datum.bound)", *(f"!{each}" for each in stubs)])


def _steps_inside(values: Sequence[float], floor: float, ceiling: float) -> float:
    """How many steps of a line from one of its points to the next are inside; one for a point by itself."""
    if len(values) < 2:
        return 1.0
    inside = 0.0
    for low, high in (sorted(step) for step in pairwise(values)):
        cut = max(0.0, min(high, ceiling) - max(low, floor))
        inside += cut / (high - low) if high > low else float(floor <= low <= ceiling)
    return inside


def _cells(scales: PanelScales, marks: Sequence[PanelMark]) -> Spec:
    """The figure over two coordinates: a cell for each pair, the darker the greater."""
    unit = scales.figure.unit
    ends = scales.by_facet[marks[0].facet]
    rows: list[HeatRow] = []
    for mark in marks:
        text = figure(mark.pooled.mean, unit)
        rows.append(
            {
                "line": ", ".join(filter(None, (_colour(scales, mark), mark.rest))),
                "column": _plain(mark.x),
                "text": f"{text} ?" if mark.status == "doubtful" else text,
                "status": mark.status,
                "share": (mark.pooled.mean - ends.lowest) / ((ends.highest - ends.lowest) or 1.0),
                "runs": mark.pooled.runs,
            }
        )
    columns = [_plain(value) for value in scales.xs]
    lines = list(dict.fromkeys(row["line"] for row in rows))
    return cells_spec(rows, columns, lines, x_label=axis_title(scales.panel.x), label=scales.title)


def _plain(value: object) -> str:
    """A coordinate under an axis that has its name."""
    return f"{value:,}" if is_number(value) else str(value)


def _bars(scales: PanelScales, marks: Sequence[PanelMark], colour: Spec) -> Spec:
    """The figure next to names: horizontal bars, so that the names can be read."""
    rows = _rows(scales, marks)
    is_log, floor, ceiling = ends_of(scales, marks)
    words = [_word(scales.panel.x, value) for value in scales.xs]  # all of them, that series can be compared
    names = list(dict.fromkeys(row["x"] for row in rows)) if any(mark.rest for mark in marks) else words
    x_scale = {"type": "log" if is_log else "linear", "nice": False, "domain": [floor, ceiling]}
    axis = {"labelLimit": 150, "ticks": False, "domain": False}
    y: Spec = {"field": "x", "type": "nominal", "title": None, "sort": None, "axis": axis, "scale": {"domain": names}}
    across: Spec = {"y": y, "color": colour}
    many = len(scales.colours) > 1
    if many:
        domain = [label(str(scales.panel.colour), value) for value in scales.colours]
        across["yOffset"] = {"field": "colour", "type": "nominal", "scale": {"domain": domain}}
    value = value_axis("value", x_scale) | {"axis": {"tickCount": 4, "format": ",~r"}}
    bars = {"x": value, "tooltip": _tooltip(scales, rows)}
    layers: list[Spec] = [
        layer(_bar_of(status), across | bars, only=f"datum.status === '{status}'")
        for status in ("valid", "doubtful")
        if any(row["status"] == status for row in rows)
    ]
    beside = {key: each for key, each in across.items() if key != "color"}
    if any("bound" in row for row in rows):
        tick = {"type": "tick", "thickness": 3, "color": palette.SERIES[4], "size": 0.8 * _BAR_PX}
        tick |= {"opacity": 1, "clip": True}
        layers.append(layer(tick, beside | {"x": value | {"field": "bound"}}, only="isValid(datum.bound)"))
    if any("bar_from" in row for row in rows):
        ends = {"x": value | {"field": "bar_from"}, "x2": {"field": "bar_to"}}
        layers.append(layer({"type": "rule", "strokeWidth": 1.5}, beside | ends, only="isValid(datum.bar_from)"))
    return frame(rows, _BAR_PX * len(names) * max(1, len(scales.colours)) + _AXES_PX) | {"layer": layers}


def _bar_of(status: str) -> Spec:
    style: Spec = {"type": "bar", "cornerRadiusEnd": 2}
    return style | ({"opacity": 0.85} if status == "valid" else {"filled": False, "strokeWidth": 1.5})
