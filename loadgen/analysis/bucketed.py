"""Distributions that are known by counts of buckets alone, as a Prometheus histogram tells them.

Knows no domain word. Invariant: nothing finer is said than the buckets allow; a percentile is two bounds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from loadgen.analysis.document.server import BucketedDistribution
from loadgen.analysis.stats import samples_needed


@dataclass(frozen=True, slots=True)
class Bucketed:
    """`counts[i]` values lay in (upper[i − 1], upper[i]], the first from 0 on; the last bound is infinite. `total` is their sum."""

    upper: tuple[float, ...]
    counts: tuple[int, ...]
    total: float | None  # None where it is not known

    @property
    def n(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Exact: histograms come with the sum of their values. None without any value, or without the sum."""
        return self.total / self.n if self.n and self.total is not None else None

    def bounds(self, percentile: int) -> list[float | None] | None:
        """Between which two values the percentile lies; the upper one is None where the last bucket has no end.

        The percentile is `stats.distribution`'s, of type 7: with h = (n − 1)·p it lies between the values of rank ⌊h⌋ and ⌈h⌉, so
        between the lower edge of the bucket that holds the one and the upper edge of that which holds the other. None where
        `stats.distribution` gives none.
        """
        if self.n < samples_needed(percentile):
            return None
        rank = (self.n - 1) * percentile / 100
        low, high = self._bucket_of(math.floor(rank)), self._bucket_of(math.ceil(rank))
        upper = self.upper[high]
        return [self.upper[low - 1] if low else 0.0, None if math.isinf(upper) else upper]

    def _bucket_of(self, rank: int) -> int:
        seen = 0
        for number, count in enumerate(self.counts):
            seen += count
            if rank < seen:
                return number
        return len(self.counts) - 1

    def to_json(self) -> BucketedDistribution:
        """`n`, `mean`, each percentile as [low, high], and the buckets; an end that there is not is null."""
        return {
            "n": self.n,
            "mean": self.mean,
            "p50": self.bounds(50),
            "p90": self.bounds(90),
            "p95": self.bounds(95),
            "p99": self.bounds(99),
            "upper": [None if math.isinf(bound) else bound for bound in self.upper],
            "counts": list(self.counts),
        }


def between(before: Mapping[str, float], after: Mapping[str, float], name: str) -> Bucketed | None:
    """What the histogram `name` took up between two readings of its series (`NAME_bucket{le="…"}`, `NAME_sum`).

    None where the later reading lacks it or has no infinite bucket, and where a bucket went back.
    """
    opening = f'{name}_bucket{{le="'
    bounds = {float(key[len(opening) : -2]): key for key in after if key.startswith(opening)}
    upper = sorted(bounds)
    if not upper or not math.isinf(upper[-1]):
        return None
    cumulative = [0, *(round(after[bounds[bound]] - before.get(bounds[bound], 0.0)) for bound in upper)]
    counts = tuple(high - low for low, high in pairwise(cumulative))
    if min(counts) < 0:
        return None
    total = after.get(f"{name}_sum")
    total = None if total is None else total - before.get(f"{name}_sum", 0.0)
    return Bucketed(tuple(upper), counts, None if total is None or total < 0 else total)
