"""The kernel receives by itself: nothing is lost, in order, with stamps of its own, however much comes at once."""

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from loadgen.engine.eventloop.loop import StreamLoop, make_loop
from loadgen.engine.eventloop.ring import RingSelector
from loadgen.engine.eventloop.selector import PollPacer
from loadgen.engine.eventloop.uring import BUFFER_BYTES, BUFFERS, Uring
from loadgen.engine.records.exchange import unpack_stamps
from loadgen.engine.wire.sockets import ask_for_kernel_stamps

pytestmark = pytest.mark.loopback


@dataclass
class Seen:
    """A stream that keeps what it is told."""

    reads: list[bytes] = field(default_factory=list)
    stamps: list[bytes | None] = field(default_factory=list)
    errors: list[OSError] = field(default_factory=list)
    rooms: int = 0
    ended: bool = False

    def readable(self) -> None:
        raise AssertionError("the ring reads by itself")

    def arrived(self, received: bytes, stamp: bytes | None) -> None:
        self.reads.append(received)
        self.stamps.append(stamp)
        self.ended = not received

    def writable(self) -> None:
        self.rooms += 1

    def lost(self, error: OSError) -> None:
        self.errors.append(error)


@pytest.fixture
def loop() -> Iterator[StreamLoop]:
    try:
        made = StreamLoop(RingSelector())
    except OSError as error:
        pytest.skip(f"no io_uring of Linux 6.12 or newer here: {error}")
    with asyncio.Runner(loop_factory=lambda: made) as runner:
        runner.get_loop()
        yield made


