"""Exchanges that have ended, kept until they are read: in memory while they are few, the oldest in a file beyond that.

The reads of an exchange are joined soon after: three objects are kept in place of two for each read, and what those took is
free for the reads of others. Not at once, since a thousand that end together would keep the reads of the next ones waiting for
tens of milliseconds. They leave memory a quarter of a megabyte at a time, which took the event loop 0.1 to 0.2 ms in
the median and up to 8 ms on a machine where other work ran, without a line of Python for each read.
"""

import marshal
import os
import tempfile
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import Any

from loadgen.engine.exchange import STAMP, Exchange
from loadgen.engine.record import Outcome
from loadgen.load.disk import bulk_folder, no_room

MOST_BYTES_IN_MEMORY = 64 * 2**20
_BATCH_BYTES = 256 * 2**10
_MOST_BEHIND = 4
_JOINED_AT_ONCE = 32  # about half a millisecond
_BYTES_PER_EXCHANGE = 700  # its facts and the objects that hold them
_BYTES_PER_READ = 20  # a stamp and a length
_FACT_NAMES = tuple(name for name in Exchange.__slots__ if name not in ("failure", "reads", "stamps"))
_FACTS = attrgetter(*_FACT_NAMES)

Packed = tuple[int | None, tuple[Any, ...], bytes, bytes, bytes]
"""(failure, the facts, all reads end to end, their lengths as unsigned 32 bits, all stamps end to end)."""


class Spool:
    """Takes finished exchanges one by one, and gives all of them back once, in the order in which they came.

    When the file cannot be written, `on_full` is called once and `failure` says why; from then on everything stays in
    memory, so that nothing is lost.
    """

    def __init__(self, most_bytes: int = MOST_BYTES_IN_MEMORY, on_full: Callable[[], None] = lambda: None) -> None:
        self._most_bytes = most_bytes
        self._on_full = on_full
        self._fresh: deque[Exchange] = deque()
        self._kept: deque[tuple[Packed, int]] = deque()
        self._kept_bytes = 0
        self._descriptor: int | None = None
        self._lengths: list[int] = []
        self.failure: str | None = None

    def add(self, exchange: Exchange) -> None:
        """Take an exchange that has ended. Called while a run is measured."""
        self._fresh.append(exchange)
        self._kept_bytes += _size(exchange)
        if self._kept_bytes > _MOST_BEHIND * (self._most_bytes + _BATCH_BYTES):
            self.relieve()

    @property
    def is_behind(self) -> bool:
        """Whether `relieve` has more to do than it does at once."""
        return len(self._fresh) > _JOINED_AT_ONCE or self._is_full

    @property
    def _is_full(self) -> bool:
        return self._kept_bytes > self._most_bytes + _BATCH_BYTES

    def relieve(self) -> None:
        """Join what came, and move one batch of the oldest to the file if there are too many. To be called now and then.

        `add` does it only where that was not often enough: many answers end at once, and bytes of others must not wait for it.
        """
        self._join(_JOINED_AT_ONCE)
        if self._is_full and self.failure is None:
            self._write_oldest()

    def drain(self) -> Iterator[Exchange]:
        """All of them; each is let go as the next one is asked for."""
        if self._descriptor is not None:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            with os.fdopen(self._descriptor, "rb") as file:
                self._descriptor = None
                for length in self._lengths:
                    for packed in marshal.loads(file.read(length)):
                        yield _unpacked(packed)
        while self._kept:
            yield _unpacked(self._kept.popleft()[0])
        while self._fresh:
            yield self._fresh.popleft()

    def close(self) -> None:
        """Give the file back, also when nobody asked for what is in it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _join(self, most: int) -> None:
        for _ in range(min(most, len(self._fresh))):
            exchange = self._fresh.popleft()
            self._kept.append((_packed(exchange), _size(exchange)))

    def _write_oldest(self) -> None:
        batch: list[tuple[Packed, int]] = []
        size = 0
        while size < _BATCH_BYTES and (self._kept or self._fresh):
            if not self._kept:
                self._join(1)
            batch.append(self._kept.popleft())
            size += batch[-1][1]
        written = marshal.dumps([packed for packed, _ in batch])
        try:
            self._append(written)
        except OSError as error:
            self._kept.extendleft(reversed(batch))
            self.failure = str(no_room(error, "the answers of the run"))
            self._on_full()
            return
        self._lengths.append(len(written))
        self._kept_bytes -= size

    def _append(self, packed: bytes) -> None:
        if self._descriptor is None:
            self._descriptor, path = tempfile.mkstemp(prefix="loadgen-answers-", dir=bulk_folder())
            Path(path).unlink()  # the file is there as long as it is open, and goes with the process however that ends
        rest = memoryview(packed)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def _size(exchange: Exchange) -> int:
    return _BYTES_PER_EXCHANGE + _BYTES_PER_READ * len(exchange.reads) + sum(map(len, exchange.reads))


def _packed(exchange: Exchange) -> Packed:
    failure = None if exchange.failure is None else int(exchange.failure)  # marshal knows no enumerations
    lengths = array("I", map(len, exchange.reads)).tobytes()
    return failure, _FACTS(exchange), b"".join(exchange.reads), lengths, b"".join(exchange.stamps)


def _unpacked(packed: Packed) -> Exchange:
    failure, facts, joined, lengths, stamps = packed
    exchange = Exchange()
    for name, value in zip(_FACT_NAMES, facts, strict=True):
        setattr(exchange, name, value)
    exchange.failure = None if failure is None else Outcome(failure)
    ends = list(accumulate(memoryview(lengths).cast("I")))
    exchange.reads = [joined[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    exchange.stamps = [stamps[at : at + STAMP.size] for at in range(0, len(stamps), STAMP.size)]
    return exchange
