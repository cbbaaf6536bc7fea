"""Finished exchanges come back whole and in order, also those whose reads went by in the log of all streams."""

import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from loadgen.engine.capture.spool import Spool, left_behind
from loadgen.engine.eventloop import spill_queue, uring
from loadgen.engine.eventloop.read_log import ReadLog
from loadgen.engine.eventloop.spill_queue import SpillQueues
from loadgen.engine.records.exchange import READ_MARK, STAMP, Exchange, stamp_now, unpack_stamps
from loadgen.engine.records.record import Outcome


def exchange(index: int) -> Exchange:
    made = Exchange(index, slot=index % 3, due_ns=index * 10)
    made.sent_ns, made.connect_ns, made.gave_up_ns = index * 10 + 1, None, 7
    made.reads, made.stamps = [b"x" * 4000, b"%d" % index], [stamp_now(), stamp_now()]
    made.complete, made.failure, made.detail = True, Outcome.TIMEOUT, "late \ud800"
    return made


def facts(one: Exchange) -> list[object]:
    return [getattr(one, name) for name in Exchange.__slots__]


def refuse(items: list[object], at: int) -> int:
    raise OSError(28, "No space left on device")


def pack_and_spill(spool: Spool, queues: SpillQueues) -> None:
    spool.pack()
    queues.spill()


@pytest.mark.parametrize("most_bytes", [0, 500_000, 10**9])
def test_what_goes_in_comes_out_in_order(most_bytes: int) -> None:
    queues = SpillQueues(most_bytes)
    spool = Spool(queues)
    before = [exchange(index) for index in range(300)]
    for one in before:
        spool.add(one)
        pack_and_spill(spool, queues)
    assert (spool._packed._file is not None) == (most_bytes < 10**9)
    after = list(spool.drain())
    assert [facts(one) for one in after] == [facts(one) for one in before]
    assert after[0].failure is Outcome.TIMEOUT


def test_memory_holds_no_more_than_it_may_though_nothing_spills_in_between() -> None:
    spool = Spool(SpillQueues(500_000))
    for index in range(1000):
        spool.add(exchange(index))
        assert spool._fresh_bytes < 1_100_000
        assert spool._packed._kept_bytes < 4_000_000
    assert [one.index for one in spool.drain()] == list(range(1000))


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    queues = SpillQueues(0, lambda: told.append(1))
    spool = Spool(queues)

    monkeypatch.setattr(spool._packed, "_write", refuse)
    for index in range(400):
        spool.add(exchange(index))
    assert told == [1]
    assert "No space left on device; free some space there" in (queues.failure or "")
    assert [one.index for one in spool.drain()] == list(range(400))


class Streams:
    """Plays a ring whose completions come in batches, and connections that send one answer after the other."""

    def __init__(self, log: ReadLog, queues: SpillQueues, seed: int) -> None:
        self.log, self.queues, self.spool, self.chance = log, queues, Spool(queues, log), random.Random(seed)
        self.expected: dict[int, tuple[list[bytes], list[int]]] = {}
        self.open: dict[int, Exchange] = {}
        self.begun: dict[int, int] = {}
        self.index = itertools.count()
        self.buffer = 0
        self.clock_ns = itertools.count(10**18, 1000)

    def play(self, batches: int) -> None:
        for _ in range(batches):
            self.batch([self.chance.randrange(1, 9) for _ in range(self.chance.randrange(1, 60))])
            pack_and_spill(self.spool, self.queues)

    def batch(self, tokens: list[int]) -> None:
        begin = self.log.place
        completions, looked_at, plain = [], [], []
        for number, token in enumerate(tokens):
            self.log.place = begin + number
            if token == 8:  # something that is no read
                completions.append(uring.COMPLETION.pack(token, -105, 0))
                continue
            received = bytes([self.chance.randrange(256)]) * self.chance.randrange(4, 90)
            stamp_ns = next(self.clock_ns)
            completions.append(
                uring.COMPLETION.pack(
                    token,
                    uring.DATA_AT + len(received),
                    uring.HAS_BUFFER | uring.GOES_ON | (self.buffer % uring.BUFFERS) << uring.BUFFER_SHIFT,
                )
            )
            self.buffer = (self.buffer + 1) % uring.BUFFERS
            if self.serve(token, received, stamp_ns):
                looked_at.append(self.log.place)
            else:
                plain.append(self.row(received, stamp_ns))
        self.log.place = begin + len(tokens)
        if plain:
            self.log.append(begin, 10**18, b"".join(completions), looked_at, b"".join(plain))

    def row(self, received: bytes, stamp_ns: int) -> bytes:
        head = bytearray(uring.DATA_AT)
        head[uring.ANCILLARY_LENGTH_AT] = 32
        head[uring.STAMP_AT :] = STAMP.pack(*divmod(stamp_ns, 10**9))
        return bytes(head) + received

    def serve(self, token: int, received: bytes, stamp_ns: int) -> bool:
        """As a connection does: the first read of an answer and its last one are looked at."""
        if token not in self.open:
            one = Exchange(next(self.index))
            self.open[token] = one
            self.begun[token] = self.log.place + 1
            self.expected[one.index] = [], []
        elif self.chance.random() < 0.1:
            one = self.open.pop(token)
            one.logged = token, self.begun[token], self.log.place
        else:
            self.note(self.open[token], received, stamp_ns)
            return False
        self.note(one, received, stamp_ns)
        one.reads.append(received)
        one.stamps.append(STAMP.pack(*divmod(stamp_ns, 10**9)))
        if token not in self.open:
            self.spool.add(one)
        return True

    def note(self, one: Exchange, received: bytes, stamp_ns: int) -> None:
        self.expected[one.index][0].append(received)
        self.expected[one.index][1].append(stamp_ns)


