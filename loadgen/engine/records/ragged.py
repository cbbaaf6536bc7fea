"""Runs of unequal length end to end in one array, as the arrivals of all requests are: run i is `start[i]` to `start[i + 1]`.

`Texts` is such a column of texts, or of JSON values, as bytes: no row takes an object of its own.
"""

import marshal
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray


def starts(counts: ArrayLike) -> NDArray[np.int64]:
    """Return `start`, int64 of shape (n + 1,), of n runs with those numbers of entries."""
    sizes = np.asarray(counts, np.int64)
    start = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=start[1:])
    return start


def positions(begin: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """`begin[i]`, `begin[i] + 1`, … `counts[i]` of them, for each i, end to end."""
    before = np.cumsum(counts) - counts
    every: NDArray[np.int64] = np.repeat(begin - before, counts) + np.arange(int(counts.sum()))
    return every


class Texts(Sequence[Any]):
    """n values, each None or of JSON's types, unpacked on each access.

    `start` is int64 of shape (n + 1,). `content[start[i]:start[i + 1]]`, of uint8, is value i packed; None takes no byte.
    """

    def __init__(self, start: NDArray[np.int64], content: NDArray[np.uint8]) -> None:
        self.start = start
        self.content = content

    @classmethod
    def of(cls, values: Sequence[Any]) -> "Texts":
        """The same values, packed."""
        if isinstance(values, Texts):
            return values
        packed = [b"" if value is None else marshal.dumps(value) for value in values]
        return cls(starts([len(each) for each in packed]), np.frombuffer(b"".join(packed), np.uint8))

    def __len__(self) -> int:
        return len(self.start) - 1

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> list[Any]: ...
    def __getitem__(self, row: int | slice) -> Any:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        begin, end = int(self.start[row]), int(self.start[row + 1])
        return marshal.loads(self.content[begin:end].tobytes()) if end > begin else None

    def part(self, begin: int, end: int) -> "Texts":
        """The values from `begin` to before `end`, none of them copied."""
        first, last = int(self.start[begin]), int(self.start[end])
        return Texts(self.start[begin : end + 1] - first, self.content[first:last])

    def take(self, rows: NDArray[np.int64]) -> "Texts":
        """The values at `rows`, in that order."""
        begin = self.start[rows]
        sizes = self.start[rows + 1] - begin
        return Texts(starts(sizes), self.content[positions(begin, sizes)])
