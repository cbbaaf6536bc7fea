"""The transport over real sockets: every framing of HTTP/1.1, in pieces, kept alive, closed, lost, and through TLS."""

import asyncio
import itertools
import socket
import ssl
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from loadgen.engine.capture.reply import Reply, read_reply
from loadgen.engine.eventloop.loop import StreamLoop, make_loop
from loadgen.engine.eventloop.read_log import ReadLog
from loadgen.engine.eventloop.ring import RingSelector
from loadgen.engine.eventloop.selector import StreamSelector
from loadgen.engine.eventloop.uring import BUFFER_BYTES, DATA_AT
from loadgen.engine.records.exchange import Exchange, Logged, unpack_stamps
from loadgen.engine.records.record import Outcome
from loadgen.engine.wire.address import ConnectFailedError, resolve
from loadgen.engine.wire.connection import STALE_LIMIT_NS
from loadgen.engine.wire.open_bodies import FIRST_WAIT_NS, OpenBodies
from loadgen.engine.wire.sockets import ask_for_kernel_stamps
from loadgen.engine.wire.transport import StampingTransport, first_reachable
from tests.engine.fake_wire import CHUNKED_HEAD, EVENTS, HEAD, LAST_CHUNK, Peer, Script, Wire, chunk, event, serving
from tests.servers.relays import Authority

Result = TypeVar("Result")
pytestmark = pytest.mark.loopback

AMPLE_NS = 60 * 10**9
"""A limit for stale connections that the busiest machine keeps: whether a loss counts as stale is then not a matter of time."""


def ring_loop() -> StreamLoop:
    """The loop that lets the kernel receive."""
    try:
        return StreamLoop(RingSelector())
    except OSError as error:
        pytest.skip(f"no io_uring of Linux 6.12 or newer here: {error}")


