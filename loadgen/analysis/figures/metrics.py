"""THE definitions: every figure that a run is judged by, in one table that drives the JSON, the tables and the pages.

To change what a figure means is to raise METHOD_VERSION and to say so in CHANGELOG under "Measurement changes".
"""

from collections.abc import Callable

import numpy as np

from loadgen.analysis.distributions import sum_of
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.paper import PAPER_METRICS
from loadgen.analysis.figures.provider_time import PROVIDER_METRICS
from loadgen.analysis.figures.rate_limits import limit_wait_s
from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import FloatArray
from loadgen.engine.records.record import Bool, Int32, Int64, Outcome, Records

METHOD_VERSION = 3


def ttft_s(measured: Measured) -> FloatArray:
    """Seconds, one a request, in the order of the schedule."""
    return _since(measured, measured.first_ns, measured.records.start_ns)


def ttft_from_send_s(measured: Measured) -> FloatArray:
    """Seconds, one a request, in the order of the schedule."""
    return _since(measured, measured.first_ns, measured.records.sent_ns)


def e2e_latency_s(measured: Measured) -> FloatArray:
    """Seconds, one a request, in the order of the schedule."""
    return _since(measured, measured.last_ns, measured.records.start_ns)


def tpot_s(measured: Measured) -> FloatArray:
    """Seconds a token, one for each request of two tokens or more in two chunks or more; empty when their number is not known."""
    rows = _with_tpot(measured)
    span_s = (measured.last_ns[rows] - measured.first_ns[rows]) / 1e9
    # Choices are made side by side, so that the time of one of them is the time of all.
    return span_s / (measured.seen_tokens[rows] / measured.choices[rows] - 1)


def chunk_gap_s(measured: Measured) -> FloatArray:
    """Seconds, one for each chunk after the first of each request."""
    return chunk_gaps_s(measured.records, measured.answered)


def token_gap_s(measured: Measured) -> FloatArray:
    """Seconds, one for each token after the first chunk of each request; empty when any chunk's tokens are assumed."""
    if not measured.chunks_known:
        return np.empty(0)
    return token_gaps_s(measured.records, measured.answered)


def tokens_per_chunk(measured: Measured) -> FloatArray:
    """Tokens, one value for each content chunk of the requests that `chunk_gap_s` is made from; empty when any are assumed."""
    if not measured.chunks_known:
        return np.empty(0)
    records = measured.records
    chosen = np.repeat(measured.answered, np.diff(records.arrival_start))
    return records.arrival_tokens[chosen].astype(np.float64)


def chunk_gaps_s(records: Records, rows: Bool) -> FloatArray:
    """Seconds between successive content chunks of each of the selected `rows`, end to end: arrivals − 1 a choice."""
    owner = _owner(records)
    return _gaps_s(records, owner, rows[owner])[0]


def token_gaps_s(records: Records, rows: Bool) -> FloatArray:
    """Seconds between successive tokens of each of the selected `rows`: k tokens after a gap g are k gaps of g/k.

    The tokens of a choice's first chunk have no gap before them that we could know, and are left out. A chunk that
    carried no token lends its time to the next one that does, so that time is neither lost nor counted twice.
    """
    owner = _owner(records)
    gaps_s, tokens = _gaps_s(records, owner, rows[owner] & (records.arrival_tokens > 0))
    return np.repeat(gaps_s / tokens, tokens)


def _owner(records: Records) -> Int32:
    """To which row each arrival belongs."""
    return np.repeat(np.arange(len(records), dtype=np.int32), np.diff(records.arrival_start))


def _gaps_s(records: Records, owner: Int32, chosen: Bool) -> tuple[FloatArray, Int32]:
    """Gaps between neighbours among the `chosen` arrivals of the same owner and choice, and the tokens that ended each."""
    stamps_ns, tokens = records.arrival_ns[chosen], records.arrival_tokens[chosen]
    owners, choices = owner[chosen], records.arrival_choice[chosen]
    same = owners[1:] == owners[:-1]
    if choices.any():
        order = np.lexsort((choices, owners))  # stable: within one choice the order of arrival stays
        stamps_ns, owners, choices, tokens = stamps_ns[order], owners[order], choices[order], tokens[order]
        same = (owners[1:] == owners[:-1]) & (choices[1:] == choices[:-1])
    return np.diff(stamps_ns)[same] / 1e9, tokens[1:][same]


