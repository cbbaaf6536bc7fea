"""What limits per minute and the Retry-After of a 429 made of a run: how long its requests were held back."""

import numpy as np

from loadgen.analysis.document.run import RateLimitAccount
from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import FloatArray
from loadgen.engine.records.record import MISSING, Bool
from loadgen.load.rate_limits import UNLIMITED

TOO_MANY_REQUESTS = 429


def limit_wait_s(measured: Measured) -> FloatArray:
    """Seconds, one for each request of the window that was sent; empty where there was no limit and nothing waited."""
    if measured.spec.rate_limits == UNLIMITED and not measured.some_waited:
        return np.empty(0)
    records = measured.records
    waited_s: FloatArray = records.limit_wait_ns[measured.in_window & (records.sent_ns != MISSING)] / 1e9
    return waited_s


def rate_limit_facts(measured: Measured, refusal: str | None) -> RateLimitAccount | None:
    """The `rate_limits` of a run document: counts and the sum over the whole run, the ratio over its window.

    `wait_ratio` is the time that requests were held back over that and their time in flight together. None where there was
    no limit, no 429 and no wait.
    """
    refused = measured.count(lambda piece: piece.records.http_status == TOO_MANY_REQUESTS)
    if measured.spec.rate_limits == UNLIMITED and not measured.some_waited and not refused:
        return None

    def carried(piece: Measured) -> Bool:
        rows: Bool = piece.in_window & (piece.records.sent_ns != MISSING) & (piece.records.end_ns != MISSING)
        return rows

    waited_ns = measured.sum(lambda piece: piece.records.limit_wait_ns[carried(piece)])
    in_flight_ns = measured.sum(lambda piece: (piece.records.end_ns - piece.records.sent_ns)[carried(piece)])
    together_ns = waited_ns + in_flight_ns
    return {
        "held_requests": measured.count(lambda piece: piece.records.limit_wait_ns != 0),
        "wait_total_s": measured.sum(lambda piece: piece.records.limit_wait_ns) / 1e9,
        "wait_ratio": waited_ns / together_ns if together_ns > 0 else None,
        "refused_requests": refused,
        "refusal": refusal,
    }
