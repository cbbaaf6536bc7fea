"""The charts of one run: how its latencies are distributed, and when each of its requests waited and was answered.

May import load, engine, analysis and the rest of report. At most `TIMELINE_REQUESTS` requests are drawn, and of the tail
of a distribution at most `TAIL_VALUES`, the extremes always among them; the rest is counted in the caption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.analysis.measured import measure
from loadgen.analysis.metrics import METRICS
from loadgen.engine.record import MISSING, Outcome, Records
from loadgen.load.spec import ClosedLoop, RunSpec
from loadgen.report import palette
from loadgen.report.charts import Chart, Spec, frame, to_milliseconds, wants_log
from loadgen.report.points import Document
from loadgen.report.readable import milliseconds, plural
from loadgen.report.sweep_charts import gap_metric

Float = NDArray[np.float64]
TIMELINE_REQUESTS = 1_000
TAIL_VALUES = 300
BINS = 60
SHORTEST_S = 1e-5  # where a logarithmic axis begins when some values are 0: two events in one read share a stamp


WAITING = "to first token"
DECODING = "first to last token"
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
    ends = (
        [] if not len(above_zero) else [max(float(above_zero[0]), SHORTEST_S), max(float(above_zero[-1]), SHORTEST_S)]
    )
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
    return Chart(key, title, "ms", " ".join(words), _histogram(bins, marked, tail, log))


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


def _histogram(bins: list[dict[str, Any]], marked: list[dict[str, Any]], tail: Float, log: bool) -> Spec:
    x = {
        "type": "quantitative",
        "title": None,
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

    `by_slot` puts the requests of one caller on one line (closed loop); otherwise each takes the first line that is free.
    """
    chosen = _chosen(records, by_slot, TIMELINE_REQUESTS)
    rows = timeline_rows(records, chosen, by_slot)
    sent = int(np.count_nonzero(records.start_ns != MISSING))
    if not rows:
        return Chart("timeline", "Timeline", "s", "Nothing to draw: no request was sent.", None)
    words = [
        f"{plural(len(chosen), 'request')}, {'one line for each caller' if by_slot else 'each on the first free line'}."
    ]
    if len(chosen) < sent:
        which = "whole callers" if by_slot else "failures, the slowest and an even pick of the rest"
        words.append(f"{sent - len(chosen):,} more are not drawn (kept: {which}); the figures count them all.")
    never = len(records) - sent
    if never:
        words.append(f"{plural(never, 'request')} {'was' if never == 1 else 'were'} never sent.")
    if _edges(window):
        words.append("Dashed: the measured window.")
    lanes = max(row["lane"] for row in rows) + 1
    return Chart("timeline", "Timeline", "s", " ".join(words), _gantt(rows, _edges(window), lanes, by_slot))


def timeline_rows(records: Records, chosen: Sequence[int], by_slot: bool) -> list[dict[str, Any]]:
    """The bars of the chosen rows, in order of start: {"request", "lane", "phase", "from_s", "to_s", "outcome"}.

    An answered request has two, one before and one after its first content; any other has one.
    """
    slots = {slot: lane for lane, slot in enumerate(sorted({int(records.slot[row]) for row in chosen}))}
    free_ns: list[int] = []
    bars: list[dict[str, Any]] = []
    for row in chosen:
        request = records[row]
        if request.start_ns is None:
            continue
        answered = request.outcome is Outcome.OK and len(request.arrival_ns) > 0
        end_ns = int(request.arrival_ns[-1]) if answered else request.end_ns
        end_ns = request.start_ns if end_ns is None else end_ns
        lane = slots[request.slot] if by_slot else _first_free(free_ns, request.start_ns, end_ns)
        what = {"request": request.index, "lane": lane, "outcome": request.outcome.label}
        edges_ns = [request.start_ns, int(request.arrival_ns[0]), end_ns] if answered else [request.start_ns, end_ns]
        phases = [WAITING, DECODING] if answered else [request.outcome.label.replace("_", " ")]
        for phase, from_ns, to_ns in zip(phases, edges_ns[:-1], edges_ns[1:], strict=True):
            bars.append(what | {"phase": phase, "from_s": from_ns / 1e9, "to_s": to_ns / 1e9})
    return bars


def _first_free(free_ns: list[int], start_ns: int, end_ns: int) -> int:
    """The first lane that is free at `start_ns`, taken until `end_ns`."""
    for lane, free in enumerate(free_ns):
        if free <= start_ns:
            free_ns[lane] = end_ns
            return lane
    free_ns.append(end_ns)
    return len(free_ns) - 1


def _edges(window: Mapping[str, Any] | None) -> list[float]:
    """The edges of the measured window in seconds; empty when there is none."""
    edges = [(window or {}).get("start_s"), (window or {}).get("end_s")]
    return [float(edge) for edge in edges if edge is not None]


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


def _gantt(rows: list[dict[str, Any]], edges: list[float], lanes: int, by_slot: bool) -> Spec:
    phases = {WAITING: palette.WAITING, DECODING: palette.DECODING}
    phases |= {name.replace("_", " "): color for name, color in palette.OUTCOMES.items()}
    present = {row["phase"] for row in rows}
    shown = {phase: color for phase, color in phases.items() if phase in present}
    spec = frame(rows, min(480, max(90, lanes * 11)))
    x: Spec = {
        "type": "quantitative",
        "title": "seconds since the start",
        "scale": {"nice": False},
        "axis": {"grid": True, "tickCount": 8},
    }
    y: Spec = {
        "field": "lane",
        "type": "quantitative",
        "title": "caller" if by_slot else None,
        "scale": {"reverse": True, "nice": False, "domain": [0, lanes]},
        "axis": {"grid": False, "labels": False, "ticks": False},
    }
    color: Spec = {
        "field": "phase",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(shown), "range": list(shown.values())},
        "legend": {"columns": 3},
    }
    bars: Spec = {
        "transform": [
            {"calculate": "datum.lane + 0.86", "as": "lane_end"},
            {"calculate": "(datum.to_s - datum.from_s) * 1000", "as": "lasted_ms"},
        ],
        "mark": {"type": "rect"},
        "encoding": {
            "x": x | {"field": "from_s"},
            "x2": {"field": "to_s"},
            "y": y,
            "y2": {"field": "lane_end"},
            "color": color,
            "tooltip": [
                {"field": "request", "title": "request"},
                {"field": "phase", "title": "phase"},
                {"field": "from_s", "title": "from (s)", "format": ".4f"},
                {"field": "lasted_ms", "title": "lasted (ms)", "format": ",.4~r"},
                {"field": "outcome", "title": "outcome"},
            ],
        },
    }
    window: Spec = {
        "data": {"values": [{"edge_s": edge} for edge in edges]},
        "mark": {"type": "rule", "color": palette.SERIES[1], "strokeDash": list(palette.DASHED), "strokeWidth": 1.5},
        "encoding": {"x": x | {"field": "edge_s"}},
    }
    spec["layer"] = [bars, window] if edges else [bars]
    return spec
