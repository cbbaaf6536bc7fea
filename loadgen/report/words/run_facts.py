"""Run documents taken apart for people: highlights, figures, findings, outcomes, and facts as pairs.

Reads documents alone, and takes every key that the contract does not promise as possibly absent.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

from loadgen.analysis.document.run import ImportDocument, KeptReply, LengthFigures, RunDocument
from loadgen.analysis.document.server import EnvironmentDocument
from loadgen.analysis.experts import EXPERT_FIGURES
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.metrics import METRICS
from loadgen.analysis.stats import TAIL_NAMES, Distribution, highest_percentile
from loadgen.analysis.utilisation import UTILISATION_FIGURES
from loadgen.report.figures import COST_PER_MILLION, THROUGHPUT, TTFT, gap_figure, highest, metric_label
from loadgen.report.format import (
    MISSING_FIGURE,
    cell,
    figure,
    flat,
    milliseconds,
    number,
    percent,
    plural,
    seconds,
    shown_unit,
    size,
    timestamp,
)
from loadgen.report.points import MIN_FOR_INTERVAL, LoadPoint, Table, axes, points
from loadgen.report.words.foreign_client import foreign_name, foreign_tool
from loadgen.report.words.remote import cost_line, round_trip_line, round_trip_note, route_line
from loadgen.store.rows import SweepRow

COMMIT_DIGITS = 12
STATISTICS = ("n", "mean", "min", "p50", "p90", "p95", "p99", "max")

_WOKEN = {"realtime": "in real time", "raised": "raised", "normal": "normal"}

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Highlight:
    """One figure at the head of a page."""

    label: str
    value: str
    unit: str
    note: str
    status: str = ""  # the verdict on it, where the page says none of the whole


@dataclass(frozen=True, slots=True)
class FigureLine:
    """A metric's row in a table of figures, with the definition that stands behind it."""

    label: str
    unit: str
    formula: str
    cells: tuple[str, ...]


def reply_label(reply: KeptReply) -> str:
    """Which reply this is and how it ended: `reply 7, stop`, `reply 9, timeout, first 2,000 of 5,123 characters`."""
    ended = reply["outcome"].replace("_", " ") if reply["outcome"] != "ok" else reply["finish_reason"] or "ok"
    shown, all_of_it = len(reply["text"]), reply["characters"]
    cut = f", first {shown:,} of {all_of_it:,} characters" if shown < all_of_it else ""
    return f"reply {reply['index']:,}, {ended}{cut}"


def reply_texts(run: RunDocument) -> Facts:
    """The replies of the run that were kept with their text; empty where none was."""
    return tuple((reply_label(reply), reply["text"] or "(no text)") for reply in run.get("replies") or ())


def distribution_figures(run: RunDocument) -> tuple[FigureLine, ...]:
    """Every distribution metric of the run, one line each, under `STATISTICS`; those without any value are left out."""
    lines = []
    for metric in METRICS:
        values = metric.of(run)
        if not metric.is_distribution or not isinstance(values, dict) or values.get("mean") is None:
            continue
        cells = tuple(
            number(values.get("n")) if name == "n" else figure(values.get(name), metric.unit) for name in STATISTICS
        )
        lines.append(FigureLine(metric.label, shown_unit(metric.unit), metric.formula, cells))
    return tuple(lines)


def scalar_figures(run: RunDocument) -> tuple[FigureLine, ...]:
    """Every metric of one number that the run has."""
    return tuple(
        FigureLine(metric_label(metric, run), shown_unit(metric.unit), metric.formula, (cell(value, metric.unit),))
        for metric in (*METRICS, *UTILISATION_FIGURES, *EXPERT_FIGURES)
        if not metric.is_distribution and (value := metric.read(run)) is not None
    )


def outcome_table(run: RunDocument) -> Table:
    """How the planned requests ended: outcome, number, share. Outcomes that nobody met are left out, `ok` never."""
    planned = run["outcomes"]["planned"]
    rows = [("planned", number(planned), "")]
    rows += [
        (name.replace("_", " "), number(count), percent(count / planned if planned else None))
        for name, count in run["outcomes"].items()
        if name != "planned" and (count or name == "ok")
    ]
    return Table(("outcome", "requests", "share"), tuple(rows))


def length_table(run: RunDocument) -> Table:
    """Lengths asked and achieved, in tokens."""
    lengths = run.get("lengths") or {}
    sides = (("prompt", lengths.get("prompt_tokens")), ("output", lengths.get("output_tokens")))
    return Table(
        ("tokens", "asked", "mean", "min", "max"), tuple((label, *_lengths(of_side)) for label, of_side in sides)
    )