def pair() -> tuple[socket.socket, socket.socket]:
    """(ours, theirs), connected over loopback; ours asks for stamps."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    ask_for_kernel_stamps(ours)
    ours.setblocking(False)
    for end in (ours, theirs):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs


class Watched(NamedTuple):
    """A stream that a loop watches: both ends, and what it was told."""

    ours: socket.socket
    theirs: socket.socket
    seen: Seen


@pytest.fixture
def watched(loop: StreamLoop) -> Iterator[Watched]:
    made = Watched(*pair(), Seen())
    loop.streams.watch(made.ours, made.seen)
    yield made
    loop.streams.unwatch(made.ours)
    made.ours.close()


def turn(loop: StreamLoop, seconds: float = 0.05) -> None:
    """Let the loop run for a while."""
    loop.run_until_complete(asyncio.sleep(seconds))


def turn_until(loop: StreamLoop, arrived: Callable[[], bool]) -> None:
    """Let the loop run until that is so, for ten seconds at most."""
    for _ in range(1000):
        if arrived():
            return
        turn(loop, 0.01)


def test_each_send_is_a_read_with_its_own_stamp(loop: StreamLoop, watched: Watched) -> None:
    _, theirs, seen = watched
    turn(loop)  # the kernel begins to stamp a moment after the first socket asks
    for number in range(5):
        theirs.send(b"event %d" % number)
        turn(loop, 0.01)
    theirs.close()
    turn_until(loop, lambda: seen.ended)
    assert seen.reads == [b"event %d" % number for number in range(5)] + [b""]
    stamps = [stamp for stamp in seen.stamps[:5] if stamp is not None]
    assert len(stamps) == 5
    moments_ns, at_read = unpack_stamps(stamps)
    assert at_read == 0
    assert all(later - earlier > 5e6 for earlier, later in itertools.pairwise(moments_ns))


def test_a_read_longer_than_a_buffer_comes_whole_and_in_order(loop: StreamLoop, watched: Watched) -> None:
    _, theirs, seen = watched
    sent = bytes(range(256)) * (BUFFER_BYTES // 64)
    theirs.sendall(sent)
    turn_until(loop, lambda: sum(map(len, seen.reads)) == len(sent))
    assert b"".join(seen.reads) == sent
    assert len(seen.reads) > 1


def test_more_than_all_buffers_hold_is_read_all_the_same(loop: StreamLoop) -> None:
    streams = [pair() for _ in range(4)]
    seen = [Seen() for _ in streams]
    for (ours, _), each in zip(streams, seen, strict=True):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        loop.streams.watch(ours, each)
    turn(loop)
    sent = b"0123456789abcdef" * (
        BUFFERS * BUFFER_BYTES // 16 // 2
    )  # twice as much, by all of them, as there are buffers
    theirs = [end for _, end in streams]

    async def send_all() -> None:
        await asyncio.gather(*(asyncio.to_thread(end.sendall, sent) for end in theirs))

    loop.run_until_complete(send_all())
    turn_until(loop, lambda: all(sum(map(len, each.reads)) == len(sent) for each in seen))
    assert [b"".join(each.reads) == sent for each in seen] == [True] * 4
    assert [each.errors for each in seen] == [[]] * 4
    for ours, _ in streams:
        loop.streams.unwatch(ours)


def test_the_peer_sees_the_end_of_a_stream_that_is_unwatched_and_closed(loop: StreamLoop) -> None:
    ours, theirs = pair()
    seen = Seen()
    loop.streams.watch(ours, seen)
    turn(loop)
    loop.streams.unwatch(ours)
    ours.close()
    turn(loop)
    theirs.settimeout(1)
    assert theirs.recv(1) == b""
    assert (seen.reads, seen.errors) == ([], [])


def test_a_stream_given_up_at_once_takes_no_bytes_of_the_one_that_gets_its_number(loop: StreamLoop) -> None:
    first, _ = pair()
    number = first.fileno()
    ours, theirs = pair()
    theirs.send(b"already here")
    given_up, seen = Seen(), Seen()
    loop.streams.watch(first, given_up)
    loop.streams.unwatch(first)
    first.close()
    ours = socket.socket(fileno=os.dup2(ours.detach(), number))
    loop.streams.watch(ours, seen)
    turn_until(loop, lambda: bool(seen.reads))
    assert (given_up.reads, b"".join(seen.reads)) == ([], b"already here")
    loop.streams.unwatch(ours)


def test_a_reset_is_told_as_one(loop: StreamLoop, watched: Watched) -> None:
    _, theirs, seen = watched
    turn(loop)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    turn_until(loop, lambda: bool(seen.errors))
    assert [error.errno for error in seen.errors] == [104]


def test_room_to_send_is_told_once_for_each_time_of_asking(loop: StreamLoop, watched: Watched) -> None:
    ours, theirs, seen = watched
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(1 << 20))
    loop.streams.watch_for_room(ours)
    turn(loop)
    assert seen.rooms == 0
    theirs.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while True:
            theirs.recv(1 << 20)
    turn(loop)
    assert seen.rooms == 1
    turn(loop)
    assert seen.rooms == 1


def test_asyncio_keeps_its_turn_while_the_streams_pause(loop: StreamLoop, watched: Watched) -> None:
    _, theirs, seen = watched
    loop.streams.pace(PollPacer(1))
    heard: list[bytes] = []
    one, other = socket.socketpair()
    loop.add_reader(one, lambda: heard.append(one.recv(100)))
    for _ in range(3):
        other.send(b"to asyncio")
        theirs.send(b"to the stream")
        turn(loop, 0.02)
    assert heard == [b"to asyncio"] * 3
    turn_until(loop, lambda: len(b"".join(seen.reads)) == 39)
    assert b"".join(seen.reads) == b"to the stream" * 3
    loop.remove_reader(one)


def test_without_io_uring_streams_are_read_through_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(self: Uring) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Uring, "__init__", forbidden)
    made = make_loop()
    assert isinstance(made, StreamLoop)
    assert made.streams.reads_by == "epoll"
    made.close()


def test_the_rings_tail_runs_over_its_sixteen_bits(loop: StreamLoop, watched: Watched) -> None:
    _, theirs, seen = watched
    turn(loop)
    reads = (1 << 16) + 3 * BUFFERS

    async def send() -> None:
        for number in range(reads):
            theirs.send(b"%06d" % number)
            if number % 64 == 0:
                await asyncio.sleep(0)

    loop.run_until_complete(send())
    turn_until(loop, lambda: sum(map(len, seen.reads)) == 6 * reads)
    joined = b"".join(seen.reads)
    assert joined == b"".join(b"%06d" % number for number in range(reads))
