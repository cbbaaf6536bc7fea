"""Exchanges that have ended, kept until they are read: in memory while they are few, the oldest in a file beyond that.

The reads of an exchange are joined soon after: three objects are kept in place of two for each read, and what those took is
free for the reads of others. Not at once, since a thousand that end together would keep the reads of the next ones waiting for
tens of milliseconds.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import Any

from loadgen.engine.eventloop.overflow import MAX_BYTES_IN_MEMORY, Early, LeftBehind, Overflow
from loadgen.engine.eventloop.readlog import ReadLog, Regrouped
from loadgen.engine.records.exchange import STAMP, Exchange
from loadgen.engine.records.record import Outcome

_MOST_BEHIND = 2
_JOINED_AT_ONCE = 32  # about half a millisecond
_BYTES_PER_EXCHANGE = 700  # its facts and the objects that hold them
_BYTES_PER_READ = 20  # a stamp and a length
_FACT_NAMES = tuple(name for name in Exchange.__slots__ if name not in ("failure", "reads", "stamps"))
_FACTS = attrgetter(*_FACT_NAMES)

Packed = tuple[int | None, tuple[Any, ...], bytes, bytes, bytes]
"""(failure, the facts, all reads end to end, their lengths as unsigned 32 bits, all stamps end to end)."""


class Spool:
    """Takes finished exchanges one by one, and gives all of them back once, in the order in which they came.

    `log` holds the reads of plain answers, if this process keeps one; they come back with their exchanges. When a file cannot
    be written, `on_full` is called and `failure` says why; from then on everything stays in memory, so that nothing is lost.
    With a `folder` what is older than a `mark` or two lies in files there, which `left_behind` reads when this process was killed.
    """

    def __init__(
        self,
        most_bytes: int = MAX_BYTES_IN_MEMORY,
        on_full: Callable[[], None] = lambda: None,
        log: ReadLog | None = None,
        folder: Path | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._fresh: deque[Exchange] = deque()
        self._fresh_bytes = 0
        self._most_bytes = most_bytes
        self._executor = executor
        responses, reads = (None, None) if folder is None else (self._early(each) for each in _files(folder))
        self._packed: Overflow[Packed] = Overflow(most_bytes, on_full, responses)
        self._log = log
        if log is not None:
            log.keep_within(most_bytes, on_full, reads)

    @property
    def failure(self) -> str | None:
        """Why a file could not be written, if so."""
        return self._packed.failure or (self._log.failure if self._log is not None else None)

    @property
    def is_behind(self) -> bool:
        """Whether `relieve` has more to do than it does at once."""
        return (
            len(self._fresh) > _JOINED_AT_ONCE or self._packed.is_full or (self._log is not None and self._log.is_full)
        )

    def add(self, exchange: Exchange) -> None:
        """Take an exchange that has ended. Called while a run is measured.

        It does the work of `relieve` only where that was not called often enough: bytes of others must not wait for it.
        """
        self._fresh.append(exchange)
        self._fresh_bytes += _size(exchange)
        if self._fresh_bytes > _MOST_BEHIND * self._most_bytes:
            self.relieve()

    def relieve(self) -> None:
        """Join what came, and move one batch of the oldest to the file if there are too many. To be called now and then."""
        for _ in range(min(_JOINED_AT_ONCE, len(self._fresh))):
            exchange = self._fresh.popleft()
            size = _size(exchange)
            self._fresh_bytes -= size
            self._packed.add(_packed(exchange), size)
        self._packed.relieve()
        if self._log is not None:
            self._log.relieve()

    def _early(self, path: Path) -> Early:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1)
        return Early(path, self._executor)

    def start(self) -> None:
        """Have the thread that writes early begin now, with the priority that this one has: later it would keep the loop waiting."""
        if self._executor is not None:
            self._executor.submit(int).result()

    def mark(self) -> None:
        """Have what is as old as the last mark written to the file. To be called once a second or so."""
        self._packed.mark()
        if self._log is not None:
            self._log.mark()

    def drain(self) -> Iterator[Exchange]:
        """All of them; each is let go as the next one is asked for."""
        self._end_writing()
        logged = None if self._log is None else self._log.drain()
        for exchange in self._all():
            if logged is not None and exchange.logged is not None:
                exchange.reads[1:1], exchange.stamps[1:1] = logged.take(exchange.logged)
            yield exchange

    def close(self) -> None:
        """Give the files back, also when nobody asked for what is in them."""
        self._end_writing()
        self._packed.close()
        if self._log is not None:
            self._log.close()

    def _end_writing(self) -> None:
        if self._executor is not None:
            self._executor.shutdown()

    def _all(self) -> Iterator[Exchange]:
        for packed in self._packed.drain():
            yield _unpacked(packed)
        while self._fresh:
            yield self._fresh.popleft()


def left_behind(folder: Path) -> Iterator[Exchange]:
    """The exchanges that a process which is gone had written in full to `folder`, in the order in which they ended.

    Those that it had read back already are not among them.
    """
    responses, reads = _files(folder)
    batches = LeftBehind(reads)
    logged = Regrouped(iter(batches))
    for packed in LeftBehind(responses):
        exchange = _unpacked(packed)
        if exchange.logged is not None:
            whole = logged.reaches(exchange.logged)
            received, stamps = logged.take(exchange.logged)
            if not whole or (batches.begins_with_hole and exchange.logged[1] <= logged.first_place):
                continue
            exchange.reads[1:1], exchange.stamps[1:1] = received, stamps
        yield exchange


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / ".responses", folder / ".reads"


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
