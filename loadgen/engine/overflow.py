"""First in, first out: in memory while there is little, the oldest in a file beyond that.

It leaves memory a quarter of a megabyte at a time, which took the event loop 0.1 to 0.2 ms in the median and up to 8 ms on a
machine where other work ran.
"""

import marshal
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from io import FileIO
from itertools import accumulate
from typing import Generic, TypeVar, cast

from loadgen.load.disk import bulk_folder, no_room, release, write_all

MOST_BYTES_IN_MEMORY = 64 * 2**20
_BATCH_BYTES = 256 * 2**10
_MOST_BEHIND = 4

Item = TypeVar("Item")


class Overflow(Generic[Item]):
    """Holds items that marshal knows how to write. They are given back once, in the order in which they came.

    When the file cannot be written, `on_full` is called once and `failure` says why; from then on everything stays in
    memory, so that nothing is lost.
    """

    def __init__(self, most_bytes: int, on_full: Callable[[], None]) -> None:
        self._most_bytes = most_bytes
        self._on_full = on_full
        self._kept: deque[tuple[Item, int]] = deque()
        self._kept_bytes = 0
        self._file: FileIO | None = None  # nameless: it goes with this object, however that ends
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
        return self._kept_bytes > self._most_bytes + _BATCH_BYTES

    def relieve(self) -> None:
        """Move a batch of the oldest to the file, if there are too many in memory. To be called now and then.

        `add` does it only where that was not often enough: bytes of streams must not wait for it.
        """
        if not self.is_full or self.failure is not None:
            return
        batch: list[tuple[Item, int]] = []
        size = 0
        while size < _BATCH_BYTES and self._kept:
            batch.append(self._kept.popleft())
            size += batch[-1][1]
        written = marshal.dumps([item for item, _ in batch])
        try:
            self._append(written)
        except OSError as error:
            self._kept.extendleft(reversed(batch))
            self.failure = str(no_room(error, "the answers of the run"))
            self._on_full()
            return
        self._lengths.append(len(written))
        self._kept_bytes -= size

    def newest_first(self) -> Iterator[Item]:
        """Every item without giving it up, the last one first; the file is read as far as it is asked for."""
        for item, _ in reversed(self._kept):
            yield item
        ends = list(accumulate(self._lengths))
        for length, end in zip(reversed(self._lengths), reversed(ends), strict=True):
            assert self._file is not None
            yield from reversed(self._loaded(os.pread(self._file.fileno(), length, end - length)))

    def drain(self) -> Iterator[Item]:
        """All of them; each is released as the next one is asked for.

        What was read leaves the disk at once: the records that are made of it go to the same disk, which may be full.
        """
        if self._file is not None:
            begin = 0
            for length in self._lengths:
                loaded = self._loaded(os.pread(self._file.fileno(), length, begin))
                release(self._file.fileno(), begin, length)
                begin += length
                yield from loaded
            self.close()
        while self._kept:
            yield self._kept.popleft()[0]

    def close(self) -> None:
        """Give the file back, also when nobody asked for what is in it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _loaded(self, written: bytes) -> list[Item]:
        return cast("list[Item]", marshal.loads(written))

    def _append(self, written: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0, dir=bulk_folder())  # noqa: SIM115  (open as long as we are)
        write_all(self._file, written)
