"""How one latency is distributed over a run, small enough to be drawn: bars of a histogram, quantiles, the values of its tail.

Values come in pieces and are gone through three times, so that they take the same memory however many
they are; every value is in exactly one bar. Up to `EXACT` values the quantiles are those of all of them, beyond that they are
read from a histogram of `FINE_BINS` bins, each a few thousandths wide.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
from typing_extensions import TypedDict

from loadgen.analysis.stats import TAIL_NAMES, Distribution, FloatArray, PercentileName, highest_percentile, wants_log

TAIL_VALUES = 300
MIN_BINS, MAX_BINS = 12, 60
MIN_S = 1e-5  # where a logarithmic axis begins when some values are 0: two events in one read share a stamp
EXACT = 2**16
FINE_BINS = 2**13


class DistributionOutline(TypedDict):
    """How the values of one latency are distributed over a run."""

    n: int
    edges_s: list[float]  # of the bars, one more than there are
    counts: list[int]  # of each bar
    log: bool  # the edges are spaced logarithmically
    below: int  # values under the first edge, counted into the first bar
    tail_from: PercentileName | None  # the percentile over which the tail lies
    tail_n: int  # values over it
    tail_s: list[float]  # at most `TAIL_VALUES` of those, evenly by rank, the longest always
    quantiles: list[list[float]]  # [p, seconds] from [0, min] to [1, max]


_DENSE = [k / 100 for k in range(100)]
_TAIL = [1 - step / 10**power for power in range(3, 9) for step in range(9, 0, -1)]  # 0.991, 0.992 … 0.999, 0.9991 …


def distribution_outline(
    pieces: Callable[[], Iterable[FloatArray]], figures: Distribution | None
) -> DistributionOutline | None:
    """Outline of the values in seconds that each call of `pieces` gives anew; None when there is none.

    `figures` is the metric's distribution in the run's document: its highest percentile is where the tail begins.
    """
    tail_from = highest_percentile(figures, TAIL_NAMES)
    tail_from_s = None if figures is None or tail_from is None else figures[tail_from]
    n, shortest_s, longest_s, above_zero_s = 0, math.inf, -math.inf, math.inf
    tail: list[FloatArray] = []
    for values in _finite(pieces):
        n += len(values)
        shortest_s, longest_s = min(shortest_s, float(values.min())), max(longest_s, float(values.max()))
        above_zero_s = min(above_zero_s, float(values[values > MIN_S].min(initial=math.inf)))
        if tail_from_s is not None:
            tail.append(values[values > tail_from_s])
    if not n:
        return None
    over = np.sort(np.concatenate([np.empty(0), *tail]))
    low_s, high_s, log = _ends(shortest_s, longest_s, above_zero_s)
    edges_s = _edges(low_s, high_s, log, min(MAX_BINS, max(MIN_BINS, round(2 * math.sqrt(n)))))
    counts, below = np.zeros(len(edges_s) - 1, np.int64), 0
    for values in _finite(pieces):
        counts += np.histogram(np.clip(values, low_s, high_s), edges_s)[0]
        below += int(np.count_nonzero(values < low_s))
    return {
        "n": n,
        "edges_s": edges_s.tolist(),
        "counts": counts.tolist(),
        "log": log,
        "below": below,
        "tail_from": tail_from,
        "tail_n": len(over),
        "tail_s": thin(over, TAIL_VALUES).tolist(),
        "quantiles": _quantiles(pieces, n, shortest_s, longest_s),
    }


def thin(ordered: FloatArray, limit: int) -> FloatArray:
    """At most `limit` of the ordered values, evenly picked by rank; the first and the last always stay."""
    if len(ordered) <= limit:
        return ordered
    return ordered[np.unique(np.linspace(0, len(ordered) - 1, limit).round().astype(np.int64))]


def _finite(pieces: Callable[[], Iterable[FloatArray]]) -> Iterable[FloatArray]:
    for values in pieces():
        finite = values[np.isfinite(values)]
        if len(finite):
            yield finite


def _ends(shortest_s: float, longest_s: float, above_zero_s: float) -> tuple[float, float, bool]:
    """The ends of the axis in seconds, and whether it is logarithmic."""
    if above_zero_s < math.inf and wants_log([above_zero_s, longest_s]):
        return above_zero_s, longest_s, True
    if longest_s > shortest_s:
        return shortest_s, longest_s, False
    return shortest_s * 0.99 - 1e-6, longest_s * 1.01 + 1e-6, False


def _edges(low_s: float, high_s: float, log: bool, bins: int) -> FloatArray:
    edges_s = np.geomspace(low_s, high_s, bins + 1) if log else np.linspace(low_s, high_s, bins + 1)
    edges_s[0], edges_s[-1] = low_s, high_s
    return edges_s


def _quantiles(pieces: Callable[[], Iterable[FloatArray]], n: int, low_s: float, high_s: float) -> list[list[float]]:
    """[p, seconds] at each hundredth, ever closer towards the end as far as `n` values reach, from the least to the greatest."""
    shares = [share for share in (*_DENSE, *_TAIL) if share <= 1 - 1 / n]
    if n <= EXACT:
        found = np.quantile(np.concatenate(list(_finite(pieces))), shares) if shares else np.empty(0)
    else:
        floor_s = max(low_s, MIN_S / 10)
        edges_s = _edges(floor_s, max(high_s, 2 * floor_s), True, FINE_BINS)
        counts = np.zeros(FINE_BINS, np.int64)
        for values in _finite(pieces):
            counts += np.histogram(np.clip(values, floor_s, edges_s[-1]), edges_s)[0]
        reached = np.concatenate([[0], np.cumsum(counts)]) / n
        found = np.interp(shares, reached, edges_s)
    found = np.clip(found, low_s, high_s)
    return [
        [0.0, low_s],
        *([share, value] for share, value in zip(shares[1:], found[1:].tolist(), strict=True)),
        [1.0, high_s],
    ]
