"""Checks on the instrument itself: stamps, reads, sends, processor, clock, and how tokens were counted."""

from typing import Literal

from loadgen.analysis.document.run import JudgedSummary
from loadgen.analysis.stats import Distribution, highest_percentile
from loadgen.analysis.verdict import Observation, Thresholds, made
from loadgen.load.spec import RunSpec

# From here on the event loop's lag shows in what is stamped at the read; measured, see "Disturbances" in docs/method.md.
LATE_READ_S = 0.3e-3
# Gaps below LATE_READ_S are between the writes of a server that has its whole reply at once. Of those the loop says nothing until it
# is late by LATE_LOOP_S: with such a server, beside other work, the p95 of its lag was 0.2 ms with up to 16 callers and 0.3 to
# 1.1 ms with 64, of which up to 1 ms is the engine's own rest.
# A loop that is late by this hides the smallest gap between chunks that matters. The engine itself rests up to 1 ms, and never
# longer than an eighth of a gap. Chosen: with kernel stamps a loop that was late by less than a gap did no harm.
LATE_LOOP_S = 2e-3
# Below this a late send is no more than the timer's and the kernel's own grain: undisturbed runs of up to 64 callers had 0.07 to
# 1.3 ms on average, on a busy machine.
LATE_SEND_S = 1e-3
BUSY_RATIO = 0.9
RAISE_PRIORITY = "run loadgen as a user who may raise its priority (ulimit -r 1, or CAP_SYS_NICE)"

Lateness = Literal["late", "not late", "cannot tell"]


