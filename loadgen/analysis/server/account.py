"""What the server's own counters and histograms say of a run, beside what the client knows of it.

Of a server whose names are not known (`engine_names`) nothing is said. Durations in seconds.
"""

from collections.abc import Sequence

import numpy as np

from loadgen.analysis.bucketed import between
from loadgen.analysis.distributions import distribution_of, sum_of
from loadgen.analysis.document.server import AccountRates, GaugeFigures, ServerAccount, Speculation
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.metrics import chunk_gaps_s
from loadgen.analysis.measured import Measured
from loadgen.analysis.server.engine_names import EngineNames
from loadgen.analysis.server.readings import Reading, Span, span_of, why_unknown
from loadgen.analysis.stats import FloatArray
from loadgen.engine.records.record import MISSING, Bool, Int64


class _Moved(dict[str, float]):
    """How far each series moved."""

    def of(self, name: str | None) -> float | None:
        """None where the engine has no such counter, or the page did not show it."""
        return None if name is None else self.get(name)


def server_account(readings: Sequence[Reading], measured: Measured) -> ServerAccount | None:
    """How far the counters moved from the last reading before t = 0 to the last of all, and what the client saw of the same.

    None without a reading on both sides, or when anything speaks against one server's account (`server_readings`). A figure that
    cannot be used is None. What `client_` figures are made of is the whole run, as the server's are: `client_ttft_mean_s` is from the
    sending, over all ok requests.
    """
    span = span_of(readings)
    if span is None or why_unknown(readings, span, measured) is not None:
        return None
    begin, end, names, told = span.begin.values, span.end.values, span.names, span.readings
    missing = _not_usable(span)
    moved = _Moved({name: after - begin.get(name, 0.0) for name, after in end.items() if name not in missing})
    times = {key: between(begin, end, name) for key, name in names.times.items() if f"{name}_bucket" not in missing}
    finished, ttft, gaps = _whole(moved.of(names.finished)), times.get("ttft_s"), times.get("step_gap_s")
    waited_s = distribution_of(measured.samples(_client_ttft_s))
    return {
        "engine": names.engine,
        "readings": len(told),
        "requests_finished": finished,
        "requests_sent": measured.count(lambda piece: piece.records.sent_ns != MISSING),
        "output_tokens": _whole(moved.of(names.output_tokens)),
        "client_output_tokens": _client_output_tokens(measured),
        "prompt_tokens": _whole(moved.of(names.prompt_tokens)),
        **_rates(span, moved, measured),
        "prefix_cache_hit_ratio": _ratio(moved.of(names.prefix_hits), moved.of(names.prefix_queries)),
        "preemptions": _whole(moved.of(names.preemptions)),
        "running_requests": _through(told, measured, names.running),
        "waiting_requests": _through(told, measured, names.waiting),
        "kv_cache_usage_ratio": _share_through(told, measured, names.kv_cache_usage),
        "speculation": _speculation(moved, names),
        "first_tokens": None if ttft is None else ttft.n,
        "ttft_mean_s": None if ttft is None else ttft.mean,
        "client_first_tokens": waited_s["n"],
        "client_ttft_mean_s": waited_s["mean"],
        "step_gap_total_s": None if gaps is None else gaps.total,
        "client_chunk_gap_total_s": sum_of(measured.samples(_client_gaps_s)),
        "times": {key: told.to_json() for key, told in times.items() if told is not None},
        "client_times": {"ttft_s": waited_s, "step_gap_s": distribution_of(measured.samples(_client_gaps_s))},
    }


def _not_usable(span: Span) -> frozenset[str]:
    """Series of which the first or the last reading has no usable number, or the last has lost a part."""
    gone = {key.split("{")[0] for key in span.begin.counters if key not in span.end.counters}
    return span.begin.unusable | span.end.unusable | gone


def _client_ttft_s(piece: Measured) -> FloatArray:
    """Of each ok request with content, anywhere in the run, from the sending."""
    rows = piece.ok & (piece.arrivals > 0)
    waited_s: FloatArray = (piece.first_ns[rows] - piece.records.sent_ns[rows]) / 1e9
    return waited_s


def _client_gaps_s(piece: Measured) -> FloatArray:
    return chunk_gaps_s(piece.records, piece.ok)


def _client_output_tokens(measured: Measured) -> int | None:
    """All output tokens of the run, of failed requests as far as they arrived; None when their number is not known."""
    if not measured.totals_known:
        return None
    of_ok = measured.sum(lambda piece: piece.records.output_tokens[piece.ok])
    return of_ok + measured.sum(lambda piece: piece.records.arrival_tokens[np.repeat(~piece.ok, piece.arrivals)])


