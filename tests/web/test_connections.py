"""What a client may take of the HTTP server: slow and large heads, unread responses, many connections, and hanging up."""

import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from loadgen.web.connections import GOODBYE_S, BoundedProtocol, ConnectionLimits

LIMITS = ConnectionLimits(max_connections=2)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"


class Timer:
    def __init__(self, at_s: float, call: Callable[[], object]) -> None:
        self.at_s, self.call = at_s, call

    def cancel(self) -> None:
        self.at_s = float("inf")


class Loop:
    """A clock that a test moves, and the timers that ring meanwhile. Tasks are begun and never run."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, call: Callable[[], object]) -> Timer:
        self.timers.append(Timer(self.now_s + delay_s, call))
        return self.timers[-1]

    def create_task(self, coroutine: Any) -> "Task":
        coroutine.close()
        return Task()

    def pass_s(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while (first := min(self.timers, key=lambda timer: timer.at_s)).at_s <= end_s:
            self.timers.remove(first)
            self.now_s = first.at_s
            first.call()
        self.now_s = end_s


class Task:
    def add_done_callback(self, call: object) -> None:
        pass


class Transport:
    """What was written, how much of it is not taken yet, and how it ended."""

    def __init__(self) -> None:
        self.written, self.unread, self.ended = b"", 0, ""

    def get_extra_info(self, name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.ended != ""

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Connection:
    def __init__(self, loop: Loop, state: ServerState | None = None) -> None:
        self.loop, self.transport = loop, Transport()
        config = uvicorn.Config(app=Task, log_level="error", lifespan="off", ws="none")
        self.protocol = BoundedProtocol(
            LIMITS,
            config=config,
            server_state=state or ServerState(),
            app_state={},
            _loop=loop,  # type: ignore[arg-type]
        )
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type]

    def receive(self, data: bytes) -> "Connection":
        self.protocol.data_received(data)
        return self

    def respond(self) -> "Connection":
        """End the response to what was asked, as the application would."""
        answered = self.protocol._answered
        assert answered is not None
        answered.response_started = answered.response_complete = True
        self.protocol.on_response_complete()
        return self

    @property
    def status(self) -> int | None:
        words = self.transport.written.split()
        return int(words[1]) if words else None


@pytest.fixture
def loop() -> Loop:
    return Loop()


HEADS = {
    "nothing": (b"", b"", None),
    "a byte a second": (b"GET / HTTP/1.1\r\nX: ", b"a", 408),
    "a line a second": (b"GET / HTTP/1.1\r\n", b"X: a\r\n", 408),
    "an empty line a second": (b"\r\n", b"\r\n", 408),
    "a method": (b"", b"G", None),
}


@pytest.mark.parametrize(("first", "each", "status"), HEADS.values(), ids=HEADS)
def test_a_head_has_a_time_limit(loop: Loop, first: bytes, each: bytes, status: int | None) -> None:
    connection = Connection(loop).receive(first)
    for second in range(LIMITS.max_head_s):
        assert not connection.transport.is_closing(), second
        loop.pass_s(1)
        if each != b"G":
            connection.receive(each)
    assert connection.transport.ended == "closed"
    assert connection.status == status


@pytest.mark.parametrize("rest", [b"\r\n", b"GET / HTTP/1.1\r\nX: ", b"GET /"])
def test_so_has_the_next_one_of_a_connection(loop: Loop, rest: bytes) -> None:
    connection = Connection(loop).receive(GET).respond()
    loop.pass_s(LIMITS.max_idle_s - 1)
    connection.receive(rest)
    loop.pass_s(LIMITS.max_head_s - 1)
    assert not connection.transport.is_closing()
    loop.pass_s(1)
    assert connection.status == 408
    assert connection.transport.ended == "closed"


def test_a_request_that_is_answered_takes_its_time(loop: Loop) -> None:
    connection = Connection(loop).receive(GET)
    loop.pass_s(3_600)
    connection.respond()
    loop.pass_s(LIMITS.max_idle_s - 1)
    connection.receive(POST[:20])
    connection.receive(POST[20:] + b"a")
    loop.pass_s(3_600)  # the application limits the body
    assert not connection.transport.is_closing()


def test_the_rest_of_a_body_that_is_answered_is_not_waited_for(loop: Loop) -> None:
    connection = Connection(loop).receive(POST).respond()
    for _ in range(LIMITS.max_head_s + 1):
        connection.receive(b"a")
        loop.pass_s(1)
    assert connection.transport.ended == "closed"
    assert connection.status is None


def test_a_slow_head_behind_a_response_closes_after_it(loop: Loop) -> None:
    connection = Connection(loop).receive(GET + b"GET / HTTP/1.1\r\nX: ")
    loop.pass_s(60)
    assert not connection.transport.is_closing()
    assert not connection.protocol.cycle.keep_alive


@pytest.mark.parametrize("piece", [b"a" * 1_000, b"X: a\r\n" * 200])
@pytest.mark.parametrize("before", [b"", GET])
def test_a_head_has_a_size_limit(loop: Loop, piece: bytes, before: bytes) -> None:
    connection = Connection(loop)
    if before:
        connection.receive(before).respond()
    connection.receive(b"GET / HTTP/1.1\r\nX: ")
    sent = 0
    while not connection.transport.is_closing():
        connection.receive(piece)
        sent += len(piece)
        assert sent < 2 * LIMITS.max_head_bytes
    assert connection.status == 431


def test_a_body_counts_for_no_head(loop: Loop) -> None:
    large = POST.replace(b"100", b"1000000")
    connection = Connection(loop).receive(large)
    for _ in range(100):
        connection.receive(b"a" * 10_000)
    connection.respond().receive(GET)
    assert not connection.transport.is_closing()


def test_connections_over_the_limit_are_refused_and_the_others_go_on(loop: Loop) -> None:
    state = ServerState()
    first, second, third = (Connection(loop, state) for _ in range(3))
    assert (third.status, third.transport.ended) == (503, "closed")
    first.receive(GET).respond().receive(GET)
    assert not first.transport.is_closing()
    third.protocol.connection_lost(None)
    second.protocol.connection_lost(None)
    assert Connection(loop, state).status is None


def test_a_response_that_nobody_reads_is_ended(loop: Loop) -> None:
    connection = Connection(loop).receive(GET)
    connection.transport.unread = 50_000_000
    loop.pass_s(LIMITS.max_unread_s)
    assert not connection.transport.is_closing()
    loop.pass_s(2)
    assert connection.transport.ended == "aborted"


def test_one_that_is_read_slowly_is_not(loop: Loop) -> None:
    connection = Connection(loop).receive(GET)
    connection.transport.unread = 20 * LIMITS.taken_bytes
    for _ in range(20):
        loop.pass_s(LIMITS.max_unread_s - 2)
        connection.transport.unread -= LIMITS.taken_bytes
    assert not connection.transport.is_closing()


def test_nor_is_one_that_is_sent_in_pieces(loop: Loop) -> None:
    connection = Connection(loop).receive(GET)
    connection.transport.unread = 80_000
    for _ in range(20):
        loop.pass_s(LIMITS.max_unread_s - 2)
        connection.protocol.pause_writing()
        connection.protocol.resume_writing()
    assert not connection.transport.is_closing()


def test_a_piece_more_does_not_prolong_it(loop: Loop) -> None:
    connection = Connection(loop).receive(GET)
    for _ in range(LIMITS.max_unread_s + 2):
        connection.transport.unread += 100
        loop.pass_s(1)
    assert connection.transport.ended == "aborted"


def test_nonsense_ends_a_response_without_a_second_one_inside_it(loop: Loop) -> None:
    connection = Connection(loop).receive(GET).receive(b"\x00\xff\r\n\r\n")
    assert (connection.status, connection.transport.ended) == (None, "closed")
    assert Connection(loop).receive(b"\x00\xff\r\n\r\n").status == 400


@pytest.mark.parametrize(
    ("target", "host", "count"),
    [
        (b"http://a/", b"a", 1),
        (b"http://A/", b"a ", 1),
        (b"http://evil/", b"a", 2),
        (b"http://a/", b"evil", 2),
        (b"http://a:1/", b"a:2", 2),
        (b"/http://evil/", b"a", 1),
        (b"//evil/", b"a", 1),
        (b"*", b"a", 1),
    ],
)
def test_the_host_of_a_whole_url_counts_as_one_that_was_named(
    loop: Loop, target: bytes, host: bytes, count: int
) -> None:
    method = b"OPTIONS" if target == b"*" else b"GET"
    connection = Connection(loop).receive(method + b" " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert sum(name == b"host" for name, _ in connection.protocol.scope["headers"]) == count


def test_who_hangs_up_ends_the_response_that_is_sent_and_begins_no_other(loop: Loop) -> None:
    connection = Connection(loop).receive(GET * 3)
    sent = connection.protocol._answered
    connection.protocol.connection_lost(ConnectionResetError())
    assert sent is not None
    assert sent.disconnected
    assert not connection.protocol.pipeline


def test_when_the_server_ends_a_response_has_one_more_second(loop: Loop) -> None:
    connection = Connection(loop).receive(GET)
    connection.protocol.shutdown()
    assert not connection.transport.is_closing()
    loop.pass_s(GOODBYE_S)
    assert connection.transport.ended == "aborted"


STREAM = """
import asyncio
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from loadgen.web.app import create_app, serve
def make(url):
    app = create_app(url)
    async def events():
        while True:
            yield "data: x\\n\\n"
            await asyncio.sleep(0.05)
    @app.get("/stream")
    def stream():
        return StreamingResponse(events(), media_type="text/event-stream")
    return app
