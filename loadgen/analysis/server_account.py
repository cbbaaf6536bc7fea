"""What the server's own counters say of a run, beside what the client knows of it.

Imports engine and its own room. The counters are vLLM's (and the simulator's); of a server without them nothing is said.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loadgen.engine.pieces import pieces
from loadgen.engine.record import MISSING, Outcome, Records

Reading = tuple[int, Mapping[str, float]]  # nanoseconds from t = 0, values by metric name

_FINISHED = "vllm:request_success_total"  # whatever they ended by, abort and error included
_QUERIES, _HITS = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"
_TTFT_SUM, _TTFT_COUNT = "vllm:time_to_first_token_seconds_sum", "vllm:time_to_first_token_seconds_count"


def server_account(readings: Sequence[Reading], records: Records) -> dict[str, Any] | None:
    """How far the counters moved from the last reading before t = 0 to the last of all, and what the client saw of the same.

    None without a reading on both sides, or when a counter went back: the server was started anew in between. A figure whose
    counter the server lacks is None. Durations in seconds; `client_ttft_mean_s` is from the sending, over all ok requests.
    """
    before = [values for at_ns, values in readings if at_ns <= 0]
    if not before or readings[-1][0] <= 0:
        return None
    moved = {name: after - before[-1].get(name, 0.0) for name, after in readings[-1][1].items()}
    counters = (_FINISHED, _QUERIES, _HITS, _TTFT_SUM, _TTFT_COUNT)
    if any(moved.get(name, 0.0) < 0 for name in counters):
        return None
    finished, first_tokens = moved.get(_FINISHED), moved.get(_TTFT_COUNT)
    answered, waited_ns = _waits(records)
    return {
        "requests_finished": None if finished is None else round(finished),
        "requests_sent": sum(int(np.count_nonzero(piece.sent_ns != MISSING)) for piece in pieces(records)),
        "prefix_cache_hit_ratio": _ratio(moved.get(_HITS), moved.get(_QUERIES)),
        "first_tokens": None if first_tokens is None else round(first_tokens),
        "ttft_mean_s": _ratio(moved.get(_TTFT_SUM), first_tokens),
        "client_first_tokens": answered,
        "client_ttft_mean_s": waited_ns / answered / 1e9 if answered else None,
    }


def _waits(records: Records) -> tuple[int, int]:
    """(ok requests with content, nanoseconds from the sending to the first content of all of them together)."""
    answered = waited_ns = 0
    for piece in pieces(records):
        rows = np.flatnonzero((piece.outcome == Outcome.OK) & (np.diff(piece.arrival_start) > 0))
        answered += len(rows)
        waited_ns += int((piece.arrival_ns[piece.arrival_start[rows]] - piece.sent_ns[rows]).sum())
    return answered, waited_ns


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
