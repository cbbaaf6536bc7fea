"""A run over time, on one time axis: output tokens per second, requests in flight and at the server, its KV cache, its GPUs' power.

What the client knows comes from the run's outline; what the server
told, from its readings, of which at most `MAX_TIMESTAMPS` are drawn: of more, the means of as many stretches of equal length.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loadgen.analysis.document.run import WindowDocument
from loadgen.analysis.outline.over_time import OverTimeOutline
from loadgen.analysis.server.engine_names import EngineNames, names_in
from loadgen.analysis.server.gpu import GpuSeries
from loadgen.engine.records.record import MISSING
from loadgen.report.charts.chart import Chart
from loadgen.report.charts.panels import Band, Line, Panel, stacked
from loadgen.report.charts.timeline import window_edges
from loadgen.report.format import number, plural
from loadgen.store.rows import ServerSample

MAX_TIMESTAMPS = 400
MIN_READINGS = 3  # fewer make no line
MIN_RATE_S = 0.1  # tokens are counted over no shorter a time: they arrive in bursts, a step of the model at once
Float = NDArray[np.float64]


def over_time_chart(
    window: WindowDocument | None,
    course: OverTimeOutline | None,
    samples: Sequence[ServerSample],
    gpus: Sequence[GpuSeries],
) -> Chart | None:
    """One panel for each thing that is known, one below the other; None where nothing is. `course` is the outline's `over_time`."""
    names = names_in(samples[-1].values) if samples else None
    words: list[str] = []
    panels = [
        _tokens(course, words),
        _requests(course, samples, names, words),
        None if names is None else _cache(samples, names),
        _power(gpus),
    ]
    drawn = [panel for panel in panels if panel is not None]
    if not drawn:
        return None
    edges = window_edges(window)
    words += ["Dashed: the measured window."] if edges else []
    return Chart("over_time", "Over time", "", " ".join(words), stacked(drawn, edges))


def _tokens(course: OverTimeOutline | None, words: list[str]) -> Panel | None:
    if course is None or None in course["output_tokens"]:
        return None
    steps = max(1, round(MIN_RATE_S / course["step_s"]))
    counts = np.array(course["output_tokens"], np.float64)
    begins = np.arange(0, len(counts), steps)
    lengths_s = np.diff([*begins, len(counts)]) * course["step_s"]
    rate = np.add.reduceat(counts, begins) / lengths_s
    at_s = course["from_s"] + begins * course["step_s"]
    words.append(f"Tokens counted over {number(float(lengths_s[0]))} s each.")
    ends_s = float(at_s[-1] + lengths_s[-1])
    return Panel(
        "Output tokens/s", "tokens/s", (Line("output", [*at_s, ends_s], [*rate, float(rate[-1])], is_stepped=True),)
    )


def _requests(
    course: OverTimeOutline | None, samples: Sequence[ServerSample], names: EngineNames | None, words: list[str]
) -> Panel | None:
    lines: list[Line] = []
    bands: tuple[Band, ...] = ()
    if course is not None:
        at_s = course["from_s"] + (np.arange(len(course["in_flight_mean"])) + 0.5) * course["step_s"]
        lines.append(Line("in flight", at_s, course["in_flight_mean"]))
        bands = (Band(at_s, course["in_flight_min"], course["in_flight_max"]),)
    if names is not None:
        for word, name in (("running", names.running), ("waiting", names.waiting)):
            timestamps_s, values = _gauge(samples, name)
            if len(timestamps_s) >= MIN_READINGS:
                lines.append(Line(word, timestamps_s, values))
        words.append(
            f"In flight as the client knows it; running and waiting by the server, which was read {plural(len(samples), 'time')}."
        )
    return Panel("Requests", "requests", tuple(lines), bands) if lines else None


def _cache(samples: Sequence[ServerSample], names: EngineNames) -> Panel | None:
    at_s, ratio = _gauge(samples, names.kv_cache_usage)
    if len(at_s) < MIN_READINGS:
        return None
    return Panel("KV cache in use (%)", "%", (Line("KV cache", at_s, ratio * 100),))


def _power(gpus: Sequence[GpuSeries]) -> Panel | None:
    lines = []
    for gpu in gpus:
        known = gpu.columns["power_mw"] != MISSING
        if np.count_nonzero(known) >= MIN_READINGS:
            at_s, power_w = gpu.columns["at_ns"][known] / 1e9, gpu.columns["power_mw"][known] / 1000
            lines.append(Line(f"GPU {gpu.device['index']}", *thinned(at_s, power_w)))
    return Panel(f"Power (W), {gpus[0].device['name']}", "W", tuple(lines)) if lines else None


def _gauge(samples: Sequence[ServerSample], name: str) -> tuple[Float, Float]:
    told = [(sample.at_ns / 1e9, sample.values[name]) for sample in samples if name in sample.values]
    at_s, values = np.array(told, np.float64).reshape(-1, 2).T
    return thinned(at_s, values)


def thinned(at_s: Float, values: Float) -> tuple[Float, Float]:
    """The line as it is, or the means of `MAX_TIMESTAMPS` stretches of it, each at the mean of its moments."""
    if len(at_s) <= MAX_TIMESTAMPS:
        return at_s, values
    edges = np.linspace(0, len(at_s), MAX_TIMESTAMPS + 1).round().astype(np.int64)
    lengths = np.diff(edges)
    return np.add.reduceat(at_s, edges[:-1]) / lengths, np.add.reduceat(values, edges[:-1]) / lengths
