"""How a latency is distributed over a run: a histogram, its percentiles, and every value of its tail.

May import the rest of report. Every value is in exactly one bar. Of the tail at most `TAIL_VALUES` are drawn, the longest
always among them; the caption counts the rest.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.report import palette
from loadgen.report.charts import Chart, Spec, frame, to_milliseconds, wants_log
from loadgen.report.readable import milliseconds, plural

Float = NDArray[np.float64]
TAIL_VALUES = 300
FEWEST_BINS, MOST_BINS = 12, 60
SHORTEST_S = 1e-5  # where a logarithmic axis begins when some values are 0: two events in one read share a stamp


def thin(ordered: Float, limit: int) -> Float:
    """At most `limit` of the ordered values, evenly picked by rank; the first and the last always stay."""
    if len(ordered) <= limit:
        return ordered
    return ordered[np.unique(np.linspace(0, len(ordered) - 1, limit).round().astype(np.int64))]


def distribution_chart(key: str, title: str, values_s: Float, figures: Mapping[str, float | None]) -> Chart:
    """A histogram of `values_s`, with the percentiles of the run's document over it and each value of the tail under it.

    `figures` is the metric's distribution in the document: n, mean, min, p50 … max.
    """
    ordered = np.sort(values_s[np.isfinite(values_s)])
    if not len(ordered):
        return Chart(key, title, "ms", "No value: nothing in the measured window has one.", None)
    low, high, log = _ends(ordered)
    far = next((name for name in ("p99", "p95", "p90") if figures.get(name) is not None), None)
    far_s = figures.get(far) if far else None
    rest = ordered[:0] if far_s is None else ordered[ordered > far_s]
    tail = thin(rest, TAIL_VALUES)

    words = [f"{plural(len(ordered), 'value')}."]
    below = int(np.count_nonzero(ordered < low))
    if below:
        words.append(f"{below:,} under {milliseconds(low)} ms are in the first bar.")
    if far is None:
        words.append("Too few values for a percentile above the median.")
    elif len(rest) > len(tail):
        words.append(f"Ticks below: values over {far}, {len(tail)} of {len(rest):,}.")
    elif len(rest):
        words.append(f"Ticks below: each value over {far}.")

    marks = [
        {
            "value_s": value_s,
            "text": f"{name} {milliseconds(value_s)}",
            "line": line,  # one above the other, so that close percentiles stay readable
            "align": "right" if _place(value_s, low, high, log) > 0.75 else "left",
        }
        for line, name in enumerate(("p50", far))
        if name is not None and (value_s := figures.get(name)) is not None
    ]
    return Chart(key, title, "ms", " ".join(words), _histogram(_bars(ordered, low, high, log), marks, tail, log))


def _ends(ordered: Float) -> tuple[float, float, bool]:
    """The ends of the axis in seconds, and whether it is logarithmic."""
    low, high = float(ordered[0]), float(ordered[-1])
    above_zero = ordered[ordered > SHORTEST_S]
    if len(above_zero) and wants_log([float(above_zero[0]), high]):
        return float(above_zero[0]), high, True
    return (low, high, False) if high > low else (low * 0.99 - 1e-6, high * 1.01 + 1e-6, False)


def _place(value: float, low: float, high: float, log: bool) -> float:
    """Where a value lies on the axis, 0 at its low end and 1 at its high one."""
    if log:
        return math.log(max(value, low) / low) / math.log(high / low)
    return (value - low) / (high - low)


def _bars(ordered: Float, low: float, high: float, log: bool) -> list[dict[str, Any]]:
    """Bars over the values; those outside the ends are counted into the first or the last."""
    bins = min(MOST_BINS, max(FEWEST_BINS, round(2 * math.sqrt(len(ordered)))))
    edges = np.geomspace(low, high, bins + 1) if log else np.linspace(low, high, bins + 1)
    edges[0], edges[-1] = low, high
    counts, _ = np.histogram(np.clip(ordered, low, high), edges)
    return [
        {"from_s": float(edges[i]), "to_s": float(edges[i + 1]), "values": int(counts[i])}
        for i in range(bins)
        if counts[i]
    ]


def _histogram(bars: list[dict[str, Any]], marks: list[dict[str, Any]], tail: Float, log: bool) -> Spec:
    x = {
        "type": "quantitative",
        "title": None,
        "scale": {"type": "log", "nice": False} if log else {"zero": False, "nice": False},
        "axis": {"grid": False, "format": ",~r", "tickCount": 6, "labelOverlap": True},
    }
    at_value = {"x": x | {"field": "value_ms"}}
    stroke = {"color": palette.SERIES[1], "strokeDash": list(palette.DASHED), "strokeWidth": 1.5}
    layers: list[Spec] = [
        {
            "transform": to_milliseconds("from", "to"),
            "mark": {"type": "rect", "color": palette.SERIES[0], "opacity": 0.8},
            "encoding": {
                "x": x | {"field": "from_ms"},
                "x2": {"field": "to_ms"},
                "y": {"field": "values", "type": "quantitative", "title": "values", "axis": {"tickCount": 4}},
                "y2": {"datum": 0},
                "tooltip": [
                    {"field": "from_ms", "title": "from (ms)", "format": ",.4~r"},
                    {"field": "to_ms", "title": "to (ms)", "format": ",.4~r"},
                    {"field": "values", "title": "values", "format": ","},
                ],
            },
        },
        {
            "data": {"values": marks},
            "transform": to_milliseconds("value"),
            "mark": {"type": "rule"} | stroke,
            "encoding": at_value,
        },
    ]
    layers += [
        {
            "data": {"values": [mark]},
            "transform": to_milliseconds("value"),
            "mark": {
                "type": "text",
                "align": mark["align"],
                "dx": -4 if mark["align"] == "right" else 4,
                "y": -6 - 13 * mark["line"],
                "fontSize": 11,
            },
            "encoding": at_value | {"text": {"field": "text"}},
        }
        for mark in marks
    ]
    if len(tail):
        tick = {"type": "tick", "color": palette.SERIES[1], "thickness": 1, "size": 8, "yOffset": 6, "opacity": 0.7}
        layers.append(
            {
                "data": {"values": [{"value_s": float(value)} for value in tail]},
                "transform": to_milliseconds("value"),
                "mark": tick,
                "encoding": at_value | {"y": {"datum": 0, "type": "quantitative"}},
            }
        )
    return frame(bars, 200) | {"layer": layers}
