"""The bodies of a schedule in one file, from which every process reads the one it needs: a million of them take no memory."""

import os
import sys
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from loadgen.load.disk import bulk_folder, no_room

_BUFFER_BYTES = 2**20


class BodyFile(Sequence[bytes]):
    """n bodies end to end in a file, body i at `start[i]` to `start[i + 1]`; `start` is int64 of shape (n + 1,).

    The file goes when the object that wrote it does. A copy sent to another process of this host opens the same file, and must
    get there before that. A body is read anew each time it is asked for, 0.6 µs for a short one: a mapped file would cost
    0.25 µs less, and everything that was looked at would count as this process's memory.
    """

    def __init__(self, path: str, start: NDArray[np.int64]) -> None:
        self._path = path
        self._start = start
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    @classmethod
    def write(cls, bodies: Iterable[bytes]) -> "BodyFile":
        """Write `bodies` as they are made. Raises UsageError when the disk has no room for them."""
        descriptor, path = tempfile.mkstemp(prefix="loadgen-bodies-", dir=bulk_folder())
        ends = array("q", [0])
        try:
            with os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES) as file:
                for body in bodies:
                    file.write(body)
                    ends.append(ends[-1] + len(body))
            written = cls(path, np.frombuffer(ends, dtype=np.int64))
        except BaseException as error:
            Path(path).unlink()
            if isinstance(error, OSError):
                raise no_room(error, "the requests of the run") from error
            raise
        if sys.platform == "linux":
            # Without a name, the file goes with this process however that ends; another one opens it through ours.
            Path(path).unlink()
            written._path = f"/proc/{os.getpid()}/fd/{written._descriptor}"
        else:
            weakref.finalize(written, Path.unlink, Path(path), missing_ok=True)
        return written

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
        return (self[index] for index in range(len(self)))

    def __reduce__(self) -> tuple[type["BodyFile"], tuple[str, NDArray[np.int64]]]:
        return BodyFile, (self._path, self._start)
