"""What all charts share: a Vega-Lite specification with its caption and the table behind it.

A specification is a plain dict, data inside, with nothing to fetch; durations are in seconds in the data, and drawn in
milliseconds. Colours of text, axes and ground are left to the page, which knows whether it is light or dark.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from loadgen.report.charts import palette
from loadgen.report.points import Table

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # names the language; nothing is read from there
HEIGHT_PX = 250
LOG_LOADS_FROM_RATIO = 8.0  # of the largest load to the smallest
STROKES: Spec = {"symbolType": "stroke", "symbolSize": 240}  # of a legend whose lines differ in their dashes
NARROW_PX = 340  # of a chart in a column of a page, and on a phone


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure of a page. `spec` is None when there is nothing to draw; `caption` then says why."""

    key: str
    title: str
    unit: str
    caption: str
    spec: Spec | None
    table: Table | None = None


def frame(values: Sequence[Mapping[str, object]], height_px: float = HEIGHT_PX) -> Spec:
    """The part that every specification begins with: as wide as its place, `values` inside."""
    return {
        "$schema": SCHEMA,
        "data": {"values": values},
        "width": "container",
        "height": height_px,
        "autosize": {"type": "fit-x", "contains": "padding"},
    }


def heading(chart: Chart) -> str:
    """What stands over a drawing without a page around it: the title, and the unit where there is one."""
    return f"{chart.title} ({chart.unit})" if chart.unit else chart.title


def layer(mark: Spec, encoding: Spec, *, only: str = "", values: Sequence[Mapping[str, object]] | None = None) -> Spec:
    """Return a layer of marks: of the rows for which `only` holds, or of `values` in place of the chart's rows."""
    made: Spec = {"mark": mark, "encoding": encoding}
    made |= {"transform": [{"filter": only}]} if only else {}
    return made if values is None else made | {"data": {"values": values}}


def labelled(chart: Chart, runs: Iterable[Mapping[str, Any]]) -> Chart:
    """The chart of these runs; where all or some were simulated, its title says so, and the drawing, which may be saved alone."""
    marks = {bool(run["simulated"]) for run in runs}
    if True not in marks:
        return chart
    word = "partly SIMULATED" if False in marks else "SIMULATED"
    drawn = None if chart.spec is None else chart.spec | {"title": f"{word} · {heading(chart)}"}
    return replace(chart, title=f"{chart.title} ({word})", spec=drawn)


def legend(labels: Iterable[str], place_px: float = NARROW_PX) -> Spec:
    """A legend over the drawing, in as many columns as its longest label lets it have in a place so wide."""
    column_px = 6 * max(map(len, labels)) + 30  # letters of 11 px, and the symbol with the space around it
    return {"columns": max(1, min(4, int((place_px - 30) // column_px))), "labelLimit": 420, "symbolOpacity": 1}


def nominal(field: str, domain: Sequence[str], outputs: Sequence[Any], *, has_legend: bool) -> Spec:
    """Return an encoding by name, its values in the order given."""
    return {
        "field": field,
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(domain), "range": list(outputs)},
        "legend": legend(domain) if has_legend else None,
    }


def quantity(field: str, title: str | None, scale: Spec, **axis: object) -> Spec:
    """Return an encoding by number."""
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def value_axis(field: str, scale: Spec) -> Spec:
    """Return the encoding of a figure's values up the chart, whose title has their unit."""
    return quantity(field, None, scale, tickCount=5, format=",~r")


def load_axis(label: str, values: Sequence[float], log: bool | None = None) -> Spec:
    """Return the encoding of ascending loads along the chart, a tick at each; logarithmic as told, else where it helps."""
    helps = len(values) > 1 and values[0] > 0 and values[-1] / values[0] >= LOG_LOADS_FROM_RATIO
    scale: Spec = {"type": "log", "base": 2, "nice": False} if (helps if log is None else log) else {"zero": False}
    ticks = {"values": values, "format": ",~r", "labelOverlap": True, "grid": False}
    return quantity("x", label, scale | {"padding": 12}, **ticks)


def shape_of(color: Spec) -> Spec:
    """Return the encoding of shapes that goes with one of colours, a shape for each value."""
    domain = color["scale"]["domain"]
    return color | {"scale": {"domain": domain, "range": [palette.shape(i) for i in range(len(domain))]}}


def interval_bars(across: Spec, scale: Spec, style: Mapping[str, object] = MappingProxyType({})) -> Spec:
    """Return the layer of bars up the chart, from `bar_from` to `bar_to` where a row has them."""
    encoding = across | {"y": value_axis("bar_from", scale), "y2": {"field": "bar_to"}}
    return layer({"type": "rule", "strokeWidth": 1.5, **style}, encoding, only="isValid(datum.bar_from)")


def bound_line(across: Spec, scale: Spec, only: str = "isValid(datum.bound)") -> Spec:
    """Return the layer of roofline bounds: a dotted line for each line of the figure, in its colour."""
    mark = {"type": "line", "strokeWidth": 1, "strokeDash": list(palette.DOTTED), "clip": True}
    return layer(mark, across | {"y": value_axis("bound", scale)}, only=only)


def points_by_verdict(statuses: Collection[str], style: Spec, encoding: Spec) -> list[Spec]:
    """Return layers of marks by the `status` of their rows: valid ones filled, doubtful ones hollow."""
    return [
        layer({"type": "point", "filled": status == "valid"} | style, encoding, only=f"datum.status === '{status}'")
        for status in ("valid", "doubtful")
        if status in statuses
    ]


def dash_of(field: str, values: Sequence[str], shown: Spec = STROKES) -> Spec:
    """Return the encoding of lines of one colour by their dashes, with a legend, which looks as in `shown`."""
    dash = nominal(field, values, [palette.dash(i) for i in range(len(values))], has_legend=True)
    dash["legend"] |= shown
    return dash


def to_milliseconds(*fields: str) -> list[dict[str, str]]:
    """Transforms that add FIELD_ms for each FIELD_s."""
    return [{"calculate": f"datum.{name}_s * 1000", "as": f"{name}_ms"} for name in fields]