def _lengths(achieved: LengthFigures | None) -> tuple[str, ...]:
    if achieved is None:
        return (MISSING_FIGURE,) * 4
    return tuple(map(number, (achieved["asked"], achieved["mean"], achieved["min"], achieved["max"])))


def turn_table(run: RunDocument) -> Table | None:
    """TTFT and prompt by turn of the conversations; None where each request stands by itself.

    Beside the median stands the highest percentile that every turn has, or else the slowest.
    """
    turns = run.get("by_turn")  # a run of an earlier version has none
    if not turns:
        return None
    waits = [turn["ttft_s"] for turn in turns]
    high = next((name for name in reversed(TAIL_NAMES) if all(wait[name] is not None for wait in waits)), None)
    return Table(
        ("turn", "requests", "prompt tokens", "TTFT p50, ms", f"TTFT {high or 'max'}, ms"),
        tuple(
            (
                number(turn["turn"]),
                number(turn["requests"]),
                number(turn["prompt_tokens_mean"]),
                milliseconds(turn["ttft_s"]["p50"]),
                milliseconds(turn["ttft_s"]["max" if high is None else high]),
            )
            for turn in turns
        ),
    )


def client_facts(run: RunDocument) -> Facts:
    """What the client says of itself: the ground of the verdict."""
    if run.get("foreign"):
        return (
            ("measured by", foreign_tool(run)),
            ("stamps, lags and delays", "not told"),
        )
    client = run["client"]
    return (
        (
            "arrival stamps",
            {"kernel": "kernel (as the bytes came in)", "read": "at the read"}.get(
                str(client.get("stamp_source")), MISSING_FIGURE
            ),
        ),
        ("woken", _WOKEN.get(str(client.get("priority")), MISSING_FIGURE)),
        ("loop lag", _spread(client.get("loop_lag_s"))),
        ("send delay", _spread(client.get("send_delay_s"))),
        ("way", route_line(run) or "direct, plain HTTP"),
        ("network round trip", round_trip_line(run)),
        ("connecting", _spread(client.get("connect_s"))),
        ("coalesced arrivals", percent(client.get("coalesced_ratio"))),
        ("coalesced first contents", percent(client.get("first_content_coalesced_ratio"))),
        (
            "processor",
            f"{percent(client.get('cpu_ratio'))} of {number(client.get('workers'))} worker(s), {seconds(client.get('cpu_s'))}",
        ),
        ("host busy", percent(client.get("host_busy_ratio"))),
        ("content events", number(client.get("events"))),
        (
            "reads",
            f"{number(client.get('reads'))}" + (f" by {client['reads_by']}" if client.get("reads_by") else ""),
        ),
        (
            "connections",
            f"{number(client.get('connections_opened'))} opened, {number(client.get('connections_reopened'))} again",
        ),
        ("clock step", f"{milliseconds(client.get('clock_step_s'))} ms"),
        ("peak memory", size(client.get("peak_rss_bytes"))),
        ("doctor on this host", doctor_line(run) or "not run: see loadgen doctor"),
        ("tokens counted by", str(run["tokens"].get("counted_by") or MISSING_FIGURE).replace("_", " ")),
    )


def _spread(values: Distribution | None) -> str:
    if values is None or not values["n"]:
        return MISSING_FIGURE
    high = highest_percentile(values, TAIL_NAMES)
    tail_s = values["max"] if high is None else values[high]
    return f"p50 {milliseconds(values['p50'])} ms, {high or 'max'} {milliseconds(tail_s)} ms"


def doctor_line(run: RunDocument) -> str:
    """What the doctor last found on the run's host, and when; empty where it had not been run."""
    doctor = run["client"].get("doctor")
    return "" if not doctor else f"{doctor['summary']} ({timestamp(doctor['measured_at'])})"


def import_line(mark: ImportDocument | None) -> str:
    """Where an imported result came from, and when; empty for one that was measured into this database."""
    if not mark:
        return ""
    who = foreign_name(mark.get("tool"), mark.get("tool_version"))
    by = f", measured by {who}" if who else ""
    return f"from {mark['file']}{by}, {timestamp(mark['imported_at'])}, sha256 {mark['sha256']}"


def sweep_import_line(sweep: SweepRow) -> str:
    """Where an imported sweep came from, and when; empty for one that was measured into this database."""
    return import_line(None if sweep.imported is None else cast(ImportDocument, asdict(sweep.imported)))


def limits_line(run: RunDocument) -> str:
    """What limits made of the run: who waited, for how long, and who was refused; empty where there was neither."""
    limits = run.get("rate_limits")
    if not limits:
        return ""
    held = limits["held_requests"]
    waited = f", {seconds(limits['wait_total_s'] / held)} on average" if held else ""
    refused = f"; {limits['refused_requests']:,} answered 429" if limits["refused_requests"] else ""
    return f"{plural(held, 'request')} held back{waited}{refused}"


