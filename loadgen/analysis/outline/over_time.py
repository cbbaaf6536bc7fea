"""The course of a run in at most `STEPS` steps: tokens, ends and failures of each, and how many requests were in flight.

Requests in flight are looked at `TIMES_PER_STEP` times a step, so that a short peak
is kept, and none is made of callers whose requests only follow each other.
"""

import numpy as np
from typing_extensions import TypedDict

from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import FloatArray
from loadgen.analysis.timestamps import Extent
from loadgen.engine.records.record import MISSING, Int64, Outcome

STEPS = 400
TIMES_PER_STEP = 32
_MIN_STEP_NS = 1_000_000


class OverTimeOutline(TypedDict):
    """The course of a run: lists with one value a step."""

    from_s: float  # on the run's clock
    step_s: float
    output_tokens: list[float | None]  # of the step; nulls where their number is not known
    completed: list[int]  # requests
    failed: list[int]  # requests
    in_flight_min: list[int]
    in_flight_mean: list[float]
    in_flight_max: list[int]


def over_time_outline(measured: Measured) -> OverTimeOutline | None:
    """Return the course of a run; None when nothing was sent."""
    begun = Extent.of(piece.records.sent_ns for piece in measured.pieces())
    ended = Extent.of(piece.records.end_ns for piece in measured.pieces())
    if begun is None or ended is None:
        return None
    from_ns = begun.first_ns
    span_ns = max(ended.last_ns - from_ns, 1)
    steps = int(min(STEPS, max(1, span_ns // _MIN_STEP_NS)))
    moments = steps * TIMES_PER_STEP
    moment_ns = span_ns / moments

    def places(stamps_ns: Int64) -> Int64:
        return np.clip((stamps_ns - from_ns) / moment_ns, 0, moments - 1).astype(np.int64)

    tokens, completed, failed = np.zeros(steps), np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    went, came = np.zeros(moments, np.int64), np.zeros(moments, np.int64)
    for piece in measured.pieces():
        records = piece.records
        carried = (records.sent_ns != MISSING) & (records.end_ns != MISSING)
        began, end = places(records.sent_ns[carried]), places(records.end_ns[carried])
        went += np.bincount(began, minlength=moments)
        came += np.bincount(end, minlength=moments)
        ok = records.outcome[carried] == Outcome.OK
        completed += np.bincount(end[ok] // TIMES_PER_STEP, minlength=steps)
        failed += np.bincount(end[~ok] // TIMES_PER_STEP, minlength=steps)
        known = records.arrival_ns != MISSING
        tokens += np.bincount(
            places(records.arrival_ns[known]) // TIMES_PER_STEP, _worth(piece)[known], minlength=steps
        )
    # As they were between moments: of what began and ended within one nobody knows whether they met.
    after = np.cumsum(went - came)
    before = np.concatenate([[0], after[:-1]])
    most = np.maximum(before, after).reshape(steps, TIMES_PER_STEP)
    left = after.reshape(steps, TIMES_PER_STEP)
    return {
        "from_s": from_ns / 1e9,
        "step_s": moment_ns * TIMES_PER_STEP / 1e9,
        "output_tokens": [round(each, 3) for each in tokens.tolist()] if measured.totals_known else [None] * steps,
        "completed": completed.tolist(),
        "failed": failed.tolist(),
        "in_flight_min": left.min(axis=1).tolist(),
        "in_flight_mean": np.round(left.mean(axis=1), 3).tolist(),
        "in_flight_max": most.max(axis=1).tolist(),
    }


def _worth(piece: Measured) -> FloatArray:
    """Tokens of each arrival; of an answer whose sum alone was told, its even share."""
    records = piece.records
    worth = records.arrival_tokens.astype(np.float64)
    guessed = (piece.seen_tokens >= 0) & ~piece.counted & (piece.arrivals > 0)
    if guessed.any():
        share = np.zeros(len(records))
        share[guessed] = piece.seen_tokens[guessed] / piece.arrivals[guessed]
        rows = np.repeat(guessed, piece.arrivals)
        worth[rows] = np.repeat(share, piece.arrivals)[rows]
    return worth
