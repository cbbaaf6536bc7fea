"""Exchanges that have ended, kept until they are read: in memory while they are few, the oldest in a file beyond that.

The reads of an exchange are joined soon after: three objects are kept in place of two for each read, and what those took is
free for the reads of others. Not at once, since a thousand that end together would keep the reads of the next ones waiting for
tens of milliseconds.
"""

from array import array
from collections import deque
from collections.abc import Iterator
from itertools import accumulate, chain
from operator import attrgetter
from pathlib import Path
from typing import Any

from loadgen.engine.eventloop.read_log import ReadLog, Regrouped
from loadgen.engine.eventloop.spill_queue import LeftBehind, SpillQueue, SpillQueues
from loadgen.engine.records.exchange import STAMP, Exchange
from loadgen.engine.records.record import Outcome

_MAX_BEHIND = 2
_PACKED_AT_ONCE = 32  # about half a millisecond
_BYTES_PER_EXCHANGE = 700  # its facts and the objects that hold them
_BYTES_PER_READ = 20  # a stamp and a length
_RESPONSES_FILE, _READS_FILE = ".responses", ".reads"
_FACT_NAMES = tuple(name for name in Exchange.__slots__ if name not in ("failure", "reads", "stamps"))
_FACTS = attrgetter(*_FACT_NAMES)

Packed = tuple[tuple[int | None, tuple[Any, ...]], bytes, bytes, bytes]
"""((failure, the facts), all reads end to end, their lengths as unsigned 32 bits, all stamps end to end)."""


class Spool:
    """Takes finished exchanges one by one, and gives all of them back once, in the order in which they came.

    `log` holds the reads of plain responses, if this process keeps one; they come back with their exchanges. Both keep what
    they hold in one of the `queues`, whose files `left_behind` reads when this process was killed.
    """

    def __init__(self, queues: SpillQueues, log: ReadLog | None = None) -> None:
        self._fresh: deque[Exchange] = deque()
        self._fresh_bytes = 0
        self._max_fresh_bytes = _MAX_BEHIND * queues.max_bytes
        self._packed: SpillQueue[Packed] = queues.queue(_RESPONSES_FILE)
        self._log = log
        if log is not None:
            log.batches = queues.queue(_READS_FILE)

    @property
    def is_behind(self) -> bool:
        """Whether `pack` has more to do than it does at once."""
        return len(self._fresh) > _PACKED_AT_ONCE

    def add(self, exchange: Exchange) -> None:
        """Take an exchange that has ended. Called while a run is measured.

        It does the work of `pack` only where that was not called often enough: bytes of others must not wait for it.
        """
        self._fresh.append(exchange)
        self._fresh_bytes += _size(exchange)
        if self._fresh_bytes > self._max_fresh_bytes:
            self.pack()

    def pack(self) -> None:
        """Join the reads of the oldest exchanges that came. To be called now and then."""
        for _ in range(min(_PACKED_AT_ONCE, len(self._fresh))):
            exchange = self._fresh.popleft()
            size = _size(exchange)
            self._fresh_bytes -= size
            self._packed.add(_packed(exchange), size)

    def drain(self) -> Iterator[Exchange]:
        """All of them; each is released as the next one is asked for."""
        logged = None if self._log is None else self._log.drain()
        fresh = (self._fresh.popleft() for _ in range(len(self._fresh)))
        for exchange in chain(map(_unpacked, self._packed.drain()), fresh):
            if logged is not None and exchange.logged is not None:
                exchange.reads[1:1], exchange.stamps[1:1] = logged.take(exchange.logged)
            yield exchange


def left_behind(folder: Path) -> Iterator[Exchange]:
    """The exchanges that a process which is gone had written in full to `folder`, in the order in which they ended.

    Those that it had read back already are not among them.
    """
    batches = LeftBehind(folder / _READS_FILE)
    logged = Regrouped(iter(batches))
    for packed in LeftBehind(folder / _RESPONSES_FILE):
        exchange = _unpacked(packed)
        if exchange.logged is not None:
            whole = logged.reaches(exchange.logged)
            received, stamps = logged.take(exchange.logged)
            if not whole or (batches.begins_with_hole and exchange.logged[1] <= logged.first_place):
                continue
            exchange.reads[1:1], exchange.stamps[1:1] = received, stamps
        yield exchange


def _size(exchange: Exchange) -> int:
    return _BYTES_PER_EXCHANGE + _BYTES_PER_READ * len(exchange.reads) + sum(map(len, exchange.reads))


def _packed(exchange: Exchange) -> Packed:
    failure = None if exchange.failure is None else int(exchange.failure)  # marshal knows no enumerations
    lengths = array("I", map(len, exchange.reads)).tobytes()
    return (failure, _FACTS(exchange)), b"".join(exchange.reads), lengths, b"".join(exchange.stamps)


def _unpacked(packed: Packed) -> Exchange:
    (failure, facts), joined, lengths, stamps = packed
    exchange = Exchange()
    for name, value in zip(_FACT_NAMES, facts, strict=True):
        setattr(exchange, name, value)
    exchange.failure = None if failure is None else Outcome(failure)
    ends = list(accumulate(memoryview(lengths).cast("I")))
    exchange.reads = [joined[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    exchange.stamps = [stamps[at : at + STAMP.size] for at in range(0, len(stamps), STAMP.size)]
    return exchange