def load_facts(run: RunDocument) -> Facts:
    """What was asked of the server beside what it came to."""
    window, rates, concurrency = run["window"], run.get("rates") or {}, run.get("concurrency") or {}
    start_s, end_s = window["start_s"], window["end_s"]
    stretch = MISSING_FIGURE if start_s is None or end_s is None else f"{start_s:.2f} s … {end_s:.2f} s"
    return (
        ("load", run["spec"]["load_label"]),
        ("measured window", f"{window['rule'].replace('_', ' ')}, {stretch}"),
        ("requests in the window", number(window["requests"])),
        ("in flight", f"{number(concurrency.get('mean'))} on average, {number(concurrency.get('peak'))} at most"),
        ("offered rate", _per_s(rates.get("offered_per_s"))),
        ("sent rate", _per_s(rates.get("sent_per_s"))),
        ("completed rate", _per_s(rates.get("completed_per_s"))),
        ("limits", limits_line(run) or "none"),
        ("whole run took", seconds(run["elapsed_s"])),
        *((("cost", cost),) if (cost := cost_line(run)) else ()),
    )


def _per_s(rate: float | None) -> str:
    return MISSING_FIGURE if rate is None else f"{number(rate)} /s"


def environment_facts(environment: EnvironmentDocument) -> Facts:
    """What a run ran on, as people read it: memory with a prefix, the commit cut short, and what nobody could tell as such."""
    known: dict[str, object] = {**environment}
    if "memory_bytes" in environment:
        known["memory_bytes"] = size(environment["memory_bytes"])
    if commit := environment.get("git_commit"):
        known["git_commit"] = commit[:COMMIT_DIGITS] + (
            "+" if commit.endswith("+") and len(commit) > COMMIT_DIGITS else ""
        )
    return tuple((key, "not known" if text == MISSING_FIGURE else text) for key, text in flat(known))


def run_highlights(run: RunDocument) -> tuple[Highlight, ...]:
    gap = gap_figure([run])
    outcomes = run["outcomes"]
    ttft_note = "; ".join(filter(None, (_tail_note(run, TTFT), round_trip_note(run))))
    return (
        Highlight("TTFT, median", milliseconds(TTFT.read(run)), "ms", ttft_note),
        Highlight(
            f"{gap.label}, median",
            milliseconds(gap.read(run)),
            "ms",
            _tail_note(run, gap),
        ),
        Highlight(
            "Output",
            number(run.get("output_tokens_per_s")),
            "tokens/s",
            f"{number(run.get('requests_per_s'))} requests/s",
        ),
        Highlight("Answered", f"{outcomes.get('ok', 0):,}", f"of {outcomes['planned']:,}", "requests ended ok"),
    )


def _tail_note(run: RunDocument, of: Figure) -> str:
    name = highest(of, [run])
    return "too few for percentiles" if name is None else f"{name} {milliseconds(of.read(run, name))} ms"


def sweep_highlights(runs: Sequence[RunDocument]) -> tuple[Highlight, ...]:
    """The head of a sweep's page: its best load points by their means over the repeats, and where they were."""
    measured = points(runs, axes(runs)) if runs else []
    gap = gap_figure([run for point in measured for run in point.runs])
    found = (
        _best("Highest output", measured, THROUGHPUT, highest=True),
        _best("Lowest median TTFT", measured, TTFT),
        _best(f"Lowest median {gap.label.lower()}", measured, gap),
        _best("Lowest cost of a million output tokens", measured, COST_PER_MILLION),
    )
    return tuple(highlight for highlight in found if highlight is not None)


def _best(
    name: str,
    measured: Sequence[LoadPoint],
    of: Figure,
    highest: bool = False,
) -> Highlight | None:
    """The point with the best mean of a figure, never the luckiest repeat; None when no point has it."""
    known = [(pooled, point) for point in measured if (pooled := point.pooled(of.read)) is not None]
    if not known:
        return None
    pooled, point = (max if highest else min)(known, key=lambda pair: pair[0].mean)
    words = [_where(point.runs[0])]
    if pooled.half_spread is not None:
        what = "half the range" if pooled.runs < MIN_FOR_INTERVAL else "95 %"
        words.append(f"± {figure(pooled.half_spread, of.unit)} ({what} of {pooled.runs} repeats)")
    return Highlight(name, figure(pooled.mean, of.unit), shown_unit(of.unit), " · ".join(words), point.status)


def _where(run: RunDocument) -> str:
    spec = run["spec"]
    return f"{spec['load_label']}, {number(spec['input_tokens'])} in, {spec['output_tokens']:,} out"
