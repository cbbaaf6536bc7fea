"""How a latency is distributed over a run: a histogram, its percentiles, and the values of its tail.

Drawn from the run's outline; the caption counts the values of the tail that are not drawn.
"""

import math
from collections.abc import Sequence

from typing_extensions import TypedDict

from loadgen.analysis.outline.distribution import DistributionOutline
from loadgen.analysis.stats import Distribution, PercentileName
from loadgen.report.charts import palette
from loadgen.report.charts.chart import Chart, Spec, frame, layer, quantity, to_milliseconds
from loadgen.report.format import milliseconds, plural


class PercentileMark(TypedDict):
    value_s: float
    text: str
    line: int
    align: str


def distribution_chart(
    key: str, title: str, outlined: DistributionOutline | None, figures: Distribution | None
) -> Chart:
    """A histogram with the percentiles of the run's document over it and the values of the tail under it.

    `outlined` is the metric's part of the run's outline (`analysis.outline.distribution`), `figures` its distribution in the
    document: n, mean, min, p50 … max.
    """
    if outlined is None:
        return Chart(key, title, "ms", "No value: nothing in the measured window has one.", None)
    edges_s, log = outlined["edges_s"], outlined["log"]
    far = outlined["tail_from"]
    words = [f"{plural(outlined['n'], 'value')}."]
    if outlined["below"]:
        words.append(f"{outlined['below']:,} under {milliseconds(edges_s[0])} ms are in the first bar.")
    tail_s, tail_n = outlined["tail_s"], outlined["tail_n"]
    if far is None:
        words.append("Too few values for a percentile above the median.")
    elif tail_n > len(tail_s):
        words.append(f"Ticks below: values over {far}, {len(tail_s)} of {tail_n:,}.")
    elif tail_n:
        words.append(f"Ticks below: each value over {far}.")

    marked: list[PercentileName] = ["p50"] if far is None else ["p50", far]
    marks: list[PercentileMark] = [
        {
            "value_s": value_s,
            "text": f"{name} {milliseconds(value_s)}",
            "line": line,  # one above the other, so that close percentiles stay readable
            "align": "right" if _place(value_s, edges_s[0], edges_s[-1], log) > 0.75 else "left",
        }
        for line, name in enumerate(marked)
        if figures is not None and (value_s := figures[name]) is not None
    ]
    bars: list[dict[str, object]] = [
        {"from_s": from_s, "to_s": to_s, "values": values}
        for from_s, to_s, values in zip(edges_s[:-1], edges_s[1:], outlined["counts"], strict=True)
        if values
    ]
    return Chart(key, title, "ms", " ".join(words), _histogram(bars, marks, tail_s, log))


def _place(value: float, low: float, high: float, log: bool) -> float:
    """Where a value lies on the axis, 0 at its low end and 1 at its high one."""
    if log:
        return math.log(max(value, low) / low) / math.log(high / low)
    return (value - low) / (high - low)


def _histogram(bars: list[dict[str, object]], marks: list[PercentileMark], tail_s: Sequence[float], log: bool) -> Spec:
    scale: Spec = {"type": "log", "nice": False} if log else {"zero": False, "nice": False}
    x = quantity("from_ms", None, scale, grid=False, format=",~r", tickCount=6, labelOverlap=True)
    at_value: Spec = {"x": x | {"field": "value_ms"}}
    in_ms = {"transform": to_milliseconds("value")}
    stroke = {"color": palette.SERIES[1], "strokeDash": list(palette.DASHED), "strokeWidth": 1.5}
    bar = {"type": "rect", "color": palette.SERIES[0], "opacity": 0.8}
    encoding: Spec = {
        "x": x,
        "x2": {"field": "to_ms"},
        "y": {"field": "values", "type": "quantitative", "title": "values", "axis": {"tickCount": 4}},
        "y2": {"datum": 0},
        "tooltip": [
            {"field": "from_ms", "title": "from (ms)", "format": ",.4~r"},
            {"field": "to_ms", "title": "to (ms)", "format": ",.4~r"},
            {"field": "values", "title": "values", "format": ","},
        ],
    }
    layers = [layer(bar, encoding) | {"transform": to_milliseconds("from", "to")}]
    layers.append(layer({"type": "rule"} | stroke, at_value, values=marks) | in_ms)
    for mark in marks:
        text = {"type": "text", "align": mark["align"], "y": -6 - 13 * mark["line"], "fontSize": 11}
        text |= {"dx": -4 if mark["align"] == "right" else 4}
        layers.append(layer(text, at_value | {"text": {"field": "text"}}, values=[mark]) | in_ms)
    if tail_s:
        tick = {"type": "tick", "color": palette.SERIES[1], "thickness": 1, "size": 8, "yOffset": 6, "opacity": 0.7}
        at_floor = at_value | {"y": {"datum": 0, "type": "quantitative"}}
        layers.append(layer(tick, at_floor, values=[{"value_s": value_s} for value_s in tail_s]) | in_ms)
    return frame(bars, 200) | {"layer": layers}