def stamp_source_read(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Arrivals were stamped when read, so the client's own lateness is in them."""
    client = summary["client"]
    if client["stamp_source"] == "kernel" or not client["reads"]:
        return None  # or nothing ever came that could be stamped
    name, lag_s = _tail(made(client["loop_lag_s"]))
    severity = None if lag_s is None else thresholds.above(lag_s)
    known = "an unknown time" if lag_s is None else f"{_ms(lag_s)} ({name})"
    return Observation(
        severity or "note",
        f"Arrivals were stamped at the read and not by the kernel, and the client's loop was late by {known}.",
        "measure from Linux without a sandbox or proxy that hides the kernel's receive times"
        + (f"; {_woken_sooner(summary)}or lower the load on the client" if severity else ""),
        lag_s or 0.0,
    )


def coalesced(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Several arrivals shared one read and so one stamp. Only a client that was late makes that worse than a doubt."""
    client = summary["client"]
    return _joined(
        summary,
        thresholds,
        client["coalesced_ratio"],
        f"of the {client['events']:,} arrivals shared their stamp with one before them: the shortest gaps are too short and the longest too long.",
        "the gaps then show its writes, not its tokens",
    )


def first_content_coalesced(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """First contents that share a later one's stamp: their TTFT holds the client's delay, if it was the client's."""
    return _joined(
        summary,
        thresholds,
        summary["client"]["first_content_coalesced_ratio"],
        "of the measured requests have a first content that shares its stamp with the next: their TTFT is an upper bound.",
        "TTFT is then that of the first several tokens",
    )


def _joined(
    summary: JudgedSummary, thresholds: Thresholds, ratio: float | None, what: str, if_the_server: str
) -> Observation | None:
    """`ratio` of something shares its stamp. Worse than a doubt only when it is known that the client was late."""
    severity = None if ratio is None else thresholds.above(ratio)
    if ratio is None or severity is None:
        return None
    late = _lateness(summary)
    hint = _joined_hint(summary, late, if_the_server)
    return Observation(severity if late == "late" else "doubtful", f"{ratio:.1%} {what}", hint, ratio)


def send_delay(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Requests went out late by a share that matters of what it touches.

    The open loop's TTFT contains the delay, and a wave is spread out by it: its tail is compared with the median TTFT.
    A closed loop's slot stands idle for it: its mean is compared with the mean end-to-end latency.
    """
    delays = made(summary["client"]["measured_send_delay_s"])
    if spec.shape.has_steady_state:
        name, delay_s = "mean", delays["mean"]
        of, touched_s, what = "mean", made(summary["e2e_latency_s"])["mean"], "end-to-end latency"
    else:
        name, delay_s = _tail(delays)
        of, touched_s, what = "median", made(summary["ttft_s"])["p50"], "TTFT"
    if delay_s is None or touched_s is None or touched_s <= 0 or delay_s <= LATE_SEND_S:
        return None
    severity = thresholds.above(delay_s / touched_s)
    if severity is None:
        return None
    if spec.shape.latency_start == "sent":
        severity = "doubtful"
    return Observation(
        severity,
        f"Requests went out late by {_ms(delay_s)} ({name}), which is {delay_s / touched_s:.1%} of the {of} {what}.",
        f"{_woken_sooner(summary)}give the client a machine of its own, or lower the load",
        delay_s / touched_s,
    )


def client_busy(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The workers had hardly any processor time to spare."""
    ratio = summary["client"]["cpu_ratio"]
    if ratio is None:
        return None
    workers = summary["client"]["workers"]
    return Observation(
        thresholds.above(ratio),
        f"The client was busy for {ratio:.0%} of the run on {'its core' if workers == 1 else f'each of {workers} cores'}.",
        "lower the load, or give the client a machine of its own or a faster one",
        ratio,
    )


def clock_step(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The wall clock jumped during the run, and with it the stamps, which are taken from it whoever takes them."""
    step_s = made(summary["client"]["clock_step_s"])
    return Observation(
        thresholds.above(step_s),
        f"The wall clock jumped by {_ms(step_s)} during the run; arrivals near the jump are off by as much.",
        "run it again; if it recurs, let the time service slew the clock and not step it",
        step_s,
    )


def tokens_assumed(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Nobody said how many tokens each chunk carries, or not even each answer, so figures that need it are not given."""
    tokens = summary["tokens"]
    if tokens["counted_by"] != "assumed":
        return None
    if tokens["output"] is None:
        return Observation(
            "note",
            "The server did not say how many tokens it made: token gaps, TPOT and token throughput are not given.",
            "give the model's tokenizer with --tokenizer, or read the chunk gaps and requests per second",
        )
    if spec.tokenizer is not None:
        return Observation(
            "note",
            f"The tokenizer {spec.tokenizer} and the server disagree on how many tokens the answers have, so the tokens of each chunk are not known: token gaps are not given, and throughput spreads each answer's tokens evenly over its chunks.",
            "give --tokenizer the tokenizer of the very model that is served",
        )
    return Observation(
        "note",
        "The server sent several tokens in a chunk without saying how many: token gaps are not given, and throughput spreads each answer's tokens evenly over its chunks.",
        "give the model's tokenizer with --tokenizer, or use a server that reports token ids or running usage in its streams",
    )


def _lateness(summary: JudgedSummary) -> Lateness:
    """Was the client late to read? Denied only by the largest lag of all: one stall can join what it delayed.

    Late is what could hide the smallest time that matters: 2 ms, or the median gap between chunks where that is shorter, but not one
    below 0.3 ms: those are between the writes of a server that has its whole reply at once.
    """
    lags = made(summary["client"]["loop_lag_s"])
    gap_s = made(summary["chunk_gap_s"])["p50"]
    late_from_s = LATE_LOOP_S if gap_s is None or gap_s < LATE_READ_S else min(LATE_LOOP_S, gap_s)
    _, usual_s = _tail(lags)
    cpu_ratio = summary["client"]["cpu_ratio"]
    if (usual_s is not None and usual_s > late_from_s) or (cpu_ratio is not None and cpu_ratio > BUSY_RATIO):
        return "late"
    return "not late" if lags["max"] is not None and lags["max"] < late_from_s else "cannot tell"


def _joined_hint(summary: JudgedSummary, late: Lateness, what_is_shown: str) -> str:
    """What to do about arrivals that share a stamp; `what_is_shown` holds if it was the server that joined them."""
    match late:
        case "late":
            return (
                f"the client was late to read: {_woken_sooner(summary)}give it a machine of its own, or lower the load"
            )
        case "not late":
            return f"the client was not late, so the server probably sends several events at once; {what_is_shown}"
        case "cannot tell":
            lag_s = made(summary["client"]["loop_lag_s"])["max"]
            seen = "" if lag_s is None else f" (its loop was late by {_ms(lag_s)} at the most)"
            return f"cannot tell whether the client or the server joined them{seen}: give the client a machine of its own and see whether it recurs"


def _woken_sooner(summary: JudgedSummary) -> str:
    """The beginning of a late client's hint, where the system could wake it sooner than it did."""
    return f"{RAISE_PRIORITY}, " if summary["client"]["priority"] == "normal" else ""


def _tail(values: Distribution) -> tuple[str, float | None]:
    """The highest percentile that was not refused, with its name. Never the maximum, which one hiccup makes."""
    name = highest_percentile(values)
    return ("p50", None) if name is None else (name, values[name])


def _ms(duration_s: float) -> str:
    return f"{duration_s * 1e3:.3g} ms"
