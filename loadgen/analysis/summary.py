"""From a recording to the measured part of the run document: plain JSON values, as DESIGN's contract of a run names them.

Imports load, engine and its own room. Invariants: a missing figure is None; latencies come from ok requests alone; the
outcomes sum to what was planned.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from loadgen.analysis.client import client_facts
from loadgen.analysis.conversations import by_turn, mean_thinking
from loadgen.analysis.measured import Measured, measure
from loadgen.analysis.metrics import METHOD_VERSION, METRICS
from loadgen.analysis.rate_limits import rate_limit_facts
from loadgen.analysis.stats import distribution
from loadgen.analysis.window import Window
from loadgen.engine.columns import let_go
from loadgen.engine.record import MISSING, Bool, CountedBy, Int32, Int64, Outcome, Recording
from loadgen.load.spec import OpenLoop, RunSpec

FAILURES_SHOWN = 5
_PARTICULAR = re.compile(
    r"[\w-]*\d[\w-]*"
)  # a number or an id, by which the words of one failure differ from the next's

Given = ParamSpec("Given")
Part = TypeVar("Part")


def summarise(spec: RunSpec, recording: Recording) -> dict[str, Any]:
    """Every measured figure of one run of `spec`, under the keys of the run document. Durations in seconds."""
    records = recording.records

    def part(compute: Callable[Given, Part], *given: Given.args, **named: Given.kwargs) -> Part:
        """One part after the other, so that only those columns take memory of which it is made."""
        try:
            return compute(*given, **named)
        finally:
            let_go(records)

    measured = part(measure, spec, records)
    return {
        "method_version": METHOD_VERSION,
        "interrupted": recording.interrupted,
        "outcomes": part(_outcomes, measured),
        "failures": part(_failures, measured),
        **part(_figures, measured),
        "by_turn": part(by_turn, measured),
        "tokens": part(_tokens, measured),
        "window": part(_window, measured),
        "first_wave": part(_outside, measured, before=True),
        "drain": part(_outside, measured, before=False),
        "concurrency": part(_concurrency, measured),
        "rates": part(_rates, measured),
        "rate_limits": part(rate_limit_facts, measured, recording.refusal),
        "lengths": part(_lengths, measured),
        "client": part(client_facts, measured, recording.client),
    }


def _figures(measured: Measured) -> dict[str, Any]:
    """METRICS, dotted keys as nested objects; an object in which nothing is known is None."""
    figures: dict[str, Any] = {}
    for metric in METRICS:
        value = metric.compute(measured)
        *path, name = metric.key.split(".")
        place = figures
        for part in path:
            place = place.setdefault(part, {})
        place[name] = distribution(value) if isinstance(value, np.ndarray) else value
        let_go(measured.records)
    return {key: None if _all_none(value) else value for key, value in figures.items()}


def _all_none(value: Any) -> bool:
    return isinstance(value, dict) and all(part is None or _is_empty(part) for part in value.values())


def _is_empty(part: Any) -> bool:
    """Whether it is the distribution of no samples."""
    return isinstance(part, dict) and part.get("n") == 0


def _outcomes(measured: Measured) -> dict[str, int]:
    outcome = measured.records.outcome
    counts = {kind.label: int(np.count_nonzero(outcome == kind)) for kind in Outcome}
    return {"planned": len(outcome), **counts}


def _failures(measured: Measured) -> list[dict[str, Any]]:
    """The commonest failures, most frequent first; those that differ in numbers and ids alone are one, in the words of its first."""
    records = measured.records
    rows = np.flatnonzero(~measured.ok & (records.outcome != Outcome.DROPPED)).tolist()
    worded = Counter((int(records.outcome[i]), int(records.http_status[i]), records.detail[i]) for i in rows)
    kinds: Counter[tuple[int, int, str]] = Counter()
    words: dict[tuple[int, int, str], str | None] = {}
    for (outcome, status, detail), count in worded.items():
        kind = outcome, status, _PARTICULAR.sub("#", detail or "")
        kinds[kind] += count
        words.setdefault(kind, detail)
    return [
        {"outcome": Outcome(kind[0]).label, "http_status": kind[1] or None, "detail": words[kind], "requests": count}
        for kind, count in kinds.most_common(FAILURES_SHOWN)
    ]


def _tokens(measured: Measured) -> dict[str, Any]:
    """Sums over all ok requests of the run; `counted_by` is the worst source among them of tokens by chunk."""
    records, ok = measured.records, measured.ok
    return {
        "prompt": _known_sum(records.prompt_tokens[ok]),
        "output": _known_sum(_output_tokens(measured)[ok]),
        "counted_by": CountedBy(int(records.counted_by[ok].max())).label if ok.any() else None,
    }


def _output_tokens(measured: Measured) -> Int32:
    """Output tokens of each row, −1 where the number is a guess of one a chunk."""
    return np.where(measured.totalled, measured.records.output_tokens, np.int32(-1))


def _known_sum(counts: Int32) -> int | None:
    if len(counts) == 0 or (counts < 0).any():
        return None
    return int(counts.sum(dtype=np.int64))


def _window(measured: Measured) -> dict[str, Any]:
    """The window on the run's clock, and how many ok requests it holds."""
    window = measured.window
    return {
        "rule": window.rule,
        "start_s": None if window.start_ns is None else window.start_ns / 1e9,
        "end_s": None if window.end_ns is None else window.end_ns / 1e9,
        "requests": int(np.count_nonzero(measured.ok & window.requests)),
    }


