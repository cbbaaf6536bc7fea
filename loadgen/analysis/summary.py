"""From a recording to the measured part of the run document: plain JSON values, typed by analysis.document.

Invariants: a missing figure is None; latencies come from ok requests alone; the outcomes sum to what was planned.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast

import numpy as np

from loadgen.analysis.client import client_facts
from loadgen.analysis.distributions import distribution_of
from loadgen.analysis.document.run import (
    FailureDocument,
    InFlight,
    LengthFigures,
    Lengths,
    OutsideWindow,
    RequestRates,
    Summary,
    TokenSums,
    WindowDocument,
)
from loadgen.analysis.figures.conversations import by_turn, mean_thinking
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.metrics import METHOD_VERSION, METRICS
from loadgen.analysis.figures.rate_limits import rate_limit_facts
from loadgen.analysis.measured import Measured, measured_of
from loadgen.analysis.stages import STRICT, Stages
from loadgen.analysis.stats import FloatArray
from loadgen.analysis.timestamps import Extent, most_open
from loadgen.analysis.window import Window
from loadgen.engine.records.record import MISSING, Bool, CountedBy, Int32, Int64, Outcome, Recording
from loadgen.engine.records.record_parts import pieces
from loadgen.load.spec import RunSpec

FAILURES_SHOWN = 5
_CONCURRENCY = ("mean", "peak", "thinking_mean")
_SIDES = ("prompt_tokens", "output_tokens")
_LENGTH = ("asked", "mean", "min", "max", "requests_off")
# A number or an id, by which the words of one failure differ from the next's.
_PARTICULAR = re.compile(r"[\w-]*\d[\w-]*")

LengthsOf = Callable[[Measured], Int32]
"""A length of each row in tokens, −1 where nobody knows it."""


def summarise(spec: RunSpec, recording: Recording, stages: Stages = STRICT) -> Summary:
    """Every measured figure of one run of `spec`, under the keys of the run document. Durations in seconds.

    What cannot be made is as `unknown` has it.
    """
    measured = cache(lambda: measured_of(spec, recording.records))  # asked for by each part, which fails by itself
    client = recording.client
    parts: dict[str, Callable[[], Any]] = {
        "outcomes": lambda: _outcomes(measured()),
        "failures": lambda: _failures(measured()),
        "finish_reasons": lambda: dict(client.replies.finish_reasons.most_common()),
        "cut_at_length_requests": lambda: client.replies.cut_at_length,
        **{metric.key.partition(".")[0]: partial(_figures, measured, metric, stages) for metric in METRICS},
        "by_turn": lambda: by_turn(measured()),
        "tokens": lambda: _tokens(measured()),
        "window": lambda: _window(measured()),
        "first_wave": lambda: _outside(measured(), before=True),
        "drain": lambda: _outside(measured(), before=False),
        "concurrency": lambda: _concurrency(measured()),
        "rates": lambda: _rates(measured()),
        "rate_limits": lambda: rate_limit_facts(measured(), recording.refusal),
        "lengths": lambda: _lengths(measured()),
        "client": lambda: client_facts(measured(), client),
    }
    summary = unknown(spec, recording)
    made = {name: stages.make(name, make, summary.get(name)) for name, make in parts.items()}
    return cast(Summary, {**summary, **made})


def unknown(spec: RunSpec, recording: Recording) -> Summary:
    """The summary of a run of which nothing can be made but how its requests ended."""
    by_kind = {kind.label: int(np.count_nonzero(recording.records.outcome == kind)) for kind in Outcome}
    figures = dict.fromkeys((metric.key.partition(".")[0] for metric in METRICS), None)
    summary: dict[str, object] = {
        "method_version": METHOD_VERSION,
        "interrupted": recording.interrupted,
        "outcomes": {"planned": len(recording.records), **by_kind},
        "failures": [],
        "finish_reasons": {},
        "cut_at_length_requests": None,
        **figures,
        "by_turn": None,
        "tokens": dict.fromkeys(TokenSums.__annotations__),
        "window": {"rule": "whole_run", "start_s": None, "end_s": None, "requests": None},
        "first_wave": None,
        "drain": None,
        "concurrency": {"asked": spec.concurrency, **dict.fromkeys(_CONCURRENCY)},
        "rates": dict.fromkeys(RequestRates.__annotations__),
        "rate_limits": None,
        "lengths": {side: dict.fromkeys(_LENGTH) for side in _SIDES},
        "client": {
            "stamp_source": recording.client.stamp_source,
            "workers": recording.client.workers,
            "wall_s": recording.client.wall_s,
            "reads": recording.client.reads,
            "coalesced_ratio": None,
        },
    }
    return cast(Summary, summary)


def _figures(measured: Callable[[], Measured], first: Figure, stages: Stages) -> Any:
    """The metrics of METRICS at the top-level key of `first`: one figure, or an object of several, None when nothing in it is known."""
    top, _, rest = first.key.partition(".")
    if not rest:
        return _figure(first, measured)
    figures = {
        metric.key.removeprefix(f"{top}."): stages.make(metric.key, partial(_figure, metric, measured), None)
        for metric in METRICS
        if metric.key.startswith(f"{top}.")
    }
    known = [part for part in figures.values() if part is not None and not (isinstance(part, dict) and part["n"] == 0)]
    return figures if known else None


def _figure(metric: Figure, measured: Callable[[], Measured]) -> Any:
    if metric.is_distribution:
        return distribution_of(measured().samples(metric.samples))
    return metric.computed(measured())


def _outcomes(measured: Measured) -> dict[str, int]:
    counts = np.zeros(len(Outcome), np.int64)
    for piece in measured.pieces():
        counts += np.bincount(piece.records.outcome, minlength=len(Outcome))
    return {"planned": int(counts.sum()), **{kind.label: int(counts[kind]) for kind in Outcome}}


def _failures(measured: Measured) -> list[FailureDocument]:
    """The commonest failures, most frequent first; those that differ in numbers and ids alone are one, in the words of its first."""
    kinds: Counter[tuple[int, int, str]] = Counter()
    words: dict[tuple[int, int, str], str | None] = {}
    for piece in measured.pieces():
        records = piece.records
        rows = np.flatnonzero(~piece.ok & (records.outcome != Outcome.DROPPED)).tolist()
        worded = Counter((int(records.outcome[i]), int(records.http_status[i]), records.detail[i]) for i in rows)
        for (outcome, status, detail), count in worded.items():
            kind = outcome, status, _PARTICULAR.sub("#", detail or "")
            kinds[kind] += count
            words.setdefault(kind, detail)
    return [
        {"outcome": Outcome(kind[0]).label, "http_status": kind[1] or None, "detail": words[kind], "requests": count}
        for kind, count in kinds.most_common(FAILURES_SHOWN)
    ]


def _tokens(measured: Measured) -> TokenSums:
    """Sums over all ok requests of the run; `counted_by` is the worst source among them of tokens by chunk."""
    sources = [int(piece.records.counted_by[piece.ok].max()) for piece in measured.pieces() if piece.ok.any()]
    prompt, output = _known(measured, _prompt_tokens), _known(measured, _output_tokens)
    hidden = _known(measured, lambda piece: piece.records.hidden_tokens)
    return {
        "prompt": None if prompt is None else prompt.sum,
        "output": None if output is None else output.sum,
        "hidden": None if hidden is None else hidden.sum,
        "hidden_requests": measured.count(lambda piece: piece.ok & (piece.records.hidden_tokens > 0)),
        "contradicted_requests": measured.count(lambda piece: piece.ok & (piece.records.hidden_tokens < 0)),
        "counted_by": CountedBy(max(sources)).label if sources else None,
    }


def _prompt_tokens(measured: Measured) -> Int32:
    """Prompt tokens of each row; no prompt has 0, so that a usage of zero is unknown."""
    return np.where(measured.records.prompt_tokens > 0, measured.records.prompt_tokens, np.int32(-1))


def _output_tokens(measured: Measured) -> Int32:
    """Output tokens of each row, −1 where the number is a guess of one a chunk."""
    return np.where(measured.totalled, measured.records.output_tokens, np.int32(-1))


def _window(measured: Measured) -> WindowDocument:
    """The window on the run's clock, and how many ok requests it holds."""
    window = measured.window
    return {
        "rule": window.rule,
        "start_s": None if window.start_ns is None else window.start_ns / 1e9,
        "end_s": None if window.end_ns is None else window.end_ns / 1e9,
        "requests": measured.count(lambda piece: piece.ok & piece.in_window),
    }


