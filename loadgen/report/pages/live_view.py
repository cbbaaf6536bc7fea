"""What a page says of a sweep while it is measured: words and two small courses, from its row of progress.

The row is a glance of what goes on, not a result: the run's figures come after it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from loadgen.report.format import milliseconds, number, percent, plural, seconds, setting
from loadgen.store.rows import ProgressDocument, ProgressRequests, ProgressRow, ProgressRun

COURSE_WIDTH, COURSE_HEIGHT = 300, 40
_MIN_STEPS = 30  # a course of fewer would be stretched to a wild one
_SCHEMA_VERSION = 1
QUIET_S = 15
"""Without a report for longer than this, prompts are being prepared, or the process hangs or is gone."""


@dataclass(frozen=True, slots=True)
class Course:
    """A small line over the last minutes: the `d` of an SVG path in a box of `COURSE_WIDTH` by `COURSE_HEIGHT`, and its top."""

    path: str
    top: str


@dataclass(frozen=True, slots=True)
class LiveView:
    """The present run, its counts and its courses, as text ready to print. A figure that nobody knows is a dash."""

    said: str  # in one sentence, for who hears the page: changes when a run or a phase does
    where: str
    phase: str
    done_ratio: float
    done: str
    rate: str
    ttft: str
    ttft_note: str
    in_flight: str
    in_flight_note: str
    failed: str
    outcomes: str
    left: str
    left_note: str
    rates: Course
    ttfts: Course


def live_view(row: ProgressRow | None, now: datetime) -> LiveView:
    """The view of a sweep that is being measured; of dashes where its process has not said anything yet."""
    told = reported(row)
    run, trail, left_s = told.get("run"), told.get("trail"), told.get("left_s")
    requests, ttft = (None, None) if run is None else (run["requests"], run["ttft_s"])
    where, phase = _where(told), _phase(told)
    window = f"last {setting(10.0 if run is None else run['window_s'])} s"
    step_s = 2.0 if trail is None else float(trail["step_s"])
    heard_s = 0.0 if row is None else (now - datetime.fromisoformat(row.updated_at)).total_seconds()
    return LiveView(
        said=f"{where}: {phase}",
        where=where,
        phase=phase,
        done_ratio=min(1.0, max(0.0, 0.0 if run is None else run["done_ratio"])),
        done="" if run is None else _done(run),
        rate=number(run and run["requests_per_s"]),
        ttft=milliseconds(ttft and ttft["p50"]),
        ttft_note=(
            f"median, {window}; highest {milliseconds(ttft['max'])} ms; of {plural(ttft['n'], 'request')} watched"
            if ttft
            else f"median, {window}"
        ),
        in_flight=number(requests and requests["in_flight"]),
        in_flight_note=_waiting(requests),
        failed=number(requests and requests["failed"]),
        outcomes=_outcomes(told),
        left=seconds(None if left_s is None else round(left_s)),
        left_note=f"nothing new for {seconds(round(heard_s))}" if heard_s > QUIET_S else _left_note(told),
        rates=_course(trail["requests_per_s"] if trail else (), number, "per second", step_s),
        ttfts=_course(trail["ttft_p50_s"] if trail else (), milliseconds, "ms", step_s),
    )


def live_line(row: ProgressRow | None) -> str:
    """The same in a few words, for a list; empty when nothing was said."""
    told = reported(row)
    if not told:
        return ""
    run = told.get("run")
    if run is None:
        return _phase(told)
    parts = [run["load_label"], run["phase"] if run["phase"] != "measuring" else percent(run["done_ratio"])]
    if (left_s := told.get("left_s")) is not None:
        parts.append(f"{seconds(round(left_s))} left")
    return " · ".join(parts)


def reported(row: ProgressRow | None) -> ProgressDocument:
    """What the row says; nothing where another loadgen wrote it in words that this one does not know."""
    if row is None or row.document.get("schema_version") != _SCHEMA_VERSION:
        return {}
    return row.document


def _where(told: ProgressDocument) -> str:
    run, runs = told.get("run"), told.get("runs")
    if not runs or not runs["planned"]:
        return "The sweep goes on"
    of = f"{'at most ' if runs['at_most'] else ''}{runs['planned']:,}"
    if run is None:
        return f"{number(runs['ended'])} of {of} runs ended"
    lengths = f"{number(run['input_tokens'])} in, {run['output_tokens']:,} out"
    return f"Run {run['position']:,} of {of}: {run['load_label']}, {lengths}"


def _left_note(told: ProgressDocument) -> str:
    """What the time left is of; of a group, where it stands and how long all of it takes."""
    group = told.get("group")
    if not group:
        return "estimated, of the whole sweep"
    loads = f", load {group['load']:,} of {group['loads']:,}" if group["loads"] > 1 else ""
    left_s = group["left_s"]
    whole = "" if left_s is None else f"; {seconds(round(left_s))} of the whole group"
    return (
        f"estimated, of this sweep; server {group['server']:,} of {group['servers']:,}{loads}, "
        f"run {group['run']:,} of {group['runs']:,}{whole}"
    )


def _phase(told: ProgressDocument) -> str:
    if told.get("server_stage"):
        return str(told["server_stage"])
    run = told.get("run")
    return "between two runs" if told and run is None else "" if run is None else str(run["phase"])


def _done(run: ProgressRun) -> str:
    requests = run["requests"]
    ended = f"{requests['ended']:,}"
    if run["duration_s"] is not None and run["phase"] == "measuring":
        return f"{ended} requests ended, {setting(round(run['elapsed_s']))} of {setting(run['duration_s'])} s"
    return f"{ended} of {plural(requests['planned'], 'request')} ended" if requests["planned"] else f"{ended} ended"


def _waiting(requests: ProgressRequests | None) -> str:
    parts = ["requests"]
    if requests and requests.get("held"):
        parts.append(f"{requests['held']:,} held back by a limit")
    if requests and requests.get("thinking"):
        parts.append(f"{plural(requests['thinking'], 'user')} thinking")
    return "; ".join(parts)


def _outcomes(told: ProgressDocument) -> str:
    counts = {label.replace("_", " "): count for label, count in (told.get("outcomes") or {}).items()}
    said = ", ".join(f"{count:,} {label}" for label, count in counts.items())
    return f"in this run; runs before: {said}" if said else "in this run"


def _course(values: Sequence[float | None], shown: Callable[[float], str], unit: str, step_s: float) -> Course:
    """A line that ends at the right edge, a place for each step; steps without a value are a gap."""
    known = [value for value in values if value is not None]
    if not known:
        return Course("", "")
    top, steps = max(known), max(_MIN_STEPS, len(values))
    parts: list[str] = []
    before: float | None = None
    for at, value in enumerate(values, start=steps - len(values)):
        if value is not None:
            x = COURSE_WIDTH * at / (steps - 1)
            y = COURSE_HEIGHT - 2 - (value / top * (COURSE_HEIGHT - 4) if top else 0)
            # A tiny stroke at each beginning is a dot where no line follows.
            parts.append(f"M{x:.0f} {y:.1f}h.1" if before is None else f"L{x:.0f} {y:.1f}")
        before = value
    return Course("".join(parts), f"0 to {shown(top)} {unit}, last {seconds(round(step_s * steps))}")