def output_tokens_per_s(measured: Measured) -> float | None:
    """Tokens that arrived in the window, whoever carried them, per second of it; None when their number is not known.

    Where a server told only the sum of an answer, it is spread evenly over the answer's chunks.
    """
    tokens = window_output_tokens(measured)
    return None if tokens is None else _per_s(measured, tokens)


def total_tokens_per_s(measured: Measured) -> float | None:
    """Output tokens as above, and the prompts of the requests first answered in the window; None when either is not known.

    Servers count a prompt at the end of its answer, so of a request that failed on the way nobody told it: then it counts as
    asked, provided that every ok request's prompt was exactly as asked.
    """
    output_tokens = window_output_tokens(measured)
    if output_tokens is None:
        return None

    def prefilled(piece: Measured) -> Bool:
        return (piece.arrivals > 0) & measured.window.holds(piece.first_ns)

    def prompt_tokens(piece: Measured) -> Int32:
        told, asked = piece.records.prompt_tokens, piece.records.prompt_tokens_asked
        return np.where(told < 0, asked, told)[prefilled(piece)]

    unknown = measured.count(lambda piece: prefilled(piece) & (piece.records.prompt_tokens < 0))
    if unknown and not measured.prompts_as_asked:
        return None
    return _per_s(measured, measured.sum(prompt_tokens) + output_tokens)


def requests_per_s(measured: Measured) -> float | None:
    """Ok requests that ended in the window, per second of it."""
    return _per_s(measured, measured.count(lambda piece: piece.ok & piece.in_window))


def goodput_per_s(measured: Measured) -> float | None:
    """Ok requests of the window that exceeded no limit of the SLO, per second; None without an SLO or when it cannot be judged.

    A request of a single token has no TPOT and so cannot exceed a limit on it.
    """
    good = _good_requests(measured)
    return None if good is None else _per_s(measured, good)


def goodput_ratio(measured: Measured) -> float | None:
    """The same requests as a share (0..1) of all that the server had the time to answer in the window, failed ones included.

    Cancelled and dropped requests are the client's own doing and are left out. None without any request to judge.
    """
    ours = (Outcome.CANCELLED, Outcome.DROPPED)
    good = _good_requests(measured)
    judged = measured.count(lambda piece: piece.in_window & ~np.isin(piece.records.outcome, ours))
    return None if good is None or judged == 0 else good / judged


def _good_requests(measured: Measured) -> int | None:
    """How many requests of the window met every limit of the SLO; None without an SLO or when it cannot be judged."""
    limits = dict(measured.spec.slo)
    if not limits or ("tpot_s" in limits and not measured.totals_known):
        return None

    def within_limits(piece: Measured) -> Bool:
        good = piece.answered.copy()
        for key, limit_s in limits.items():
            rows = np.flatnonzero(_with_tpot(piece) if key == "tpot_s" else piece.answered)
            good[rows[_SLO_METRICS[key](piece) > limit_s]] = False
        return good

    return measured.count(within_limits)


def _since(measured: Measured, moment_ns: Int64, begin_ns: Int64) -> FloatArray:
    rows = measured.answered
    return (moment_ns[rows] - begin_ns[rows]) / 1e9


def _with_tpot(measured: Measured) -> Bool:
    """The rows which have a TPOT. All tokens in one chunk share one stamp, which says nothing of the time between them."""
    if not measured.totals_known:
        return np.zeros(len(measured.records), np.bool_)
    choices = measured.choices
    rows: Bool = measured.answered & (measured.seen_tokens >= 2 * choices) & (measured.arrivals >= 2 * choices)
    return rows


