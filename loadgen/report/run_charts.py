"""The charts of one run: how its latencies are distributed, and when each of its requests waited and was answered.

May import load, engine, analysis and the rest of report. At most `TIMELINE_REQUESTS` requests are drawn, and of the tail
of a distribution at most `TAIL_VALUES`, the extremes always among them; the rest is counted in the caption.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.analysis.measured import measure
from loadgen.analysis.metrics import METRICS
from loadgen.engine.record import MISSING, Outcome, Records
from loadgen.load.spec import ClosedLoop, RunSpec
from loadgen.report import palette
from loadgen.report.charts import Chart, Spec, Table, frame, to_milliseconds, wants_log
from loadgen.report.points import Document
from loadgen.report.readable import milliseconds, number, plural
from loadgen.report.sweep_charts import gap_metric

Float = NDArray[np.float64]
TIMELINE_REQUESTS = 1_000
TAIL_VALUES = 300
BINS = 60
SHORTEST_S = 1e-5  # where a logarithmic axis begins when some values are 0: two events in one read share a stamp


DISTRIBUTIONS = ("ttft_s", "token_gap_s", "tpot_s", "e2e_latency_s")
SPEC_FIELDS = frozenset(field.name for field in fields(RunSpec))


def run_charts(run: Document, records: Records) -> tuple[tuple[Chart, ...], Chart]:
    """The distributions of a run's page, in order, and its timeline.

    The values are those that the run's figures were made of: the same formulas over the same window.
    """
    spec = RunSpec.from_json({key: value for key, value in run["spec"].items() if key in SPEC_FIELDS})
    measured = measure(spec, records)
    charts = []
    for key in DISTRIBUTIONS:
        if key == "token_gap_s":
            key = gap_metric([run])
        metric = next(metric for metric in METRICS if metric.key == key)
        values_s = metric.compute(measured)
        samples = values_s if isinstance(values_s, np.ndarray) else np.empty(0)
        charts.append(distribution_chart(key, metric.label, samples, run.get(key) or {}))
    closed = isinstance(spec.shape, ClosedLoop)
    return tuple(charts), timeline_chart(records, run.get("window"), by_slot=closed)


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
    above_zero = ordered[ordered > 0]
    ends = [] if not len(above_zero) else [max(float(above_zero[0]), SHORTEST_S), float(above_zero[-1])]
    log = wants_log(ends)
    bins, below = _bins(ordered, ends if log else [float(ordered[0]), float(ordered[-1])], log)
    far = next((name for name in ("p99", "p95", "p90") if figures.get(name) is not None), None)
    marked = [
        {"name": name, "value_s": figures[name], "at": "right" if name == "p50" else "left"}
        for name in ("p50", far)
        if name is not None and figures.get(name) is not None
    ]
    far_s = figures.get(far) if far else None
    rest = ordered[-1:] if far_s is None else ordered[ordered > far_s]
    tail = thin(rest, TAIL_VALUES)
    words = [f"{plural(len(ordered), 'value')}."]
    if below:
        words.append(f"{below:,} under {milliseconds(ends[0])} ms are in the first bar.")
    if far:
        words.append(
            f"Ticks below: each value over {far}"
            + (f", {len(tail)} of {len(rest):,}." if len(rest) > len(tail) else ".")
        )
    else:
        words.append("Too few values for a percentile above the median.")
    return Chart(key, title, "ms", " ".join(words), _histogram(title, bins, marked, tail, log), _table(figures))


def _bins(ordered: Float, ends: list[float], log: bool) -> tuple[list[dict[str, Any]], int]:
    """Bars over the values, and how many of these lie below the first edge and were counted into the first bar."""
    low, high = ends
    if high <= low:
        low, high = low * 0.99 - 1e-6, high * 1.01 + 1e-6
    edges = np.geomspace(low, high, BINS + 1) if log else np.linspace(low, high, BINS + 1)
    edges[0], edges[-1] = low, high
    inside = np.clip(ordered, low, high)
    counts, _ = np.histogram(inside, edges)
    bars = [
        {"from_s": float(edges[i]), "to_s": float(edges[i + 1]), "values": int(counts[i])}
        for i in range(BINS)
        if counts[i]
    ]
    return bars, int(np.count_nonzero(ordered < low))


def _table(figures: Mapping[str, float | None]) -> Table:
    names = ("n", "mean", "min", "p50", "p90", "p95", "p99", "max")
    texts = tuple(number(figures.get(name)) if name == "n" else milliseconds(figures.get(name)) for name in names)
    return Table((*names[:1], *(f"{name} (ms)" for name in names[1:])), (texts,))


def _histogram(title: str, bins: list[dict[str, Any]], marked: list[dict[str, Any]], tail: Float, log: bool) -> Spec:
    x = {
        "type": "quantitative",
        "title": f"{title} (ms)",
        "scale": {"type": "log", "nice": False} if log else {"zero": False, "nice": False},
        "axis": {"grid": False, "format": ",~r", "tickCount": 6, "labelOverlap": True},
    }
    spec = frame(bins, 200)
    spec["layer"] = [
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
            "data": {"values": [{"value_s": float(value)} for value in tail]},
            "transform": to_milliseconds("value"),
            "mark": {
                "type": "tick",
                "color": palette.SERIES[1],
                "thickness": 1,
                "size": 8,
                "yOffset": 6,
                "opacity": 0.7,
            },
            "encoding": {"x": x | {"field": "value_ms"}, "y": {"datum": 0, "type": "quantitative"}},
        },
        {
            "data": {"values": marked},
            "transform": to_milliseconds("value"),
            "mark": {
                "type": "rule",
                "color": palette.SERIES[1],
                "strokeDash": list(palette.DASHED),
                "strokeWidth": 1.5,
            },
            "encoding": {"x": x | {"field": "value_ms"}},
        },
        *(
            {
                "data": {"values": [mark]},
                "transform": [
                    *to_milliseconds("value"),
                    {"calculate": "datum.name + ' ' + format(datum.value_ms, ',.3~r')", "as": "text"},
                ],
                "mark": {
                    "type": "text",
                    "align": mark["at"],
                    "dx": -4 if mark["at"] == "right" else 4,
                    "y": -7,
                    "fontSize": 11,
                },
                "encoding": {"x": x | {"field": "value_ms"}, "text": {"field": "text"}},
            }
            for mark in marked
        ),
    ]
    return spec


def timeline_chart(records: Records, window: Mapping[str, Any] | None, by_slot: bool) -> Chart:
    """Each request as a bar from its start over its first to its last content; failures in the colour of their outcome.

    `by_slot` puts the requests of one caller on one line (closed loop); otherwise each has its own.
    """
    rows = timeline_rows(records, by_slot)
    sent = int(np.count_nonzero(records.start_ns != MISSING))
    if not rows:
        return Chart("timeline", "Timeline", "s", "Nothing to draw: no request was sent.", None)
    drawn = len({row["request"] for row in rows})
    words = [f"{plural(drawn, 'request')}, one line for each {'caller' if by_slot else 'request'}."]
    if drawn < sent:
        words.append(f"{sent - drawn:,} more are not drawn; every table and figure counts them.")
    never = len(records) - sent
    if never:
        words.append(f"{plural(never, 'request')} {'was' if never == 1 else 'were'} never sent.")
    lanes = len({row["lane"] for row in rows})
    return Chart("timeline", "Timeline", "s", " ".join(words), _gantt(rows, window, lanes, by_slot))


def timeline_rows(records: Records, by_slot: bool, limit: int = TIMELINE_REQUESTS) -> list[dict[str, Any]]:
    """The bars of at most `limit` requests: {"request", "lane", "phase", "from_s", "to_s"}, two for an answered request."""
    chosen = _chosen(records, by_slot, limit)
    slots = {slot: lane for lane, slot in enumerate(sorted({int(records.slot[row]) for row in chosen}))}
    rows: list[dict[str, Any]] = []
    for place, row in enumerate(chosen):
        request = records[row]
        begin_ns = request.start_ns
        if begin_ns is None:
            continue
        lane = slots[request.slot] if by_slot else place
        first_ns = int(request.arrival_ns[0]) if len(request.arrival_ns) else None
        last_ns = int(request.arrival_ns[-1]) if first_ns is not None else request.end_ns
        what = {"request": request.index, "lane": lane, "outcome": request.outcome.label}
        if request.outcome is Outcome.OK and first_ns is not None and last_ns is not None:
            rows.append(what | {"phase": "to first token", "from_s": begin_ns / 1e9, "to_s": first_ns / 1e9})
            rows.append(what | {"phase": "first to last token", "from_s": first_ns / 1e9, "to_s": last_ns / 1e9})
        elif request.outcome is not Outcome.OK:
            end_ns = request.end_ns if request.end_ns is not None else begin_ns
            rows.append(what | {"phase": request.outcome.label, "from_s": begin_ns / 1e9, "to_s": end_ns / 1e9})
    return rows


def _chosen(records: Records, by_slot: bool, limit: int) -> list[int]:
    """Rows to draw, in order of start: all, or whole callers, or failures, the slowest and an even pick of the rest."""
    sent = np.flatnonzero(records.start_ns != MISSING)
    order = sent[np.argsort(records.start_ns[sent], kind="stable")]
    if len(order) <= limit:
        return [int(row) for row in order]
    if by_slot:
        slots, counts = np.unique(records.slot[order], return_counts=True)
        room = max(1, int(limit / counts.mean()))
        keep = slots[np.unique(np.linspace(0, len(slots) - 1, room).round().astype(np.int64))]
        return [int(row) for row in order[np.isin(records.slot[order], keep)][:limit]]
    failed = order[records.outcome[order] != Outcome.OK][: limit // 2]
    ended = np.where(records.end_ns[order] == MISSING, records.start_ns[order], records.end_ns[order])
    slowest = order[np.argsort(ended - records.start_ns[order], kind="stable")[-10:]]
    special = np.union1d(failed, slowest)
    others = np.setdiff1d(order, special, assume_unique=True)
    others = others[np.unique(np.linspace(0, len(others) - 1, limit - len(special)).round().astype(np.int64))]
    picked = np.isin(order, np.concatenate([special, others]))
    return [int(row) for row in order[picked]]


def _gantt(rows: list[dict[str, Any]], window: Mapping[str, Any] | None, lanes: int, by_slot: bool) -> Spec:
    phases = ["to first token", "first to last token", *(name for name in palette.OUTCOMES)]
    colors = [palette.WAITING, palette.DECODING, *palette.OUTCOMES.values()]
    present = {row["phase"] for row in rows}
    shown = [(phase, color) for phase, color in zip(phases, colors, strict=True) if phase in present]
    spec = frame(rows, min(520, max(110, lanes * 9)))
    x: Spec = {"type": "quantitative", "title": "seconds since the start", "axis": {"grid": True, "tickCount": 8}}
    layers: list[Spec] = []
    if window and window.get("start_s") is not None and window.get("end_s") is not None:
        band = {"from_s": window["start_s"], "to_s": window["end_s"]}
        layers.append(
            {
                "data": {"values": [band]},
                "mark": {"type": "rect", "color": palette.SERIES[2], "opacity": 0.12},
                "encoding": {"x": x | {"field": "from_s"}, "x2": {"field": "to_s"}},
            }
        )
    layers.append(
        {
            "transform": [
                {"calculate": "datum.lane + 0.88", "as": "lane_end"},
                {"calculate": "(datum.to_s - datum.from_s) * 1000", "as": "lasted_ms"},
            ],
            "mark": {"type": "rect"},
            "encoding": {
                "x": x | {"field": "from_s"},
                "x2": {"field": "to_s"},
                "y": {
                    "field": "lane",
                    "type": "quantitative",
                    "title": "caller" if by_slot else "request",
                    "scale": {"reverse": True, "nice": False, "domain": [0, lanes]},
                    "axis": {"grid": False, "labels": False, "ticks": False},
                },
                "y2": {"field": "lane_end"},
                "color": {
                    "field": "phase",
                    "type": "nominal",
                    "title": None,
                    "scale": {"domain": [phase for phase, _ in shown], "range": [color for _, color in shown]},
                    "legend": {"columns": 3},
                },
                "tooltip": [
                    {"field": "request", "title": "request"},
                    {"field": "phase", "title": "phase"},
                    {"field": "from_s", "title": "from (s)", "format": ".4f"},
                    {"field": "lasted_ms", "title": "lasted (ms)", "format": ",.4~r"},
                    {"field": "outcome", "title": "outcome"},
                ],
            },
        }
    )
    spec["layer"] = layers
    return spec
