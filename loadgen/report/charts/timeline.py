"""When each request of a run waited and was answered, drawn line by line.

The requests are those of the run's outline; the caption counts the others.
"""

from typing_extensions import TypedDict

from loadgen.analysis.document.run import WindowDocument
from loadgen.analysis.outline.requests import RequestsOutline
from loadgen.report.charts import palette
from loadgen.report.charts.chart import Chart, Spec, frame, layer, nominal, quantity
from loadgen.report.format import plural

HELD = "held back"
QUEUED = "in the server's queue"
PREFILL = "prefill"
WAITING = "to first token"
DECODING = "first to last token"
HELD_FROM_NS = 1_000_000  # what is shorter is the sending itself


def timeline_chart(requests: RequestsOutline, window: WindowDocument | None, by_slot: bool) -> Chart:
    """Each request as a bar, from when it was due over its first to its last content; failures in the colour of their outcome.

    `requests` are those of the outline (`analysis.outline.requests`). `by_slot` puts the requests of one caller on one line
    (closed loop); otherwise each takes the first line that is free.
    """
    rows = timeline_rows(requests, by_slot)
    drawn, sent, never = len(requests["index"]), requests["sent"], requests["never_sent"]
    if not rows:
        return Chart("timeline", "Timeline", "s", "Nothing to draw: no request was sent.", None)
    words = [f"{plural(drawn, 'request')}, {'one line for each caller' if by_slot else 'each on the first free line'}."]
    if drawn < sent:
        which = "whole callers" if by_slot else "failures, the slowest and an even pick of the rest"
        words.append(f"{sent - drawn:,} more are not drawn (kept: {which}); the figures count them all.")
    if never:
        words.append(f"{plural(never, 'request')} {'was' if never == 1 else 'were'} never sent.")
    if any(row["phase"] == PREFILL for row in rows):
        words.append(
            "The server told how long each lay in its queue; what is left to the first token counts as prefill."
        )
    if window_edges(window):
        words.append("Dashed: the measured window.")
    lanes = max(row["lane"] for row in rows) + 1
    return Chart("timeline", "Timeline", "s", " ".join(words), _gantt(rows, window_edges(window), lanes, by_slot))


class Bar(TypedDict):
    request: int
    lane: int
    outcome: str
    phase: str
    from_s: float
    to_s: float


def timeline_rows(requests: RequestsOutline, by_slot: bool) -> list[Bar]:
    """The bars of an outline's requests, in order of start.

    An answered request has one before and one after its first content, and one before its sending where it was held back. The one
    before is in two where the server told how long the request lay in its queue. Any other request has one.
    """
    slots = {slot: lane for lane, slot in enumerate(sorted(set(requests["slot"])))}
    free_ns: list[int] = []
    bars: list[Bar] = []
    for number, index in enumerate(requests["index"]):
        edges_ns, phases = _phases(requests, number)
        lane = slots[requests["slot"][number]] if by_slot else _first_free(free_ns, edges_ns[0], edges_ns[-1])
        for phase, from_ns, to_ns in zip(phases, edges_ns[:-1], edges_ns[1:], strict=True):
            bars.append(
                {
                    "request": index,
                    "lane": lane,
                    "outcome": requests["outcome"][number],
                    "phase": phase,
                    "from_s": from_ns / 1e9,
                    "to_s": to_ns / 1e9,
                }
            )
    return bars


def _phases(requests: RequestsOutline, number: int) -> tuple[list[int], list[str]]:
    """The edges of a request's bars, and what each bar is, one fewer."""
    start_ns, sent_ns, ended_ns = requests["start_ns"][number], requests["sent_ns"][number], requests["end_ns"][number]
    first_ns, last_ns = requests["first_content_ns"][number], requests["last_content_ns"][number]
    assert start_ns is not None, "an outline has requests that were sent"
    outcome = requests["outcome"][number]
    if outcome != "ok" or first_ns is None or last_ns is None:
        return [start_ns, start_ns if ended_ns is None else ended_ns], [outcome.replace("_", " ")]
    begin_ns = start_ns if sent_ns is None else min(start_ns, sent_ns - (requests["limit_wait_ns"][number] or 0))
    edges_ns, phases = [begin_ns], []
    if sent_ns is not None and sent_ns - begin_ns >= HELD_FROM_NS:
        edges_ns.append(sent_ns)
        phases.append(HELD)
    queue_s = requests["server_queue_s"][number]
    if queue_s is None:
        phases.append(WAITING)
    else:
        edges_ns.append(min(first_ns, edges_ns[-1] + round(queue_s * 1e9)))
        phases += [QUEUED, PREFILL]
    return [*edges_ns, first_ns, last_ns], [*phases, DECODING]


def _first_free(free_ns: list[int], start_ns: int, end_ns: int) -> int:
    """The first lane that is free at `start_ns`, taken until `end_ns`."""
    for lane, free in enumerate(free_ns):
        if free <= start_ns:
            free_ns[lane] = end_ns
            return lane
    free_ns.append(end_ns)
    return len(free_ns) - 1


def window_edges(window: WindowDocument | None) -> list[float]:
    """The edges of the measured window in seconds; empty when there is none."""
    edges = [] if window is None else [window["start_s"], window["end_s"]]
    return [float(edge) for edge in edges if edge is not None]


def _gantt(rows: list[Bar], edges: list[float], lanes: int, by_slot: bool) -> Spec:
    phases = {HELD: palette.HELD, QUEUED: palette.QUEUED, PREFILL: palette.PREFILL}
    phases |= {WAITING: palette.WAITING, DECODING: palette.DECODING}
    phases |= {name.replace("_", " "): color for name, color in palette.OUTCOMES.items()}
    present = {row["phase"] for row in rows}
    shown = {phase: color for phase, color in phases.items() if phase in present}
    spec = frame(rows, min(480, max(90, lanes * 11)))
    x = quantity("from_s", "seconds since the start", {"nice": False}, grid=True, tickCount=8)
    downwards: Spec = {"reverse": True, "nice": False, "domain": [0, lanes]}
    y = quantity("lane", "caller" if by_slot else None, downwards, grid=False, labels=False, ticks=False)
    color = nominal("phase", list(shown), list(shown.values()), has_legend=True)
    tooltip = [
        {"field": "request", "title": "request"},
        {"field": "phase", "title": "phase"},
        {"field": "from_s", "title": "from (s)", "format": ".4f"},
        {"field": "lasted_ms", "title": "lasted (ms)", "format": ",.4~r"},
        {"field": "outcome", "title": "outcome"},
    ]
    along: Spec = {"x": x, "x2": {"field": "to_s"}, "y": y, "y2": {"field": "lane_end"}}
    bars = layer({"type": "rect"}, along | {"color": color, "tooltip": tooltip})
    bars["transform"] = [
        {"calculate": "datum.lane + 0.86", "as": "lane_end"},
        {"calculate": "(datum.to_s - datum.from_s) * 1000", "as": "lasted_ms"},
    ]
    rule = {"type": "rule", "strokeDash": list(palette.DASHED), "strokeWidth": 2}
    window = layer(rule, {"x": x | {"field": "edge_s"}}, values=[{"edge_s": edge} for edge in edges])
    spec["layer"] = [bars, window] if edges else [bars]
    return spec