def _outside(measured: Measured, *, before: bool) -> OutsideWindow | None:
    """What the steady state leaves out on one side: ok requests and their TTFT. None when the whole run is measured."""
    window = measured.window
    if window.rule == "whole_run" or window.start_ns is None or window.end_ns is None:
        return None
    start_ns, end_ns = window.start_ns, window.end_ns

    def outside(piece: Measured) -> Bool:
        ended_ns = piece.records.end_ns
        side: Bool = ended_ns <= start_ns if before else ended_ns > end_ns
        return piece.ok & side

    def waited_s(piece: Measured) -> FloatArray:
        rows = outside(piece) & (piece.arrivals > 0)
        return (piece.first_ns[rows] - piece.records.start_ns[rows]) / 1e9

    return {
        "requests": measured.count(outside),
        "ttft_s": distribution_of(measured.samples(waited_s)),
    }


def _concurrency(measured: Measured) -> InFlight:
    """Requests in flight, from sent to ended: time average over the window, peak over the run; who was thinking, on average."""
    turns = measured.spec.workload.turns

    def in_flight() -> Iterator[tuple[Int64, Int64]]:
        for piece in pieces(measured.records):
            carried = (piece.sent_ns != MISSING) & (piece.end_ns != MISSING)
            yield piece.sent_ns[carried], piece.end_ns[carried]

    return {
        "asked": measured.spec.concurrency,
        "mean": _mean_in_flight(in_flight(), measured.window),
        "peak": most_open(in_flight),
        "thinking_mean": None if turns == 1 else mean_thinking(measured.records, turns, measured.window),
    }


