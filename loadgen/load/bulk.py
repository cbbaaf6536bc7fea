"""Bulky data of a run in files without a name: bytes, and columns of numbers, which every process of this host can open.

A column is mapped: it takes memory only where it was looked at, and until it is let go of.
"""

import mmap
import os
import sys
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from loadgen.load.disk import bulk_folder, no_room

_BUFFER_BYTES = 2**18
_ENTRIES_AT_ONCE = 2**15


class BulkFile:
    """A file to be read by its `descriptor`. It goes when the object that was given when it was written does.

    A copy sent to another process of this host opens the same file, and must get there before that.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)

    @classmethod
    @contextmanager
    def written(cls) -> Iterator[tuple[BinaryIO, "BulkFile"]]:
        """Where to write, and what to read from when that is done. Raises UsageError when the disk has no room."""
        try:
            descriptor, path = tempfile.mkstemp(prefix="loadgen-requests-", dir=bulk_folder())
            with os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES) as out:
                file = cls(path)
                if sys.platform == "linux":
                    # Without a name, the file goes with this process however that ends; another one opens it through ours.
                    Path(path).unlink()
                    file._path = f"/proc/{os.getpid()}/fd/{file.descriptor}"
                else:
                    weakref.finalize(file, Path.unlink, Path(path), missing_ok=True)
                yield out, file
        except OSError as error:
            raise no_room(error, "the requests of the run") from error

    def __reduce__(self) -> tuple[type["BulkFile"], tuple[str]]:
        return BulkFile, (self._path,)


class FileArray(np.ndarray[Any, np.dtype[Any]]):
    """A column of numbers in a file, read-only. A copy sent to another process of this host maps the same file.

    What is made of it, a slice or a sum, is an array like any other.
    """

    _file: BulkFile | None = None

    @classmethod
    def write(cls, dtype: DTypeLike, pieces: Iterable[NDArray[Any]]) -> "FileArray":
        """The entries of all `pieces`, written as they are made. Raises UsageError when the disk has no room for them."""
        with BulkFile.written() as (out, file):
            for piece in pieces:
                out.write(piece.astype(dtype, copy=False).tobytes())
        return cls.of(file, dtype)

    @classmethod
    def of(cls, file: BulkFile, dtype: DTypeLike) -> "FileArray":
        """What `file` holds, to its end."""
        entries = os.fstat(file.descriptor).st_size // np.dtype(dtype).itemsize
        # Nothing cannot be mapped. Not np.memmap, whose slices cost ten times as much.
        content = mmap.mmap(file.descriptor, 0, access=mmap.ACCESS_READ) if entries else b""
        array = cls(entries, dtype, content)
        array._file = file
        return array

    def __reduce__(self) -> str | tuple[Any, ...]:
        return super().__reduce__() if self._file is None else (FileArray.of, (self._file, self.dtype))


def let_go(array: NDArray[Any]) -> None:
    """Give back the pages of a mapped array, which come again from its file when they are looked at; another one stays."""
    base: Any = array.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


def spans(entries: int) -> Iterator[tuple[int, int]]:
    """(the first, the one after the last) of some entries after the other."""
    for begin in range(0, entries, _ENTRIES_AT_ONCE):
        yield begin, min(begin + _ENTRIES_AT_ONCE, entries)


def pieces_of(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """All entries in order, some at a time; each piece is let go of before the next."""
    for begin, end in spans(len(array)):
        yield array[begin:end]
        let_go(array)


def items(array: NDArray[np.integer[Any]]) -> Iterator[int]:
    """All entries in order, one by one."""
    for piece in pieces_of(array):
        yield from piece.tolist()


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