def window_output_tokens(measured: Measured) -> float | None:
    """Output tokens that arrived in the window, whoever carried them; None when their number is not known."""
    if not measured.totals_known:
        return None
    holds = measured.window.holds
    tokens = measured.sum(lambda piece: piece.records.arrival_tokens[holds(piece.records.arrival_ns)])
    return tokens + sum_of(measured.samples(_spread))


def _spread(measured: Measured) -> FloatArray:
    """What to add to the tokens of each row whose chunks were taken for one each, to make each worth its share of the sum."""
    records = measured.records
    rows = np.flatnonzero((measured.seen_tokens >= 0) & ~measured.counted & (measured.arrivals > 0))
    if not len(rows):
        return np.empty(0)
    before = np.concatenate([[0], np.cumsum(measured.window.holds(records.arrival_ns))])
    chunks_inside = before[records.arrival_start[rows + 1]] - before[records.arrival_start[rows]]
    worth = measured.seen_tokens[rows] / measured.arrivals[rows]
    added: FloatArray = chunks_inside * (worth - 1)
    return added


def _per_s(measured: Measured, count: float) -> float | None:
    length_s = measured.window.length_s
    return None if length_s is None else count / length_s


_SLO_METRICS = {"ttft_s": ttft_s, "tpot_s": tpot_s, "e2e_latency_s": e2e_latency_s}


def _time(key: str, label: str, formula: str, compute: Callable[[Measured], FloatArray]) -> Figure:
    """Times of requests, of which less is better."""
    return Figure(
        key=key,
        label=label,
        unit="s",
        kind="distribution",
        better="lower",
        formula=formula,
        compute=compute,
    )


METRICS: tuple[Figure, ...] = (
    _time("ttft_s", "TTFT", "first content arrival − start", ttft_s),
    _time("ttft_from_send_s", "TTFT from send", "first content arrival − sent", ttft_from_send_s),
    _time("chunk_gap_s", "Chunk gap", "arrival of a content chunk − arrival of the one before it", chunk_gap_s),
    _time(
        "token_gap_s",
        "Token gap",
        "k tokens after a gap g → k gaps of g/k; none for the first chunk's tokens",
        token_gap_s,
    ),
    Figure(
        key="tokens_per_chunk",
        label="Tokens per chunk",
        unit="tokens",
        kind="distribution",
        formula="tokens that a content chunk carried",
        compute=tokens_per_chunk,
    ),
    _time("tpot_s", "TPOT", "(last content arrival − first content arrival)/(output tokens/choices − 1)", tpot_s),
    _time("e2e_latency_s", "End-to-end latency", "last content arrival − start", e2e_latency_s),
    Figure(
        key="output_tokens_per_s",
        label="Output throughput",
        unit="tokens/s",
        better="higher",
        formula="output tokens that arrived in the window/window length",
        compute=output_tokens_per_s,
    ),
    Figure(
        key="total_tokens_per_s",
        label="Total throughput",
        unit="tokens/s",
        better="higher",
        formula="(those output tokens + prompt tokens of requests first answered in the window)/window length",
        compute=total_tokens_per_s,
    ),
    Figure(
        key="requests_per_s",
        label="Requests completed",
        unit="requests/s",
        better="higher",
        formula="ok requests that ended in the window/window length",
        compute=requests_per_s,
    ),
    Figure(
        key="goodput_per_s",
        label="Goodput",
        unit="requests/s",
        better="higher",
        formula="ok requests that ended in the window and exceeded no limit of the SLO/window length",
        compute=goodput_per_s,
    ),
    Figure(
        key="goodput_ratio",
        label="Goodput share",
        unit="ratio",
        better="higher",
        formula="ok requests that ended in the window and exceeded no limit of the SLO/requests of the window",
        compute=goodput_ratio,
    ),
    Figure(
        key="limit_wait_s",
        label="Limit wait",
        unit="s",
        kind="distribution",
        formula="when a limit per minute or a Retry-After let the request go − when it was ready to be sent",
        compute=limit_wait_s,
    ),
    *PROVIDER_METRICS,
    *PAPER_METRICS,
)
