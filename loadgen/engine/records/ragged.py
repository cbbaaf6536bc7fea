"""Runs of unequal length end to end in one array, as the arrivals of all requests are: run i is `start[i]` to `start[i + 1]`."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def starts(counts: ArrayLike) -> NDArray[np.int64]:
    """`start`, int64 of shape (n + 1,), of n runs of so many entries each."""
    sizes = np.asarray(counts, np.int64)
    start = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=start[1:])
    return start


def positions(begin: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """`begin[i]`, `begin[i] + 1`, … `counts[i]` of them, for each i, end to end."""
    before = np.cumsum(counts) - counts
    every: NDArray[np.int64] = np.repeat(begin - before, counts) + np.arange(int(counts.sum()))
    return every
