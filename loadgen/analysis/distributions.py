"""The distribution and the sum of values that come in pieces: to the last bit what NumPy makes of them in one array.

However many they are, they take the same memory: beyond `_MAX_IN_MEMORY` they lie in a temporary file, which is read a few
times. A full disk costs memory instead, never the run.
"""

import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO, FileIO

import numpy as np
from numpy.typing import NDArray

from loadgen.analysis.stats import PERCENTILES, Distribution, FloatArray, distribution, distribution_by
from loadgen.load.disk import bulk_folder, write_all

_MAX_IN_MEMORY = 2**18
_VALUES_AT_ONCE = 2**17
_DIGIT_BITS = 16


def distribution_of(pieces: Iterable[FloatArray]) -> Distribution:
    """`stats.distribution` of all values of all `pieces`."""
    with _kept(pieces) as values:
        if len(values) <= _MAX_IN_MEMORY:
            return distribution(values.read(0, len(values)))
        places = {p: (len(values) - 1) * (p / 100) for p in PERCENTILES}
        ranks = sorted({math.floor(place) + step for place in places.values() for step in (0, 1)})
        found = dict(zip(ranks, _order_statistics(values, ranks), strict=True))

        def interpolated(percentile: int) -> float:
            place = places[percentile]
            rank = math.floor(place)
            # rounded as NumPy's percentiles are
            return float(np.quantile([found[rank], found[rank + 1]], place - rank))

        mean = float(_sum(values, 0, len(values)) / len(values))
        least = min(float(piece.min()) for piece in values.pieces())
        most = max(float(piece.max()) for piece in values.pieces())
        return distribution_by(len(values), mean, least, most, interpolated)


def sum_of(pieces: Iterable[FloatArray]) -> float:
    with _kept(pieces) as values:
        return float(_sum(values, 0, len(values)))


class _Values:
    """Finite values of float64: the first `on_disk` in a file, the others in memory."""

    def __init__(self, file: FileIO | None, on_disk: int, in_memory: bytes, count: int) -> None:
        self._file = file
        self._on_disk = on_disk
        self._in_memory = np.frombuffer(in_memory, np.float64)
        self._count = count

    def __len__(self) -> int:
        return self._count

    def read(self, begin: int, end: int) -> FloatArray:
        """The values from `begin` to before `end`."""
        kept = self._in_memory[max(0, begin - self._on_disk) : max(0, end - self._on_disk)]
        if self._file is None or begin >= self._on_disk:
            return kept
        read = os.pread(self._file.fileno(), 8 * (min(end, self._on_disk) - begin), 8 * begin)
        return np.concatenate([np.frombuffer(read, np.float64), kept])

    def pieces(self) -> Iterator[FloatArray]:
        for begin in range(0, len(self), _VALUES_AT_ONCE):
            yield self.read(begin, min(begin + _VALUES_AT_ONCE, len(self)))


@contextmanager
def _kept(pieces: Iterable[FloatArray]) -> Iterator[_Values]:
    with ExitStack() as stack:
        in_memory = BytesIO()
        file: FileIO | None = None
        disk_is_full = False
        count = 0
        for piece in pieces:
            in_memory.write(piece.tobytes())
            count += len(piece)
            if disk_is_full or in_memory.tell() <= 8 * _MAX_IN_MEMORY:
                continue
            try:
                if file is None:
                    file = stack.enter_context(tempfile.TemporaryFile(buffering=0, dir=bulk_folder()))
                write_all(file, in_memory.getvalue())
                in_memory = BytesIO()
            except OSError:
                disk_is_full = True
        yield _Values(file, 0 if file is None else count - in_memory.tell() // 8, in_memory.getvalue(), count)


def _sum(values: _Values, begin: int, count: int) -> np.float64:
    """As NumPy sums an array: in two halves, the first a multiple of eight long, and each half so again."""
    if count <= _VALUES_AT_ONCE:
        return np.float64(values.read(begin, begin + count).sum())
    half = count // 2 // 8 * 8
    return _sum(values, begin, half) + _sum(values, begin + half, count - half)


def _order_statistics(values: _Values, ranks: Sequence[int]) -> list[float]:
    """The value of each rank, counted from 0 in ascending order: found digit by digit of its key, with one count a digit."""
    prefixes, left = [0] * len(ranks), list(ranks)  # the digits known so far; the rank among the values that share them
    for shift in range(64 - _DIGIT_BITS, -1, -_DIGIT_BITS):
        counts = {prefix: np.zeros(2**_DIGIT_BITS, np.int64) for prefix in prefixes}
        for piece in values.pieces():
            digits = _keys(piece) >> np.uint64(shift)
            for prefix, count in counts.items():
                digit = digits - np.uint64(prefix << _DIGIT_BITS)  # of those with other prefixes far beyond a digit
                count += np.bincount(digit[digit < 2**_DIGIT_BITS].astype(np.int64), minlength=len(count))
        for number, prefix in enumerate(prefixes):
            ends = np.cumsum(counts[prefix])
            digit_found = int(np.searchsorted(ends, left[number], side="right"))
            left[number] -= int(ends[digit_found] - counts[prefix][digit_found])
            prefixes[number] = prefix << _DIGIT_BITS | digit_found
    return [float(value) for value in _values_of(np.array(prefixes, np.uint64))]


_SIGN = np.uint64(1 << 63)


def _keys(values: FloatArray) -> NDArray[np.uint64]:
    """Whole numbers in the order of the values: IEEE 754 orders positive numbers by their bits, negative ones the other way."""
    bits = values.view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _values_of(keys: NDArray[np.uint64]) -> FloatArray:
    """The inverse of `_keys`."""
    return np.where(keys & _SIGN, keys ^ _SIGN, ~keys).view(np.float64)
