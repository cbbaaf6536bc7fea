"""Bulky data of a run in unnamed temporary files, which every process of this host can open: columns of numbers, and bodies.

A column is memory-mapped: it takes memory only where it was read, until its pages are released.
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
    """A file to be read by its `descriptor`. It is deleted when the object that wrote it is garbage-collected.

    A pickled copy, in another process of this host, opens the same file, and must be unpickled before that.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)

    @classmethod
    @contextmanager
    def written(cls) -> Iterator[tuple[BinaryIO, "BulkFile"]]:
        """Yield the file to write to, and the same file for reading afterwards. Raises UsageError when the disk is full."""
        try:
            descriptor, path = tempfile.mkstemp(prefix="loadgen-requests-", dir=bulk_folder())
            with os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES) as out:
                file = cls(path)
                if sys.platform == "linux":
                    # An unnamed file goes away with this process however that ends; other processes open it through ours.
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
    """A read-only column of numbers in a file. A pickled copy, in another process of this host, maps the same file.

    Slices, and results of arithmetic, are ordinary arrays.
    """

    _file: BulkFile | None = None

    @classmethod
    def write(cls, dtype: DTypeLike, pieces: Iterable[NDArray[Any]]) -> "FileArray":
        """Write the entries of all `pieces` as they are made. Raises UsageError when the disk is full."""
        with BulkFile.written() as (out, file):
            for piece in pieces:
                out.write(piece.astype(dtype, copy=False).tobytes())
        return cls.of(file, dtype)

    @classmethod
    def of(cls, file: BulkFile, dtype: DTypeLike) -> "FileArray":
        """Return the column that `file` holds."""
        entries = os.fstat(file.descriptor).st_size // np.dtype(dtype).itemsize
        # mmap rejects empty files. Not np.memmap, whose slices cost ten times as much.
        content = mmap.mmap(file.descriptor, 0, access=mmap.ACCESS_READ) if entries else b""
        array = cls(entries, dtype, content)
        array._file = file
        return array

    def __reduce__(self) -> str | tuple[Any, ...]:
        return super().__reduce__() if self._file is None else (FileArray.of, (self._file, self.dtype))


def release_pages(array: NDArray[Any]) -> None:
    """Release the resident pages of a memory-mapped array; a no-op for other arrays."""
    base: Any = array.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


def spans(entries: int) -> Iterator[tuple[int, int]]:
    """Yield `(begin, end)` ranges that cover `entries`, a chunk at a time."""
    for begin in range(0, entries, _ENTRIES_AT_ONCE):
        yield begin, min(begin + _ENTRIES_AT_ONCE, entries)


def chunks_of(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield all entries in order, a chunk at a time; the pages of a chunk are released before the next."""
    for begin, end in spans(len(array)):
        yield array[begin:end]
        release_pages(array)


def items(array: NDArray[np.integer[Any]]) -> Iterator[int]:
    for piece in chunks_of(array):
        yield from piece.tolist()


class BodyFile(Sequence[bytes]):
    """n bodies end to end in a file, body i at `start[i]` to `start[i + 1]`; `start` is int64 of shape (n + 1,).

    A pickled copy, in another process of this host, reads the same file. A body is read from the file at each access, 0.6 µs
    for a short one: a mapped file would take 0.25 µs less, but all that was read would count as memory of this process.
    """

    def __init__(self, file: BulkFile, start: NDArray[np.int64]) -> None:
        self._file = file
        self._descriptor = file.descriptor
        self._start = start

    @classmethod
    def write(cls, bodies: Iterable[bytes]) -> "BodyFile":
        """Write `bodies` as they are made. Raises UsageError when the disk is full."""
        with BulkFile.written() as (out, file), BulkFile.written() as (starts, start_file):
            start = 0
            starts.write(start.to_bytes(8, "little"))
            for body in bodies:
                out.write(body)
                start += len(body)
                starts.write(start.to_bytes(8, "little"))
        return cls(file, FileArray.of(start_file, "<i8"))

    def release_pages(self) -> None:
        """Release the memory that it took to find bodies."""
        release_pages(self._start)

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
            self.release_pages()

    def __reduce__(self) -> tuple[type["BodyFile"], tuple[BulkFile, NDArray[np.int64]]]:
        return BodyFile, (self._file, self._start)