@pytest.mark.parametrize("most_bytes", [0, 10**9], ids=["in the file", "in memory"])
@pytest.mark.parametrize("seed", range(3))
def test_each_answer_gets_its_own_reads_back_from_the_log(most_bytes: int, seed: int) -> None:
    log = ReadLog()
    streams = Streams(log, SpillQueues(most_bytes), seed)
    streams.play(400)
    assert (log.batches._file is not None) == (most_bytes == 0)
    later = {token: log.reads_of((token, streams.begun[token], log.place)) for token in streams.open}
    for token, (reads, stamps) in later.items():
        one = streams.open[token]
        assert one.reads + reads == streams.expected[one.index][0]
        assert unpack_stamps(one.stamps + stamps)[0].tolist() == streams.expected[one.index][1]
    ended = list(streams.spool.drain())
    assert len(ended) > 100
    for one in ended:
        assert (one.reads, unpack_stamps(one.stamps)[0].tolist()) == streams.expected[one.index]


def test_a_read_without_a_stamp_has_that_of_the_moment_when_it_was_taken() -> None:
    log = ReadLog()
    completion = uring.COMPLETION.pack(1, uring.DATA_AT + 5, uring.HAS_BUFFER | uring.GOES_ON | 7 << uring.BUFFER_SHIFT)
    log.append(1, 10**18, completion, [], bytes(uring.DATA_AT) + b"event")
    reads, stamps = log.reads_of((1, 1, 2))
    assert reads == [b"event"]
    assert STAMP.unpack(stamps[0])[1] >= READ_MARK


def test_a_full_disk_of_the_log_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    log = ReadLog()
    queues = SpillQueues(0, lambda: told.append(1))
    streams = Streams(log, queues, 1)

    monkeypatch.setattr(log.batches, "_write", refuse)
    streams.play(400)
    assert told == [1]
    assert "No space left on device" in (queues.failure or "")
    by_index = defaultdict(list, {one.index: one.reads for one in streams.spool.drain()})
    assert by_index
    assert all(reads == streams.expected[index][0] for index, reads in by_index.items())


class AtOnce(Executor):
    """Does what it is given while it is given it."""

    def submit(self, do: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(do(*arguments, **named))
        except Exception as error:
            done.set_exception(error)
        return done


def test_what_ages_is_written_while_more_comes(tmp_path: Path) -> None:
    log = ReadLog()
    queues = SpillQueues(50_000, folder=tmp_path)  # also more than memory may hold
    streams = Streams(log, queues, 1)
    for _ in range(40):
        streams.play(20)
        queues.mark()
    ended = list(streams.spool.drain())
    assert len(ended) > 100
    for one in ended:
        assert (one.reads, unpack_stamps(one.stamps)[0].tolist()) == streams.expected[one.index]


@pytest.mark.parametrize("seed", range(3))
def test_what_a_killed_process_leaves_behind_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(spill_queue, "_ITEMS_AT_ONCE", 5)
    log = ReadLog()
    queues = SpillQueues(10**9, folder=tmp_path, executor=AtOnce())
    streams = Streams(log, queues, seed)
    found: set[int] = set()

    def look() -> int:
        """Whatever is in the files now, of which each exchange must be whole."""
        left = list(left_behind(tmp_path))
        for one in left:
            assert (one.reads, unpack_stamps(one.stamps)[0].tolist()) == streams.expected[one.index]
        found.update(one.index for one in left)
        return len(left)

    assert look() == 0
    for _ in range(10):
        streams.play(40)
        queues.mark()
        look()
    assert queues.failure is None
    before = len(found)
    assert before > 100
    for number, _ in enumerate(streams.spool.drain()):  # read back, and each part of the files given back after that
        if number % 20 == 0:
            look()
    assert len(found) == before
    with (tmp_path / ".responses").open("rb+") as file:
        file.truncate(100)  # in the midst of a write
    assert look() == 0


def test_a_disk_that_takes_nothing_early_fills_no_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[int] = []
    queues = SpillQueues(10**9, lambda: told.append(1), tmp_path, AtOnce())
    spool = Spool(queues)

    monkeypatch.setattr(spool._packed, "_write", refuse)
    for index in range(300):
        spool.add(exchange(index))
        queues.mark()
        pack_and_spill(spool, queues)
    assert (told, queues.failure) == ([], None)
    assert [one.index for one in spool.drain()] == list(range(300))
