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
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from loadgen.load.disk import bulk_folder, no_room, release

MAX_BYTES_IN_MEMORY = 64 * 2**20
_BATCH_BYTES = 256 * 2**10
_ITEMS_AT_ONCE = 32  # of a thread's pieces: packed in 20 µs or so
_MOST_BEHIND = 4
_LENGTH = struct.Struct("Q")
_HOLE = b"\0"  # what a released part reads as; marshal begins no list with it

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Early:
    """Where what has aged is written, and the thread that does it."""

    path: Path
    executor: Executor


class Overflow(Generic[Item]):
    """Holds items that marshal knows how to write. They are given back once, in the order in which they came.

    When the file cannot be written, `on_full` is called once and `failure` says why; from then on everything stays in
    memory, so that nothing is lost. With an `early` file what has aged is written there by a thread, for whoever comes after a
    process that was killed (`LeftBehind`).
    """

    def __init__(self, most_bytes: int, on_full: Callable[[], None], early: "Early | None" = None) -> None:
        self._most_bytes = most_bytes
        self._on_full = on_full
        self._early = early
        self._kept: deque[tuple[Item, int]] = deque()
        self._kept_bytes = 0
        self._marked = 0  # of the oldest in memory: those that were there at the last mark
        self._under_way: Future[list[int]] | None = None  # the lengths of the pieces that a thread writes
        self._writing = 0  # how many items those are
        self._file: FileIO | None = None
        self._lengths: list[int] = []  # of the pieces of the file
        self._end = 0
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
        return self._kept_bytes > self._most_bytes + _BATCH_BYTES

    def mark(self) -> None:
        """Have what was in memory at the last mark written too, though there is room for it. To be called once a second or so."""
        if self._early is None or self.failure is not None or (self._under_way is not None and not self._taken_up()):
            return
        aged, self._marked = self._marked, len(self._kept)
        if aged:
            items = [item for item, _ in islice(self._kept, aged)]
            self._writing = aged
            self._under_way = self._early.executor.submit(self._write_pieces, items)

    def relieve(self) -> None:
        """Move a batch of the oldest to the file, if there are too many in memory. To be called now and then.

        `add` does it only where that was not often enough: bytes of streams must not wait for it.
        """
        if self._under_way is not None and not self._taken_up():
            return
        if not self.is_full or self.failure is not None:
            return
        size = count = 0
        while size < _BATCH_BYTES and count < len(self._kept):
            size += self._kept[count][1]
            count += 1
        try:
            self._forget(count, [self._write([item for item, _ in islice(self._kept, count)], self._end)])
        except OSError as error:
            self.failure = str(no_room(error, "the answers of the run"))
            self._on_full()

    def _taken_up(self, *, wait: bool = False) -> bool:
        """Whether the thread has written what it was given, which is in the file from now on and no more in memory."""
        assert self._under_way is not None
        if not (wait or self._under_way.done()):
            return False
        under_way, self._under_way = self._under_way, None
        try:
            self._forget(self._writing, under_way.result())
        except Exception:  # a disk without room for this is no reason to end the run
            self._early = None
        return True

    def _forget(self, count: int, lengths: list[int]) -> None:
        """The `count` oldest in memory are pieces of those lengths in the file."""
        for _ in range(count):
            self._kept_bytes -= self._kept.popleft()[1]
        self._marked = max(0, self._marked - count)
        self._lengths += lengths
        self._end += sum(lengths) + _LENGTH.size * len(lengths)

    def _write_pieces(self, items: list[Item]) -> list[int]:
        """In the thread: short pieces, since nothing else of this process runs while one is packed."""
        lengths: list[int] = []
        for begin in range(0, len(items), _ITEMS_AT_ONCE):
            end = self._end + sum(lengths) + _LENGTH.size * len(lengths)
            lengths.append(self._write(items[begin : begin + _ITEMS_AT_ONCE], end))
        return lengths

    def _write(self, items: list[Item], at: int) -> int:
        """Write a piece and return its length. Raises OSError."""
        written = marshal.dumps(items)
        if self._file is None:
            self._file = self._opened()
        rest = memoryview(_LENGTH.pack(len(written)) + written)
        while rest:
            count = os.pwrite(self._file.fileno(), rest, at)
            at, rest = at + count, rest[count:]
        return len(written)

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
        if self._under_way is not None:
            self._taken_up(wait=True)
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
        if self._under_way is not None:
            self._taken_up(wait=True)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begins(self) -> Iterator[int]:
        """Where each piece of the file begins, behind its length."""
        begin = 0
        for length in self._lengths:
            yield begin + _LENGTH.size
            begin += _LENGTH.size + length

    def _opened(self) -> FileIO:
        if self._early is not None:
            with suppress(OSError):  # its folder is gone
                return self._early.path.open("xb+", buffering=0)
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
