"""What is to be known of many timestamps, found piece by piece whatever their number.

Timestamps are whole nanoseconds. What is asked for more than once is given by a function, which makes the pieces anew.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.records.record import MISSING, Int64

_BINS = 4_096
_MAX_TIMESTAMPS = 2**19

Intervals = Callable[[], Iterable[tuple[Int64, Int64]]]
"""(begins, ends) of some intervals after the other; none of them is MISSING."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How many timestamps there are, and the first and the last of them."""

    count: int
    first_ns: int
    last_ns: int

    @classmethod
    def of(cls, pieces: Iterable[Int64]) -> "Extent | None":
        """That of all that are not MISSING; None without any."""
        parts = [
            cls(len(known), int(known.min()), int(known.max()))
            for piece in pieces
            if len(known := piece[piece != MISSING])
        ]
        if not parts:
            return None
        return cls(
            sum(part.count for part in parts),
            min(part.first_ns for part in parts),
            max(part.last_ns for part in parts),
        )

    @property
    def length_ns(self) -> int:
        return self.last_ns - self.first_ns


def most_open(intervals: Intervals) -> int:
    """The most intervals open at once; one that ends when another begins does not overlap it.

    Time is cut into bins, which are counted first. Then one stretch of bins after the other is sorted, with as many timestamps
    as memory should hold, or a single bin.
    """
    extent = Extent.of(begins for begins, _ in intervals())
    if extent is None:
        return 0
    width_ns = extent.length_ns // _BINS + 1

    def bins(timestamps_ns: Int64) -> Int64:
        # The last is for ends after every begin.
        return np.clip((timestamps_ns - extent.first_ns) // width_ns, 0, _BINS)

    begun, ended = np.zeros((2, _BINS + 1), np.int64)
    for begins, ends in intervals():
        begun += np.bincount(bins(begins), minlength=_BINS + 1)
        ended += np.bincount(bins(ends), minlength=_BINS + 1)
    open_before = np.cumsum(begun - ended) - (begun - ended)
    most = 0
    for low, high in _stretches((begun + ended)[:_BINS]):
        some_begins: list[Int64] = []
        some_ends: list[Int64] = []
        for begins, ends in intervals():
            for timestamps_ns, some in ((begins, some_begins), (ends, some_ends)):
                place = bins(timestamps_ns)
                some.append(timestamps_ns[(place >= low) & (place < high)])
        begins, ends = np.sort(np.concatenate(some_begins)), np.sort(np.concatenate(some_ends))
        open_then = np.arange(1, len(begins) + 1) - np.searchsorted(ends, begins, side="right")
        most = max(most, int(open_before[low] + open_then.max(initial=0)))
    return most


def _stretches(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """(first bin, bin after the last) of runs of bins that hold so many timestamps together, or of one that holds more."""
    before = np.cumsum(sizes) - sizes
    low = 0
    while low < len(sizes):
        high = int(np.searchsorted(before + sizes, before[low] + _MAX_TIMESTAMPS, side="right"))
        yield low, max(high, low + 1)
        low = max(high, low + 1)
