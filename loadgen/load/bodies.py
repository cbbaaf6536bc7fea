"""The bodies of a schedule in one file, from which every process reads the one it needs: a million of them take no memory."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from loadgen.load.bulk import BulkFile, FileArray, let_go, spans


class BodyFile(Sequence[bytes]):
    """n bodies end to end in a file, body i at `start[i]` to `start[i + 1]`; `start` is int64 of shape (n + 1,).

    A copy sent to another process of this host reads the same file. A body is read anew each time it is asked for, 0.6 µs for
    a short one: a mapped file would cost 0.25 µs less, and everything that was looked at would count as this process's memory.
    """

    def __init__(self, file: BulkFile, start: NDArray[np.int64]) -> None:
        self._file = file
        self._descriptor = file.descriptor
        self._start = start

    @classmethod
    def write(cls, bodies: Iterable[bytes]) -> "BodyFile":
        """Write `bodies` as they are made. Raises UsageError when the disk has no room for them."""
        with BulkFile.written() as (out, file), BulkFile.written() as (starts, start_file):
            start = 0
            starts.write(start.to_bytes(8, "little"))
            for body in bodies:
                out.write(body)
                start += len(body)
                starts.write(start.to_bytes(8, "little"))
        return cls(file, FileArray.of(start_file, "<i8"))

    def let_go(self) -> None:
        """Give back what memory it took to find bodies."""
        let_go(self._start)

    def __len__(self) -> int:
        return len(self._start) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[bytes, ...]: ...
    def __getitem__(self, index: int | slice) -> bytes | tuple[bytes, ...]:
        if isinstance(index, slice):
            return tuple(self[one] for one in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        begin, end = int(self._start[index]), int(self._start[index + 1])
        return os.pread(self._descriptor, end - begin, begin)

    def __iter__(self) -> Iterator[bytes]:
        for begin, end in spans(len(self)):
            yield from (self[index] for index in range(begin, end))
            self.let_go()

    def __reduce__(self) -> tuple[type["BodyFile"], tuple[BulkFile, NDArray[np.int64]]]:
        return BodyFile, (self._file, self._start)