def _rates(span: Span, moved: _Moved, measured: Measured) -> AccountRates:
    """Output tokens per second by the server's counter and by our arrivals, over one and the same stretch.

    A whole run: all of its tokens over its window. A steady state: between the first reading in the window and the last, counted by
    both sides, so that nothing is interpolated.
    """
    none: AccountRates = {
        "output_tokens_per_s": None,
        "client_output_tokens_per_s": None,
        "rate_start_s": None,
        "rate_end_s": None,
    }
    window, names = measured.window, span.names
    if window.start_ns is None or window.end_ns is None or window.length_s is None:
        return none
    if window.rule == "whole_run":
        (start_ns, end_ns), theirs = (window.start_ns, window.end_ns), moved.of(names.output_tokens)
        ours = _client_output_tokens(measured)
    else:
        inside = [each for each in _inside(span.readings, measured) if names.output_tokens not in each.unusable]
        uncounted = measured.count(lambda piece: piece.ok & ~piece.counted)
        if len(inside) < 2 or not names.counts_as_it_goes or uncounted:
            return none
        start_ns, end_ns = inside[0].at_ns, inside[-1].at_ns
        counted = [each.values.get(names.output_tokens) for each in (inside[0], inside[-1])]
        theirs = None if counted[1] is None else counted[1] - (counted[0] or 0.0)

        def within(arrival_ns: Int64) -> Bool:
            return (arrival_ns > start_ns) & (arrival_ns <= end_ns)

        ours = measured.sum(lambda piece: piece.records.arrival_tokens[within(piece.records.arrival_ns)])
    span_s = (end_ns - start_ns) / 1e9
    return {
        "output_tokens_per_s": None if theirs is None else theirs / span_s,
        "client_output_tokens_per_s": None if ours is None else ours / span_s,
        "rate_start_s": start_ns / 1e9,
        "rate_end_s": end_ns / 1e9,
    }


def _inside(readings: Sequence[Reading], measured: Measured) -> list[Reading]:
    start_ns, end_ns = measured.window.start_ns, measured.window.end_ns
    if start_ns is None or end_ns is None:
        return []
    return [reading for reading in readings if start_ns < reading.at_ns <= end_ns]


def _through(readings: Sequence[Reading], measured: Measured, name: str) -> GaugeFigures | None:
    """Mean and largest value of a gauge over the readings in the window, and how many those were.

    None without any, and where one of them has it without a usable number.
    """
    inside = _inside(readings, measured)
    values = [reading.values[name] for reading in inside if name in reading.values]
    if not values or any(name in reading.unusable for reading in inside) or min(values) < 0:
        return None
    return {"n": len(values), "mean": sum(values) / len(values), "max": max(values)}


def _share_through(readings: Sequence[Reading], measured: Measured, name: str) -> GaugeFigures | None:
    """The same of a share: None where it goes over 1, so that it is in some other unit."""
    found = _through(readings, measured, name)
    return None if found is None or found["max"] > 1 + 1e-6 else found


def _speculation(moved: _Moved, names: EngineNames) -> Speculation | None:
    """Drafts and what became of them; None where the server does not speculate.

    `tokens_per_draft` is 1 + accepted/drafts: each draft also yields the token that the model itself adds.
    """
    drafts = moved.of(names.drafts)
    if not drafts:
        return None
    accepted, opening = moved.of(names.accepted_tokens) or 0.0, f'{names.accepted_by_position}{{position="'
    positions = [key[len(opening) : -2] for key in moved if key.startswith(opening)]
    positions = sorted((place for place in positions if place.isascii() and place.isdecimal()), key=int)
    return {
        "drafts": round(drafts),
        "draft_tokens": _whole(moved.of(names.draft_tokens)),
        "accepted_tokens": round(accepted),
        "acceptance_ratio": _ratio(accepted, moved.of(names.draft_tokens)),
        "tokens_per_draft": 1 + accepted / drafts,
        "acceptance_by_position": [moved[f'{opening}{position}"}}'] / drafts for position in positions],
    }


def _whole(count: float | None) -> int | None:
    return None if count is None else round(count)


def _ratio(part: float | None, whole: float | None) -> float | None:
    """The share; None where the part is more than the whole."""
    return part / whole if part is not None and whole and part <= whole else None


ACCOUNT_FIGURES = (
    Figure(
        key="prefix_cache_hit_ratio",
        label="Prompt tokens cached",
        unit="ratio",
        better="higher",
        formula="prompt tokens out of the server's prefix cache/prompt tokens, by its own counters",
        path="server_account.prefix_cache_hit_ratio",
        is_drawn=False,
    ),
    Figure(
        key="acceptance_ratio",
        label="Draft tokens accepted",
        unit="ratio",
        better="higher",
        formula="accepted/drafted tokens, by the server's own counters",
        path="server_account.speculation.acceptance_ratio",
    ),
    Figure(
        key="tokens_per_draft",
        label="Tokens per draft",
        unit="tokens",
        better="higher",
        formula="1 + accepted tokens/drafts, by the server's own counters",
        path="server_account.speculation.tokens_per_draft",
    ),
)
