"""What the server did through a run, over time: requests at it, its KV cache, the power of its GPUs.

May import engine, analysis, store's rows and the rest of report. At most `MOMENTS` values of a line are drawn: of more, the means of as
many stretches of equal length.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.analysis.engine_names import EngineNames, names_in
from loadgen.analysis.gpu import GpuSeries
from loadgen.engine.record import MISSING
from loadgen.report import palette
from loadgen.report.charts import Chart, Spec, frame
from loadgen.report.readable import number, plural
from loadgen.report.timeline import window_edges
from loadgen.store.rows import ServerSample

MOMENTS = 400
FEWEST_READINGS = 3  # fewer make no line
Float = NDArray[np.float64]


def over_time_charts(
    window: Mapping[str, Any] | None,
    course: Mapping[str, Any] | None,
    samples: Sequence[ServerSample],
    gpus: Sequence[GpuSeries],
) -> tuple[Chart, ...]:
    """The charts for which there are readings; none of a server that told nothing. `course` is the outline's `over_time`."""
    names = names_in(samples[-1].values) if samples else None
    charts = [] if names is None else [_requests(window, course, samples, names), _cache(window, samples, names)]
    return tuple(chart for chart in (*charts, _power(window, gpus)) if chart is not None)


def _requests(
    window: Mapping[str, Any] | None,
    course: Mapping[str, Any] | None,
    samples: Sequence[ServerSample],
    names: EngineNames,
) -> Chart | None:
    lines = {word: _gauge(samples, name) for word, name in (("running", names.running), ("waiting", names.waiting))}
    lines = {word: line for word, line in lines.items() if len(line[0]) >= FEWEST_READINGS}
    if not lines:
        return None
    caption = f"Running and waiting by {plural(len(next(iter(lines.values()))[0]), 'reading')} of the server, in flight by the client."
    lines["in flight"] = _in_flight(course)
    return Chart("server_requests", "Requests at the server", "requests", caption, _lines(lines, "requests", window))


def _cache(window: Mapping[str, Any] | None, samples: Sequence[ServerSample], names: EngineNames) -> Chart | None:
    at_s, ratio = _gauge(samples, names.kv_cache_usage)
    if len(at_s) < FEWEST_READINGS:
        return None
    caption = f"By {plural(len(at_s), 'reading')} of the server; {number(float(ratio.max()) * 100)} % at most."
    return Chart("kv_cache", "KV cache in use", "%", caption, _lines({"KV cache": (at_s, ratio * 100)}, "%", window))


def _power(window: Mapping[str, Any] | None, gpus: Sequence[GpuSeries]) -> Chart | None:
    lines = {}
    for gpu in gpus:
        known = gpu.columns["power_mw"] != MISSING
        if np.count_nonzero(known) >= FEWEST_READINGS:
            at_s, power_w = gpu.columns["at_ns"][known] / 1e9, gpu.columns["power_mw"][known] / 1000
            lines[f"GPU {gpu.device['index']}"] = thinned(at_s, power_w)
    if not lines:
        return None
    readings = max(len(gpu.columns["at_ns"]) for gpu in gpus)
    caption = f"{gpus[0].device['name']}, {plural(readings, 'reading')} each."
    return Chart("gpu_power", "GPU power", "W", caption, _lines(lines, "W", window))


def _gauge(samples: Sequence[ServerSample], name: str) -> tuple[Float, Float]:
    told = [(sample.at_ns / 1e9, sample.values[name]) for sample in samples if name in sample.values]
    at_s, values = np.array(told, np.float64).reshape(-1, 2).T
    return thinned(at_s, values)


def _in_flight(course: Mapping[str, Any] | None) -> tuple[Float, Float]:
    """How many requests were between sent and end, on average over each step of the course."""
    if course is None:
        return np.empty(0), np.empty(0)
    mean = np.array(course["in_flight_mean"], np.float64)
    return course["from_s"] + (np.arange(len(mean)) + 0.5) * course["step_s"], mean


def thinned(at_s: Float, values: Float) -> tuple[Float, Float]:
    """The line as it is, or the means of `MOMENTS` stretches of it, each at the mean of its moments."""
    if len(at_s) <= MOMENTS:
        return at_s, values
    edges = np.linspace(0, len(at_s), MOMENTS + 1).round().astype(np.int64)
    lengths = np.diff(edges)
    return np.add.reduceat(at_s, edges[:-1]) / lengths, np.add.reduceat(values, edges[:-1]) / lengths


def _lines(lines: Mapping[str, tuple[Float, Float]], unit: str, window: Mapping[str, Any] | None) -> Spec:
    rows = [
        {"line": name, "at_s": round(float(at_s), 3), "value": float(f"{value:.5g}")}
        for name, (moments_s, values) in lines.items()
        for at_s, value in zip(moments_s, values, strict=True)
    ]
    edges = [{"edge_s": edge} for edge in window_edges(window)]
    x: Spec = {
        "type": "quantitative",
        "title": "seconds since the start",
        "scale": {"nice": False},
        "axis": {"tickCount": 8},
    }
    names = list(lines)
    color = {
        "field": "line",
        "type": "nominal",
        "title": None,
        "scale": {"domain": names, "range": list(palette.SERIES)},
        "legend": {"columns": 4} if len(names) > 1 else None,
    }
    line: Spec = {
        "mark": {"type": "line", "strokeWidth": 1.5, "interpolate": "linear"},
        "encoding": {
            "x": x | {"field": "at_s"},
            "y": {"field": "value", "type": "quantitative", "title": None, "axis": {"tickCount": 5, "format": ",~r"}},
            "color": color,
            "tooltip": [
                {"field": "line", "title": "line", "type": "nominal"},
                {"field": "at_s", "title": "at (s)", "format": ".2f"},
                {"field": "value", "title": unit, "format": ",.4~r"},
            ],
        },
    }
    spec = frame(rows, 160)
    spec["layer"] = [line]
    if edges:
        rule = {"type": "rule", "strokeDash": list(palette.DASHED), "strokeWidth": 2}
        spec["layer"].append({"data": {"values": edges}, "mark": rule, "encoding": {"x": x | {"field": "edge_s"}}})
    return spec
