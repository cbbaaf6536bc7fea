"""Queues that keep what fits in memory and spill the oldest items to files.

A batch of a quarter of a megabyte leaves memory at a time, which took the event loop 0.1 to 0.2 ms in the median and up to 8 ms on
a machine where other work ran.
"""

import marshal
import os
import struct
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, Generic, TypeVar

from loadgen.load.disk import bulk_folder, no_room, release

MAX_BYTES_IN_MEMORY = 64 * 2**20
_BATCH_BYTES = 256 * 2**10
_ITEMS_AT_ONCE = 32  # of a piece that the thread writes: packed in 20 µs or so
_MAX_BEHIND = 4
_MAX_PARTS = 512  # of one system call; IOV_MAX is 1024
_LENGTHS = struct.Struct("2Q")  # before each piece: its length, and how much of that its head is
_HOLE = b"\0"  # what a released part of a file reads as; marshal begins no list with it

Item = TypeVar("Item", bound=tuple[Any, ...])
"""(whatever marshal can write, and any number of `bytes`, which are written as they are)."""


@dataclass(frozen=True, slots=True)
class EarlyFile:
    """Where items that have aged are written, and the thread that writes them."""

    path: Path
    executor: Executor


class SpillQueue(Generic[Item]):
    """A queue of items that are taken once, in the order in which they came.

    When the file cannot be written, `on_full` is called once and `failure` says why; from then on everything stays in memory,
    so that nothing is lost. With an `early` file a thread writes there what has aged, so that it survives this process
    (`LeftBehind`).
    """

    def __init__(
        self,
        max_bytes: int = MAX_BYTES_IN_MEMORY,
        on_full: Callable[[], None] = lambda: None,
        early: EarlyFile | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._on_full = on_full
        self._early = early
        self._kept: deque[tuple[Item, int]] = deque()
        self._kept_bytes = 0
        self._marked = 0  # of the oldest in memory: those that were there at the last mark
        self._under_way: Future[list[tuple[int, int]]] | None = None  # the lengths of the pieces that a thread writes
        self._writing = 0  # how many items those are
        self._file: FileIO | None = None
        self._lengths: list[tuple[int, int]] = []  # of the pieces of the file
        self._end = 0
        self.failure: str | None = None

    def add(self, item: Item, size_bytes: int) -> None:
        """Add `item`, which needs about `size_bytes` of memory."""
        self._kept.append((item, size_bytes))
        self._kept_bytes += size_bytes
        if self._kept_bytes > _MAX_BEHIND * (self._max_bytes + _BATCH_BYTES):
            self.spill()

    @property
    def is_full(self) -> bool:
        """Whether more is in memory than should be."""
        return self._kept_bytes > self._max_bytes + _BATCH_BYTES

    def mark(self) -> None:
        """Have the thread write what was in memory at the last mark too. To be called once a second or so."""
        if self._early is None or self.failure is not None or (self._under_way is not None and not self._collected()):
            return
        aged, self._marked = self._marked, len(self._kept)
        if aged:
            items = [item for item, _ in islice(self._kept, aged)]
            self._writing = aged
            self._under_way = self._early.executor.submit(self._write_pieces, items)

    def spill(self) -> None:
        """Move a batch of the oldest to the file if the queue is full. To be called now and then.

        `add` does it only where that was not often enough: bytes of streams must not wait for it.
        """
        if self._under_way is not None and not self._collected():
            return
        if not self.is_full or self.failure is not None:
            return
        size = count = 0
        while size < _BATCH_BYTES and count < len(self._kept):
            size += self._kept[count][1]
            count += 1
        try:
            self._drop_oldest(count, [self._write([item for item, _ in islice(self._kept, count)], self._end)])
        except OSError as error:
            self.failure = str(no_room(error, "the answers of the run"))
            self._on_full()

    def _collected(self, *, wait: bool = False) -> bool:
        """Whether the thread has written what it was given, which is in the file from now on and no more in memory."""
        assert self._under_way is not None
        if not (wait or self._under_way.done()):
            return False
        under_way, self._under_way = self._under_way, None
        try:
            self._drop_oldest(self._writing, under_way.result())
        except Exception:  # a disk without room for this is no reason to end the run
            self._early = None
        return True

    def _drop_oldest(self, count: int, lengths: list[tuple[int, int]]) -> None:
        """Drop the `count` oldest from memory, which are pieces of those lengths in the file."""
        for _ in range(count):
            self._kept_bytes -= self._kept.popleft()[1]
        self._marked = max(0, self._marked - count)
        self._lengths += lengths
        self._end += _space(lengths)

    def _write_pieces(self, items: list[Item]) -> list[tuple[int, int]]:
        """In the thread: short pieces, since nothing else of this process runs while one is packed."""
        lengths: list[tuple[int, int]] = []
        for begin in range(0, len(items), _ITEMS_AT_ONCE):
            lengths.append(self._write(items[begin : begin + _ITEMS_AT_ONCE], self._end + _space(lengths)))
        return lengths

    def _write(self, items: list[Item], at: int) -> tuple[int, int]:
        """Write a piece and return its lengths. Raises OSError."""
        if self._file is None:
            self._file = self._opened()
        parts = [part for item in items for part in item[1:]]
        sizes = list(map(len, parts))
        counts = [len(item) - 1 for item in items]
        head = marshal.dumps([[item[0] for item in items], counts, sizes])
        length = len(head) + sum(sizes)
        _write_at(self._file.fileno(), [_LENGTHS.pack(length, len(head)), head, *parts], at)
        return length, len(head)

    def newest_first(self) -> Iterator[Item]:
        """Yield every item, the last one first, and keep all; the file is read only as far as it is asked for."""
        for item, _ in reversed(self._kept):
            yield item
        for (length, head), begin in reversed(list(zip(self._lengths, self._begins(), strict=True))):
            assert self._file is not None
            yield from reversed(_loaded(os.pread(self._file.fileno(), length, begin), head))

    def drain(self) -> Iterator[Item]:
        """Yield all items; each is released as the next one is asked for.

        What was read leaves the disk at once: the records that are made of it go to the same disk, which may be full.
        """
        if self._under_way is not None:
            self._collected(wait=True)
        if self._file is not None:
            for (length, head), begin in zip(self._lengths, self._begins(), strict=True):
                yield from _loaded(os.pread(self._file.fileno(), length, begin), head)
                release(self._file.fileno(), begin, length)
            self.close()
        while self._kept:
            yield self._kept.popleft()[0]

    def close(self) -> None:
        """Close the file, whether or not it was read."""
        if self._under_way is not None:
            self._collected(wait=True)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begins(self) -> Iterator[int]:
        """Where each piece of the file begins, after its lengths."""
        begin = 0
        for length, _ in self._lengths:
            yield begin + _LENGTHS.size
            begin += _LENGTHS.size + length

    def _opened(self) -> FileIO:
        if self._early is not None:
            with suppress(OSError):  # its folder is gone
                return self._early.path.open("xb+", buffering=0)
        # Nameless: it goes with this object, however that ends.
        return tempfile.TemporaryFile(buffering=0, dir=bulk_folder())


class SpillQueues:
    """The spill queues of one run, and the thread that writes for them.

    `max_bytes` is what each queue may keep in memory. With a `folder`, what is older than a `mark` or two lies in files there.
    """

    def __init__(
        self,
        max_bytes: int = MAX_BYTES_IN_MEMORY,
        on_full: Callable[[], None] = lambda: None,
        folder: Path | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.max_bytes = max_bytes
        self._on_full = on_full
        self._folder = folder
        self._executor = ThreadPoolExecutor(1) if executor is None and folder is not None else executor
        self._queues: list[SpillQueue[Any]] = []

    def queue(self, name: str) -> SpillQueue[Any]:
        """A new queue; `name` is that of its file in the folder."""
        early = None
        if self._folder is not None and self._executor is not None:
            early = EarlyFile(self._folder / name, self._executor)
        self._queues.append(SpillQueue(self.max_bytes, self._on_full, early))
        return self._queues[-1]

    @property
    def failure(self) -> str | None:
        """Why a file could not be written, if so."""
        return next((queue.failure for queue in self._queues if queue.failure is not None), None)

    @property
    def is_full(self) -> bool:
        """Whether a queue has more in memory than it should."""
        return any(queue.is_full for queue in self._queues)

    def start_thread(self) -> None:
        """Start the thread that writes early, with the priority of this one: later it would keep the loop waiting."""
        if self._executor is not None:
            self._executor.submit(int).result()

    def mark(self) -> None:
        """Have what is as old as the last mark written to the files. To be called once a second or so."""
        for queue in self._queues:
            queue.mark()

    def spill(self) -> None:
        """Move a batch of the oldest of each full queue to its file. To be called now and then."""
        for queue in self._queues:
            queue.spill()

    def end_thread(self) -> None:
        """Wait for what the thread writes, and end it. Nothing may be marked any more."""
        if self._executor is not None:
            self._executor.shutdown()


class LeftBehind:
    """The items in the file of a process that is gone, as far as they were written; those that it had taken are not there.

    `begins_with_hole`: whether it had taken any; known once the first item has been read.
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
            while len(lengths := file.read(_LENGTHS.size)) == _LENGTHS.size:
                length, head = _LENGTHS.unpack(lengths)
                written = file.read(length)
                if written.startswith(_HOLE):
                    self.begins_with_hole = True
                    continue
                if len(written) < length:  # cut off by the end of the process
                    return
                yield from _loaded(written, head)


def _space(lengths: Sequence[tuple[int, int]]) -> int:
    return sum(length for length, _ in lengths) + _LENGTHS.size * len(lengths)


def _write_at(descriptor: int, parts: Sequence[bytes], at: int) -> None:
    """Write all `parts` end to end. Raises OSError."""
    for begin in range(0, len(parts), _MAX_PARTS):
        some = parts[begin : begin + _MAX_PARTS]
        size = sum(map(len, some))
        count = os.pwritev(descriptor, some, at)
        if count < size:
            remainder = memoryview(b"".join(some))[count:]
            while remainder:
                count = os.pwrite(descriptor, remainder, at + size - len(remainder))
                remainder = remainder[count:]
        at += size


def _loaded(written: bytes, head: int) -> list[Any]:
    first, counts, sizes = marshal.loads(written[:head])
    parts = iter([written[begin:end] for begin, end in pairwise(accumulate(sizes, initial=head))])
    return [(facts, *islice(parts, count)) for facts, count in zip(first, counts, strict=True)]
