"""What the server's own counters say of a run, beside what the client knows of it.

Imports engine and its own room. The counters are vLLM's (and the simulator's); of a server without them nothing is said.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loadgen.engine.record import MISSING, Bool, Outcome, Records

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
    return {
        "requests_finished": None if finished is None else round(finished),
        "requests_sent": int(np.count_nonzero(records.sent_ns != MISSING)),
        "prefix_cache_hit_ratio": _ratio(moved.get(_HITS), moved.get(_QUERIES)),
        "first_tokens": None if first_tokens is None else round(first_tokens),
        "ttft_mean_s": _ratio(moved.get(_TTFT_SUM), first_tokens),
        "client_first_tokens": int(np.count_nonzero(_answered(records))),
        "client_ttft_mean_s": _client_ttft_mean_s(records),
    }


def _answered(records: Records) -> Bool:
    answered: Bool = (records.outcome == Outcome.OK) & (np.diff(records.arrival_start) > 0)
    return answered


def _client_ttft_mean_s(records: Records) -> float | None:
    rows = np.flatnonzero(_answered(records))
    if not len(rows):
        return None
    return float((records.arrival_ns[records.arrival_start[rows]] - records.sent_ns[rows]).mean()) / 1e9


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