def _mean_in_flight(in_flight: Iterable[tuple[Int64, Int64]], window: Window) -> float | None:
    if window.start_ns is None or window.end_ns is None or window.length_s is None:
        return None
    together_ns = 0
    for sent_ns, end_ns in in_flight:
        overlap_ns = np.minimum(end_ns, window.end_ns) - np.maximum(sent_ns, window.start_ns)
        together_ns += int(np.maximum(overlap_ns, 0).sum())
    return together_ns / 1e9 / window.length_s


def _rates(measured: Measured) -> RequestRates:
    """Requests per second: offered (open loop), sent, and completed ok.

    In the open loop the first two are those of the arrivals themselves, (n − 1)/(last − first), so that the time of the
    last answer does not dilute them; otherwise sent and completed count the window's requests over its length. (To count
    the sends in a steady state by their own moments would take in a burst of them at both edges.)
    """
    records, length_s = measured.records, measured.window.length_s
    completed = measured.count(lambda piece: piece.ok & piece.in_window)
    if measured.spec.shape.latency_start == "due":
        offered_per_s = _arrival_rate(piece.due_ns for piece in pieces(records))
        sent_per_s = _arrival_rate(piece.sent_ns for piece in pieces(records))
    else:
        offered_per_s = None
        sent = measured.count(lambda piece: piece.in_window & (piece.records.sent_ns != MISSING))
        sent_per_s = None if length_s is None else sent / length_s
    return {
        "offered_per_s": offered_per_s,
        "sent_per_s": sent_per_s,
        "completed_per_s": None if length_s is None else completed / length_s,
    }


def _arrival_rate(moments_ns: Iterable[Int64]) -> float | None:
    extent = Extent.of(moments_ns)
    if extent is None or extent.length_ns == 0:
        return None
    return (extent.count - 1) / (extent.length_ns / 1e9)


def _lengths(measured: Measured) -> Lengths:
    """Asked and achieved lengths over the ok requests of the run; `requests_off` differ from what each was asked."""
    return {
        "prompt_tokens": _length(measured, lambda piece: piece.records.prompt_tokens_asked, _prompt_tokens),
        "output_tokens": _length(measured, lambda piece: piece.records.output_tokens_asked, _output_tokens),
    }


def _length(measured: Measured, asked: LengthsOf, achieved: LengthsOf) -> LengthFigures:
    """`asked` is the mean of what was asked; None, like `requests_off`, where only the server can tell a length."""
    stated, told = _known(measured, asked), _known(measured, achieved)
    off = measured.count(lambda piece: piece.ok & (achieved(piece) != asked(piece)))
    return {
        "asked": None if stated is None else _whole(stated.mean),
        "mean": None if told is None else told.mean,
        "min": None if told is None else told.min,
        "max": None if told is None else told.max,
        "requests_off": off if told is not None and stated is not None else None,
    }


def _whole(mean: float) -> float:
    return int(mean) if mean.is_integer() else mean


@dataclass(frozen=True, slots=True)
class _Known:
    """Lengths in tokens, all of them known."""

    sum: int
    mean: float
    min: int
    max: int


def _known(measured: Measured, lengths: LengthsOf) -> _Known | None:
    """Those of the ok requests of the run; None where there is none, or one that nobody knows."""
    each = (lengths(piece)[piece.ok] for piece in measured.pieces())
    parts = [(len(some), int(some.sum(dtype=np.int64)), int(some.min()), int(some.max())) for some in each if len(some)]
    if not parts:
        return None
    counts, sums, least, most = zip(*parts, strict=True)
    return None if min(least) < 0 else _Known(sum(sums), sum(sums) / sum(counts), min(least), max(most))