def _outside(measured: Measured, *, before: bool) -> dict[str, Any] | None:
    """What the steady state leaves out on one side: ok requests and their TTFT. None when the whole run is measured."""
    window = measured.window
    if window.rule == "whole_run" or window.start_ns is None or window.end_ns is None:
        return None
    end_ns = measured.records.end_ns
    side: Bool = end_ns <= window.start_ns if before else end_ns > window.end_ns
    rows = measured.ok & side & (measured.arrivals > 0)
    waited_s = (measured.first_ns[rows] - measured.records.start_ns[rows]) / 1e9
    return {"requests": int(np.count_nonzero(measured.ok & side)), "ttft_s": distribution(waited_s)}


def _concurrency(measured: Measured) -> dict[str, Any]:
    """Requests in flight, from sent to ended: time average over the window, peak over the run; who was thinking, on average."""
    records, window = measured.records, measured.window
    carried = (records.sent_ns != MISSING) & (records.end_ns != MISSING)
    sent_ns, end_ns = records.sent_ns[carried], records.end_ns[carried]
    turns = measured.spec.workload.turns
    return {
        "asked": measured.spec.concurrency,
        "mean": _mean_in_flight(sent_ns, end_ns, window),
        "peak": _peak(sent_ns, end_ns),
        "thinking_mean": None if turns == 1 else mean_thinking(records, turns, window),
    }


def _mean_in_flight(sent_ns: Int64, end_ns: Int64, window: Window) -> float | None:
    if window.start_ns is None or window.end_ns is None or window.length_s is None:
        return None
    overlap_ns = np.minimum(end_ns, window.end_ns) - np.maximum(sent_ns, window.start_ns)
    return float(np.maximum(overlap_ns, 0).sum()) / 1e9 / window.length_s


def _peak(sent_ns: Int64, end_ns: Int64) -> int:
    """The most intervals open at once; one that ends when another begins does not overlap it."""
    if len(sent_ns) == 0:
        return 0
    ended = np.searchsorted(np.sort(end_ns), np.sort(sent_ns), side="right")  # by the time of each beginning
    return int((np.arange(1, len(ended) + 1) - ended).max())


def _rates(measured: Measured) -> dict[str, float | None]:
    """Requests per second: offered (open loop), sent, and completed ok.

    In the open loop the first two are those of the arrivals themselves, (n − 1)/(last − first), so that the time of the
    last answer does not dilute them; otherwise sent and completed count the window's requests over its length. (To count
    the sends in a steady state by their own moments would take in a burst of them at both edges.)
    """
    records, window = measured.records, measured.window
    sent = records.sent_ns != MISSING
    length_s = window.length_s
    completed = int(np.count_nonzero(measured.ok & window.requests))
    if isinstance(measured.spec.shape, OpenLoop):
        offered_per_s = _arrival_rate(records.due_ns[records.due_ns != MISSING])
        sent_per_s = _arrival_rate(records.sent_ns[sent])
    else:
        offered_per_s = None
        sent_per_s = None if length_s is None else int(np.count_nonzero(sent & window.requests)) / length_s
    return {
        "offered_per_s": offered_per_s,
        "sent_per_s": sent_per_s,
        "completed_per_s": None if length_s is None else completed / length_s,
    }


def _arrival_rate(moments_ns: Int64) -> float | None:
    if len(moments_ns) < 2 or moments_ns.max() == moments_ns.min():
        return None
    return (len(moments_ns) - 1) / (int(moments_ns.max() - moments_ns.min()) / 1e9)


def _lengths(measured: Measured) -> dict[str, dict[str, float | None]]:
    """Asked and achieved lengths over the ok requests of the run; `requests_off` differ from what each was asked."""
    records, ok = measured.records, measured.ok
    return {
        "prompt_tokens": _length(records.prompt_tokens_asked[ok], records.prompt_tokens[ok]),
        "output_tokens": _length(records.output_tokens_asked[ok], _output_tokens(measured)[ok]),
    }


def _length(asked_each: Int32, achieved: Int32) -> dict[str, float | None]:
    """`asked` is the mean of what was asked; None, like `requests_off`, where only the server can tell a length."""
    told = len(achieved) > 0 and not (achieved < 0).any()
    stated = len(asked_each) > 0 and not (asked_each < 0).any()
    return {
        "asked": _mean(asked_each) if stated else None,
        "mean": float(achieved.mean()) if told else None,
        "min": int(achieved.min()) if told else None,
        "max": int(achieved.max()) if told else None,
        "requests_off": int(np.count_nonzero(achieved != asked_each)) if told and stated else None,
    }


def _mean(lengths: Int32) -> float:
    mean = float(lengths.mean())
    return int(mean) if mean.is_integer() else mean