@pytest.fixture(params=["io_uring", "epoll"], autouse=True)
def loop_that_reads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here is about both."""
    loop = (lambda: StreamLoop(StreamSelector())) if request.param == "epoll" else ring_loop
    monkeypatch.setitem(globals(), "make_loop", loop)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """On the loop that measures."""
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(main)


async def ask(transport: StampingTransport, exchange: Exchange, body: bytes = b"{}") -> None:
    """Send one request and wait for its end; all that was read of the answer is then in `exchange`."""
    ended = asyncio.Event()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    transport.start(head + body, exchange, lambda _: ended.set())
    await ended.wait()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StreamLoop)
    if exchange.logged is not None and loop.streams.log is not None:
        exchange.reads[1:1], exchange.stamps[1:1] = loop.streams.log.reads_of(exchange.logged)
        exchange.logged = None


@asynccontextmanager
async def transport_to(
    script: Script, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[tuple[StampingTransport, Wire]]:
    """A transport with `options` to a server that follows `script`."""
    async with serving(script, tls) as wire:
        address = resolve("http" if tls is None else "https", "127.0.0.1", wire.port)[0]
        transport = StampingTransport(address, **options)
        yield transport, wire
        transport.close()


def carry(
    script: Script,
    requests: int = 1,
    *,
    pause_s: float = 0.0,
    body: bytes = b"{}",
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> tuple[list[Exchange], list[Reply], Wire]:
    """Send requests one after the other over one transport; the exchanges, what they said, and the server."""

    async def main() -> tuple[list[Exchange], Wire]:
        exchanges = [Exchange() for _ in range(requests)]
        async with transport_to(script, tls, **options) as (transport, wire):
            for exchange in exchanges:
                async with asyncio.timeout(20):
                    await ask(transport, exchange, body)
                await asyncio.sleep(pause_s)
        return exchanges, wire

    exchanges, wire = run(main())
    return exchanges, [read_reply(exchange) for exchange in exchanges], wire


def answering(*pieces: bytes, then_close: bool = False) -> Script:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*pieces)
            if then_close:
                return

    return script


BODY = b"".join(EVENTS)
CHUNKS = tuple(chunk(one) for one in EVENTS)
WELL_FRAMED = {
    "chunked, a read each": (CHUNKED_HEAD, *CHUNKS, LAST_CHUNK),
    "chunked, head with the first chunk": (CHUNKED_HEAD + CHUNKS[0], *CHUNKS[1:], LAST_CHUNK),
    "chunked, the end with the last event": (CHUNKED_HEAD, *CHUNKS[:3], CHUNKS[3] + LAST_CHUNK),
    "chunked, all in one read": (CHUNKED_HEAD + b"".join(CHUNKS) + LAST_CHUNK,),
    "chunked, the end in pieces": (CHUNKED_HEAD, *CHUNKS, b"0\r", b"\n\r", b"\n"),
    "chunked, the end cut after its zero": (CHUNKED_HEAD, *CHUNKS, b"0\r\n", b"\r\n"),
    "chunked, with trailers": (CHUNKED_HEAD, *CHUNKS, b"0\r\nX-Took: 1\r\n\r\n"),
    "chunked, an event across chunks": (CHUNKED_HEAD, chunk(BODY[:30]), chunk(BODY[30:]), LAST_CHUNK),
    "chunked, head in pieces": (CHUNKED_HEAD[:20], CHUNKED_HEAD[20:], *CHUNKS, LAST_CHUNK),
    "chunked, CRLF events": (CHUNKED_HEAD, *(chunk(one.replace(b"\n", b"\r\n")) for one in EVENTS), LAST_CHUNK),
    "chunked, a line of one zero in CRLF events": (
        CHUNKED_HEAD,
        chunk(b"data: {}\r\n0\r\n\r\n"),
        *(chunk(one.replace(b"\n", b"\r\n")) for one in EVENTS),
        LAST_CHUNK,
    ),
    "content-length": (HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY), *EVENTS),
    "after an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\n", CHUNKED_HEAD, *CHUNKS, LAST_CHUNK),
}


@pytest.mark.parametrize("pieces", WELL_FRAMED.values(), ids=WELL_FRAMED.keys())
def test_every_framing_is_read_whole_and_kept_alive(pieces: tuple[bytes, ...]) -> None:
    _, replies, wire = carry(answering(*pieces), requests=2)
    assert [reply.outcome for reply in replies] == [Outcome.OK, Outcome.OK], [reply.detail for reply in replies]
    assert [len(reply.arrival_reads) for reply in replies] == [3, 3]
    assert wire.connections == 1


@pytest.mark.parametrize("over", [1, 2, 3, 500])
def test_events_longer_than_a_buffer_of_the_ring_cost_no_look_through_the_log(
    over: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Logged] = []
    reads_of = ReadLog.reads_of
    text = next(text for text in range(2000) if len(chunk(event("x" * text))) == BUFFER_BYTES - DATA_AT + over)
    long = chunk(event("x" * text))

    def count(log: ReadLog, logged: Logged) -> tuple[list[bytes], list[bytes]]:
        looked.append(logged)
        return reads_of(log, logged)

    async def main() -> Exchange:
        script = answering(CHUNKED_HEAD, long, long, CHUNKS[2], CHUNKS[3], LAST_CHUNK)
        async with transport_to(script) as (transport, _):
            exchange, ended = Exchange(), asyncio.Event()
            with monkeypatch.context() as counting:
                counting.setattr(ReadLog, "reads_of", count)
                transport.start(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", exchange, lambda _: ended.set())
                async with asyncio.timeout(20):
                    await ended.wait()
            return exchange

    assert run(main()).complete
    assert looked == []


@pytest.mark.parametrize("head", [HEAD + b"\r\n", HEAD.replace(b"1.1", b"1.0") + b"\r\n"], ids=["HTTP/1.1", "HTTP/1.0"])
def test_a_body_until_close_is_whole_and_the_next_request_connects_anew(head: bytes) -> None:
    exchanges, replies, wire = carry(answering(head, *EVENTS, then_close=True), requests=2)
    assert [reply.outcome for reply in replies] == [Outcome.OK, Outcome.OK], [reply.detail for reply in replies]
    assert wire.connections == 2
    assert exchanges[1].connect_ns is not None


def test_connection_close_is_obeyed() -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    _, replies, wire = carry(answering(head, *CHUNKS, LAST_CHUNK, then_close=True), requests=3)
    assert [reply.outcome for reply in replies] == [Outcome.OK] * 3
    assert wire.connections == 3


def test_a_connection_closed_while_idle_is_opened_again() -> None:
    closing = answering(CHUNKED_HEAD, *CHUNKS, LAST_CHUNK, then_close=True)
    _, replies, wire = carry(closing, requests=2, pause_s=0.05, stale_limit_ns=AMPLE_NS)
    assert [reply.outcome for reply in replies] == [Outcome.OK] * 2
    assert wire.connections == 2


def test_a_connection_closed_as_the_request_arrives_is_tried_once_more() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.ordinal == 0:
            await peer.send(CHUNKED_HEAD, *CHUNKS, LAST_CHUNK)
            await peer.request()
            return  # it read the second request and closed without a byte
        await peer.send(CHUNKED_HEAD, *CHUNKS, LAST_CHUNK)

    _, replies, wire = carry(script, requests=2, stale_limit_ns=AMPLE_NS)
    assert [reply.outcome for reply in replies] == [Outcome.OK] * 2
    assert wire.connections == 2


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("stale_limit_ns", [0, STALE_LIMIT_NS])
def test_a_request_lost_late_is_a_failure_and_not_sent_again(stale_limit_ns: int, reset: bool) -> None:
    """A kept connection that breaks after the limit carried the request: its lost time must not vanish."""

    async def main() -> tuple[list[Exchange], Wire]:
        exchanges = [Exchange(), Exchange()]

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(CHUNKED_HEAD, *CHUNKS, LAST_CHUNK)
            await peer.request()
            connect_ns = (
                exchanges[0].connect_ns or 0
            )  # on a busy machine two round trips may last longer than the limit
            await asyncio.sleep((stale_limit_ns + 2 * connect_ns) / 1e9 + 0.005)
            if reset:
                peer.reset()

        async with transport_to(script, stale_limit_ns=stale_limit_ns) as (transport, wire):
            for exchange in exchanges:
                await ask(transport, exchange)
        return exchanges, wire

    exchanges, wire = run(main())
    assert exchanges[0].connect_ns is not None
    assert [read_reply(exchange).outcome for exchange in exchanges] == [Outcome.OK, Outcome.CONNECT_ERROR]
    assert "before the first byte" in (exchanges[1].detail or "")
    assert wire.connections == 1


def test_a_second_attempt_does_not_restart_the_clock() -> None:
    first_attempt_came_ns = 0

    async def script(peer: Peer) -> None:
        nonlocal first_attempt_came_ns
        await peer.request()
        if peer.ordinal == 0:
            await peer.send(CHUNKED_HEAD, *CHUNKS, LAST_CHUNK)
            await peer.request()
            first_attempt_came_ns = time.monotonic_ns()
            return
        await peer.send(CHUNKED_HEAD, *CHUNKS, LAST_CHUNK)

    exchanges, replies, wire = carry(script, requests=2, stale_limit_ns=AMPLE_NS)
    assert [reply.outcome for reply in replies] == [Outcome.OK] * 2
    assert wire.connections == 2
    assert exchanges[1].sent_ns is not None
    assert exchanges[1].sent_ns < first_attempt_came_ns


def test_a_name_of_several_addresses_is_served_by_the_one_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> str:
        async with serving(answering(CHUNKED_HEAD, *CHUNKS, LAST_CHUNK)) as wire:
            found = [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", wire.port, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", wire.port)),
            ]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            address = await first_reachable(resolve("http", "dual.example", wire.port))
            return str(address.sockaddr[0])

    assert run(main()) == "127.0.0.1"


async def _reset_midway(peer: Peer) -> None:
    await peer.request()
    await peer.send(CHUNKED_HEAD, CHUNKS[0])
    peer.reset()


async def _close_midway(peer: Peer) -> None:
    await peer.request()
    await peer.send(CHUNKED_HEAD, CHUNKS[0])


async def _close_at_once(peer: Peer) -> None:
    await peer.request()


BROKEN: dict[str, tuple[Script, Outcome, str]] = {
    "reset midway": (_reset_midway, Outcome.TRUNCATED, "lost within the answer"),
    "closed midway": (_close_midway, Outcome.TRUNCATED, "lost within the answer"),
    "closed before a byte": (_close_at_once, Outcome.CONNECT_ERROR, "before the first byte"),
    "no HTTP": (answering(b"SSH-2.0-OpenSSH_9\r\n"), Outcome.BAD_RESPONSE, "not HTTP"),
    "a second answer": (
        answering(CHUNKED_HEAD, *CHUNKS, LAST_CHUNK + CHUNKED_HEAD + CHUNKS[0] + LAST_CHUNK),
        Outcome.BAD_RESPONSE,
        "not HTTP",
    ),
    "a wrong chunk size": (answering(CHUNKED_HEAD, b"zz\r\nxx\r\n" + LAST_CHUNK), Outcome.BAD_RESPONSE, "not HTTP"),
    "no finish_reason": (answering(CHUNKED_HEAD, CHUNKS[0], LAST_CHUNK), Outcome.TRUNCATED, "without a finish_reason"),
    "an error inside the stream": (
        answering(
            CHUNKED_HEAD, CHUNKS[0], chunk(b'data: {"error":{"message":"out of memory"}}\n\n'), CHUNKS[3], LAST_CHUNK
        ),
        Outcome.STREAM_ERROR,
        "out of memory",
    ),
    "given up by the server": (
        answering(CHUNKED_HEAD, CHUNKS[0], chunk(event("b", "abort")), LAST_CHUNK),
        Outcome.STREAM_ERROR,
        "finish_reason abort",
    ),
    "not found": (
        answering(b'HTTP/1.1 404 Not Found\r\nContent-Length: 39\r\n\r\n{"error":{"message":"no such model m"}}'),
        Outcome.HTTP_ERROR,
        "HTTP 404: no such model m",
    ),
    "not a stream": (
        answering(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"),
        Outcome.BAD_RESPONSE,
        "got application/json",
    ),
}


@pytest.mark.parametrize(("script", "outcome", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_every_fault_has_its_outcome(script: Script, outcome: Outcome, words: str) -> None:
    _, (reply,), _ = carry(script)
    assert reply.outcome is outcome, reply.detail
    assert words in (reply.detail or "")


def test_reads_carry_kernel_stamps_in_order_and_after_the_send() -> None:
    (exchange,), _, _ = carry(answering(CHUNKED_HEAD, *CHUNKS, LAST_CHUNK))
    wall_ns, at_read = unpack_stamps(exchange.stamps)
    assert at_read == 0
    assert len(wall_ns) == len(exchange.reads) == 6
    assert all(later - earlier > 2_000_000 for earlier, later in itertools.pairwise(wall_ns))


def test_a_stamp_tells_when_bytes_came_not_when_the_loop_looked() -> None:
    """The loop is blocked for 100 ms while five events arrive; the stamp of the first read must not show it."""

    async def main() -> tuple[float, float]:
        gate = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            gate.set()
            await peer.send(CHUNKED_HEAD + CHUNKS[0], pause_s=0)
            time.sleep(0.1)  # noqa: ASYNC251 - server and client share this loop: nobody reads now
            await peer.send(*CHUNKS[1:], LAST_CHUNK, pause_s=0)

        async with transport_to(script) as (transport, _):
            exchange = Exchange()
            begun = time.time_ns()
            await ask(transport, exchange)
            ended = time.time_ns()
        wall_ns, _ = unpack_stamps(exchange.stamps)
        return (int(wall_ns[0]) - begun) / 1e9, (ended - begun) / 1e9

    first_s, whole_s = run(main())
    assert whole_s >= 0.1
    assert first_s < 0.05


def test_a_large_body_goes_out_while_the_server_reads_slowly() -> None:
    body = b'{"prompt":"' + b"x" * 8_000_000 + b'"}'
    received = 0

    async def script(peer: Peer) -> None:
        nonlocal received
        received = len(await peer.request())
        await peer.send(CHUNKED_HEAD, *CHUNKS, LAST_CHUNK)

    _, (reply,), _ = carry(script, body=body)
    assert reply.outcome is Outcome.OK
    assert received > len(body)


def test_an_early_refusal_of_a_large_body_is_an_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", pause_s=0.1)

    _, (reply,), _ = carry(script, body=b"x" * 8_000_000)
    assert (reply.outcome, reply.http_status) == (Outcome.HTTP_ERROR, 413)


def test_nobody_listens() -> None:
    async def main() -> None:
        async with serving(answering()) as wire:
            port = wire.port
        await StampingTransport(resolve("http", "127.0.0.1", port)[0]).open()

    with pytest.raises(ConnectFailedError, match="refused"):
        run(main())


@pytest.fixture(scope="module", autouse=True)
def stamping_is_on() -> Iterator[None]:
    """The kernel begins to stamp a little after the first socket asked for it."""
    with socket.socket() as keeper:
        ask_for_kernel_stamps(keeper)
        time.sleep(0.05)
        yield


class TestTls:
    """The same over TLS, with a certificate authority made for the test."""

    def test_stamps_survive_encryption(self, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        answer = answering(CHUNKED_HEAD, *CHUNKS, LAST_CHUNK)
        exchanges, replies, wire = carry(answer, requests=2, tls=authority.context)
        assert wire.connections == 1
        for exchange, reply in zip(exchanges, replies, strict=True):
            assert (reply.outcome, len(reply.arrival_reads)) == (Outcome.OK, 3), reply.detail
            assert unpack_stamps(exchange.stamps)[1] == 0

    def test_a_goodbye_ends_a_body_of_no_stated_length(
        self, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        answer = answering(HEAD + b"\r\n", *EVENTS, then_close=True)
        _, replies, wire = carry(answer, requests=2, tls=authority.context)
        assert wire.connections == 2
        assert [reply.outcome for reply in replies] == [Outcome.OK] * 2

    def test_an_unknown_authority_is_refused(self, authority: Authority) -> None:
        (exchange,), _, _ = carry(answering(CHUNKED_HEAD), tls=authority.context)
        assert exchange.failure is Outcome.CONNECT_ERROR
        assert "certificate verify failed" in (exchange.detail or "")


def soon_left() -> OpenBodies:
    """Waits for the end of a body for a tenth of the usual time."""
    return OpenBodies(first_wait_ns=FIRST_WAIT_NS // 10)


@pytest.mark.parametrize(
    ("end", "head"),
    [
        ((chunk(EVENTS[-1]),), CHUNKED_HEAD),
        ((chunk(EVENTS[-2]) + chunk(EVENTS[-1]),), CHUNKED_HEAD),
        ((chunk(EVENTS[-2] + EVENTS[-1]),), CHUNKED_HEAD),
        ((chunk(b"data: [DONE]"),), CHUNKED_HEAD),
        ((chunk(b"data: [DONE]\r\n\r\n"),), CHUNKED_HEAD),
        ((chunk(EVENTS[-1])[:12], chunk(EVENTS[-1])[12:]), CHUNKED_HEAD),
        ((chunk(EVENTS[-1]), b"0\r\n"), CHUNKED_HEAD),
        ((chunk(EVENTS[-1]) + chunk(b": ping\n\n"),), CHUNKED_HEAD),
        ((EVENTS[-1],), HEAD + b"\r\n"),
        ((b"data: [DONE]",), HEAD + b"Content-Length: 9999\r\n\r\n"),
    ],
)
def test_a_body_left_open_after_done_costs_the_connection_only(end: tuple[bytes, ...], head: bytes) -> None:
    framed = chunk if head is CHUNKED_HEAD else bytes

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head, *map(framed, EVENTS[:-1]), *end)
        await peer.reader.read()  # until the client leaves

    async def main() -> None:
        async with transport_to(script, open_bodies=soon_left()) as (transport, wire):
            for _ in range(2):
                exchange = Exchange()
                exchange.read_at_once = True  # as the first few of a run are
                await transport.open()
                await asyncio.wait_for(ask(transport, exchange), 5)
                reply = read_reply(exchange)
                assert (reply.outcome, reply.left_open) == (Outcome.OK, True), reply.detail
            assert wire.connections == transport.opened == 2

    run(main())


def test_the_event_done_by_itself_is_seen_where_reads_go_by_in_the_log() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD, *map(chunk, EVENTS))
        await peer.reader.read()

    async def main() -> None:
        async with transport_to(script, open_bodies=soon_left()) as (transport, _):
            exchange = Exchange()
            await transport.open()
            await asyncio.wait_for(ask(transport, exchange), 5)
            assert read_reply(exchange).left_open

    run(main())


def test_what_one_open_body_teaches_holds_for_those_that_went_by_in_the_log() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD, *map(chunk, EVENTS[:-1]), chunk(EVENTS[-1]) + chunk(b": some words\n\n"))
        await peer.reader.read()

    async def main() -> None:
        async with serving(script) as wire:
            bodies, exchanges = soon_left(), [Exchange(), Exchange()]
            exchanges[0].read_at_once = True
            address = resolve("http", "127.0.0.1", wire.port)[0]
            transports = [StampingTransport(address, open_bodies=bodies) for _ in exchanges]
            for transport in transports:
                await transport.open()
            asked = map(ask, transports, exchanges)
            await asyncio.wait_for(asyncio.gather(*asked), 5)
            assert [read_reply(exchange).left_open for exchange in exchanges] == [True, True]
            assert bodies.left_open == 2
            for transport in transports:
                transport.close()

    run(main())


def test_a_body_that_ends_late_keeps_its_connection() -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(CHUNKED_HEAD, *map(chunk, EVENTS), pause_s=0.005)
            await peer.send(LAST_CHUNK)

    async def main() -> None:
        async with transport_to(script) as (transport, wire):
            for _ in range(2):
                exchange = Exchange()
                await transport.open()
                await asyncio.wait_for(ask(transport, exchange), 5)
                assert (exchange.complete, exchange.left_open_ns) == (True, None)
            assert wire.connections == 1

    run(main())
