"""Panels one below the other over one time axis: lines of different units, none of which shares a scale with another.

Such a drawing cannot be told to be as wide as its place, so that who draws it gives each panel its
width: the place's, less `usermeta.beside_px` for the numbers beside the axis.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from loadgen.report.charts import palette
from loadgen.report.charts.chart import SCHEMA, STROKES, Spec, layer, legend

BESIDE_PX = 56
PANEL_PX = 110
MAX_MARKS = 40


@dataclass(frozen=True, slots=True)
class Line:
    """Values at moments in seconds since the start. `is_stepped`: each holds until the next."""

    name: str
    at_s: Iterable[float]
    values: Iterable[float]
    is_stepped: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """From the least to the greatest of what the first line is the mean of."""

    at_s: Iterable[float]
    low: Iterable[float]
    high: Iterable[float]


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    unit: str
    lines: tuple[Line, ...]
    bands: tuple[Band, ...] = ()


def stacked(panels: Sequence[Panel], edges_s: Sequence[float]) -> Spec:
    """The specification of panels over one time axis, dashed at each of `edges_s`."""
    last = len(panels) - 1
    return {
        "$schema": SCHEMA,
        "usermeta": {"beside_px": BESIDE_PX},
        "spacing": 14,
        "resolve": {"scale": {"x": "shared", "color": "independent", "strokeDash": "independent"}},
        "vconcat": [_panel(panel, edges_s, number == last) for number, panel in enumerate(panels)],
    }


def _panel(panel: Panel, edges_s: Sequence[float], is_last: bool) -> Spec:
    x: Spec = {"type": "quantitative", "scale": {"nice": False}}
    x |= {"title": "seconds since the start" if is_last else None, "axis": {"tickCount": 8, "labels": is_last}}
    axis = {"tickCount": 4, "format": ",~r", "minExtent": BESIDE_PX - 14, "maxExtent": BESIDE_PX - 14}
    y: Spec = {"type": "quantitative", "title": None, "axis": axis, "scale": {"zero": True, "nice": True}}
    names = [line.name for line in panel.lines]
    colors = {"domain": names, "range": list(palette.SERIES)}
    color: Spec = {"field": "line", "type": "nominal", "title": None, "scale": colors}
    color |= {"legend": legend(names) | STROKES if len(names) > 1 else None}
    dash = color | {"scale": {"domain": names, "range": [list(each) for each in palette.DASHES]}}
    tooltip = [
        {"field": "line", "title": "line", "type": "nominal"},
        {"field": "at_s", "title": "at (s)", "format": ".2f"},
        {"field": "value", "title": panel.unit, "format": ",.4~r"},
    ]
    at: Spec = {"x": x | {"field": "at_s"}}
    area = {"type": "area", "opacity": 0.25, "color": palette.SERIES[0], "interpolate": "step"}
    between = at | {"y": y | {"field": "low"}, "y2": {"field": "high"}}
    layers = [layer(area, between, values=_rows(at_s=band.at_s, low=band.low, high=band.high)) for band in panel.bands]
    for line in panel.lines:
        rows = [row | {"line": line.name} for row in _rows(at_s=line.at_s, value=line.values)]
        mark: Spec = {"type": "line", "strokeWidth": 1.5, "interpolate": "step-after" if line.is_stepped else "linear"}
        if len(rows) <= MAX_MARKS and not line.is_stepped:
            mark["point"] = {"filled": True, "size": 22}  # so few are seen for what they are: readings, not a course
        encoding = at | {"y": y | {"field": "value"}, "color": color, "strokeDash": dash, "tooltip": tooltip}
        layers.append(layer(mark, encoding, values=rows))
    if edges_s:
        rule = {"type": "rule", "strokeDash": list(palette.DASHED), "strokeWidth": 1.5}
        layers.append(layer(rule, at, values=[{"at_s": edge_s} for edge_s in edges_s]))
    title = {"text": panel.title, "fontSize": 11, "fontWeight": "normal", "anchor": "start", "offset": 6}
    return {"title": title, "width": 600, "height": PANEL_PX, "layer": layers}


def _rows(**columns: Iterable[float]) -> list[dict[str, Any]]:
    values = (tuple(float(f"{each:.5g}") for each in column) for column in columns.values())
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
