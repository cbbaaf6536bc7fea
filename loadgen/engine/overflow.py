"""First in, first out: in memory while there is little, the oldest in a file beyond that.

It leaves memory a quarter of a megabyte at a time, which took the event loop 0.1 to 0.2 ms in the median and up to 8 ms on a
machine where other work ran.
"""

import marshal
import os
import struct
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from loadgen.load.disk import bulk_folder, no_room, release, write_all

MOST_BYTES_IN_MEMORY = 64 * 2**20
_BATCH_BYTES = 256 * 2**10
_MOST_BEHIND = 4
_LENGTH = struct.Struct("Q")
_HOLE = b"\0"  # what a released part reads as; marshal begins no list with it

Item = TypeVar("Item")


class Overflow(Generic[Item]):
    """Holds items that marshal knows how to write. They are given back once, in the order in which they came.

    When the file cannot be written, `on_full` is called once and `failure` says why; from then on everything stays in
    memory, so that nothing is lost. With a `path` the file has a name, by which `left_behind` finds it when this process was killed.
    """

    def __init__(self, most_bytes: int, on_full: Callable[[], None], path: Path | None = None) -> None:
        self._most_bytes = most_bytes
        self._on_full = on_full
        self._path = path
        self._kept: deque[tuple[Item, int]] = deque()
        self._kept_bytes = 0
        self._aged = self._marked = 0  # of the oldest in memory: to be written early; there at the last mark
        self._writes_early = path is not None
        self._file: FileIO | None = None
        self._lengths: list[int] = []  # of the pieces of the file
        self.failure: str | None = None

    def add(self, item: Item, size_bytes: int) -> None:
        """Take `item`, which needs about so much memory."""
        self._kept.append((item, size_bytes))
        self._kept_bytes += size_bytes
        if self._kept_bytes > _MOST_BEHIND * (self._most_bytes + _BATCH_BYTES):
            self.relieve()

    @property
    def is_full(self) -> bool:
        """Whether more is in memory than should be."""
        return self._holds_too_much or self._aged > 0

    def mark(self) -> None:
        """Have what was in memory at the last mark written too, though there is room for it. To be called once a second or so."""
        if self._writes_early:
            self._aged, self._marked = self._marked, len(self._kept)

    def relieve(self) -> None:
        """Move a batch of the oldest to the file, if there are too many in memory or they have aged. To be called now and then.

        `add` does it only where that was not often enough: bytes of streams must not wait for it.
        """
        if not self.is_full or self.failure is not None:
            return
        must, most = self._holds_too_much, len(self._kept) if self._holds_too_much else self._aged
        batch: list[tuple[Item, int]] = []
        size = 0
        while size < _BATCH_BYTES and len(batch) < most:
            batch.append(self._kept.popleft())
            size += batch[-1][1]
        written = marshal.dumps([item for item, _ in batch])
        try:
            self._append(written)
        except OSError as error:
            self._kept.extendleft(reversed(batch))
            self._aged, self._writes_early = 0, False
            if must:
                self.failure = str(no_room(error, "the answers of the run"))
                self._on_full()
            return
        self._aged, self._marked = max(0, self._aged - len(batch)), max(0, self._marked - len(batch))
        self._lengths.append(len(written))
        self._kept_bytes -= size

    def newest_first(self) -> Iterator[Item]:
        """Every item without giving it up, the last one first; the file is read as far as it is asked for."""
        for item, _ in reversed(self._kept):
            yield item
        for length, begin in reversed(list(zip(self._lengths, self._begins(), strict=True))):
            assert self._file is not None
            yield from reversed(_loaded(os.pread(self._file.fileno(), length, begin)))

    def drain(self) -> Iterator[Item]:
        """All of them; each is released as the next one is asked for.

        What was read leaves the disk at once: the records that are made of it go to the same disk, which may be full.
        """
        if self._file is not None:
            for length, begin in zip(self._lengths, self._begins(), strict=True):
                loaded = _loaded(os.pread(self._file.fileno(), length, begin))
                yield from loaded
                release(self._file.fileno(), begin, length)
            self.close()
        while self._kept:
            yield self._kept.popleft()[0]

    def close(self) -> None:
        """Give the file back, also when nobody asked for what is in it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _holds_too_much(self) -> bool:
        return self._kept_bytes > self._most_bytes + _BATCH_BYTES

    def _begins(self) -> Iterator[int]:
        """Where each piece of the file begins, behind its length."""
        begin = 0
        for length in self._lengths:
            yield begin + _LENGTH.size
            begin += _LENGTH.size + length

    def _append(self, written: bytes) -> None:
        if self._file is None:
            self._file = self._opened()
        write_all(self._file, _LENGTH.pack(len(written)) + written)

    def _opened(self) -> FileIO:
        if self._path is not None:
            with suppress(OSError):  # its folder is gone
                return self._path.open("xb+", buffering=0)
        # Nameless: it goes with this object, however that ends.
        return tempfile.TemporaryFile(buffering=0, dir=bulk_folder())


class LeftBehind:
    """The items in the file of a process that is gone, as far as they were written; those that it had given back are not there.

    `begins_with_hole` says whether there were any of the latter, once the first item has been asked for.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.begins_with_hole = False

    def __iter__(self) -> Iterator[Any]:
        try:
            file = self._path.open("rb")
        except OSError:  # nothing was written
            return
        with file:
            while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
                written = file.read(_LENGTH.unpack(head)[0])
                if written.startswith(_HOLE):
                    self.begins_with_hole = True
                    continue
                try:
                    items = _loaded(written)
                except (EOFError, ValueError, TypeError):  # cut off by the end of the process
                    return
                yield from items


def _loaded(written: bytes) -> list[Any]:
    return cast("list[Any]", marshal.loads(written))