serve({url!r}, "127.0.0.1", 0, lambda url: print(url, flush=True), make)
"""


@contextmanager
def serving(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    command = [sys.executable, "-c", STREAM.format(url=f"sqlite:///{tmp_path}/none.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline().rsplit(":", 1)[1].rstrip("/\n"))
        finally:
            process.kill()


def until_answered(port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as asking:
        asking.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert asking.recv(12) == b"HTTP/1.1 200"


@pytest.mark.loopback
def test_hanging_up_leaves_no_trace(tmp_path: Path) -> None:
    """At any point, with a reset or without; and so does the end of the server while a stream goes on."""
    page, stream = GET, GET.replace(b"/ ", b"/stream ")
    points = [b"", b"GE", GET[:-2], POST, POST + b"a" * 50, page, page * 20, stream, stream + page, stream + b"\x00"]
    with serving(tmp_path) as (process, port):
        until_answered(port)
        for sent in points:
            for wanted in (0, 100):
                for reset in (True, False):
                    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as client:
                        client.sendall(sent)
                        if wanted and sent in (page, page * 20, stream, stream + page):
                            client.recv(wanted)
                        if reset:
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as follower:
            follower.sendall(stream)
            assert follower.recv(12) == b"HTTP/1.1 200"
            until_answered(port)
            process.send_signal(2)
            _, errors = process.communicate(timeout=60)
    assert errors == ""
    assert process.returncode == 0
