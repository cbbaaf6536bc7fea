"""Answers of all kinds on many streams at once, in unlucky pieces: every byte is found again, in its own answer."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from loadgen.engine.capture.spool import Spool
from loadgen.engine.eventloop import read_log, uring
from loadgen.engine.eventloop.loop import StreamLoop
from loadgen.engine.eventloop.ring import RingSelector
from loadgen.engine.eventloop.spill_queue import SpillQueues
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.wire.address import resolve
from loadgen.engine.wire.open_bodies import OpenBodies
from loadgen.engine.wire.transport import StampingTransport
from tests.engine.fake_wire import CHUNKED_HEAD, HEAD, LAST_CHUNK, chunk, event

pytestmark = pytest.mark.loopback

STREAMS, REQUESTS = 60, 2400
KINDS = ("lf",) * 5 + ("crlf", "trailers", "length", "until close", "connection: close", "reset")
CLOSING = {"until close": HEAD + b"\r\n", "connection: close": CHUNKED_HEAD[:-2] + b"Connection: close\r\n\r\n"}


@dataclass
class Answer:
    """What the server sends, in pieces, each followed by a pause in seconds."""

    kind: str
    pieces: list[bytes]
    pauses_s: list[float]

    @property
    def whole(self) -> bytes:
        return b"".join(self.pieces)


def answer(index: int) -> Answer:
    """The answer to request `index`, always the same."""
    draw = random.Random(index)
    kind = draw.choice(KINDS)
    lengths = [draw.choice([0, 3, 50, draw.randrange(600, 1200), draw.randrange(900, 1000)]) for _ in range(draw.randrange(12))]  # fmt: skip
    events = [event(f"{index}." + "x" * length) for length in lengths]
    events += [event("e", "length"), b"data: [DONE]\n\n"]
    if kind == "crlf":
        events = [one.replace(b"\n", b"\r\n") for one in events]
    if kind == "length":
        parts = [HEAD + b"Content-Length: %d\r\n\r\n" % len(b"".join(events)), *events]
    elif kind == "until close":
        parts = [CLOSING[kind], *events]
    else:
        last = b"0\r\nX-Took: 1\r\n\r\n" if kind == "trailers" else LAST_CHUNK
        parts = [CLOSING.get(kind, CHUNKED_HEAD), *map(chunk, events), last]
    whole = b"".join(parts)
    if kind == "reset":
        whole = whole[: draw.randrange(len(parts[0]) + 1, len(whole) - 8)]
    pieces = [piece for piece in cut(draw, parts, whole) if piece]
    return Answer(kind, pieces, [draw.choice([0, 0, 0, 0.0003, 0.002]) for _ in pieces])


def cut(draw: random.Random, parts: list[bytes], whole: bytes) -> list[bytes]:
    head = len(parts[0])
    match draw.choice(["parts", "parts", "anywhere", "within the end", "not at all"]):
        case "parts" if whole == b"".join(parts):
            return parts
        case "not at all":
            return [whole]
        case "within the end":
            at = {len(whole) - back for back in draw.sample(range(1, 9), draw.randrange(1, 5))}
            places = sorted({head} | {place for place in at if place > head})
        case _:
            first = head - draw.choice([0, 0, 2, 30])
            places = sorted(draw.sample(range(first, len(whole)), min(8, len(whole) - first)))
    return [whole[begin:end] for begin, end in pairwise([0, *places, len(whole)])]


@contextlib.contextmanager
def server() -> Iterator[int]:
    """Serves in a thread of its own, so that it does not wait for the client; the block is told its port."""
    ready, port = threading.Event(), 0
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                said = answer(int(head.split(b"X-Index: ")[1]))
                for piece, pause_s in zip(said.pieces, said.pauses_s, strict=True):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause_s)
                if said.kind == "reset":
                    await asyncio.sleep(0.02)
                    writer.transport.abort()
                    return
                if said.kind in CLOSING:
                    break
        writer.close()

    async def serve() -> None:
        nonlocal port
        listening = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=500)
        port = listening.sockets[0].getsockname()[1]
        ready.set()
        await over.wait()
        listening.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    ready.wait(10)
    yield port
    loop.call_soon_threadsafe(over.set)
    thread.join(10)
    loop.close()


class Callers:
    """Send one request after the other, some from within the end of the one before; give up a few of them."""

    def __init__(self, loop: StreamLoop, port: int, queues: SpillQueues, seed: int) -> None:
        self.loop, self.queues, self.draw = loop, queues, random.Random(seed)
        self.spool = Spool(queues, loop.streams.log)
        self.left = iter(range(seed * 10**6, seed * 10**6 + REQUESTS))
        self.live: dict[int, Exchange] = {}
        address = resolve("http", "127.0.0.1", port)[0]
        waits = OpenBodies(first_wait_ns=10**12)  # the server ends every body, on a busy machine late
        self.streams = [StampingTransport(address, 10**12, waits) for _ in range(STREAMS)]
        self.ended = 0
        self.over = asyncio.Event()

    def begin(self, slot: int) -> None:
        index = next(self.left, None)
        if index is None:
            return
        exchange = self.live[slot] = Exchange(index, slot)
        exchange.read_at_once = index % 7 == 0
        self.streams[slot].start(b"POST / HTTP/1.1\r\nX-Index: %d\r\n\r\n" % index, exchange, self.finished)
        if self.draw.random() < 0.05:
            self.loop.call_later(self.draw.random() * 0.01, self.abandon, exchange)

    def abandon(self, exchange: Exchange) -> None:
        if self.live.get(exchange.slot) is exchange:
            self.streams[exchange.slot].abandon()
            exchange.detail = "abandoned"
            self.finished(exchange)

    def finished(self, exchange: Exchange) -> None:
        assert self.live.pop(exchange.slot) is exchange
        self.spool.add(exchange)
        self.ended += 1
        if self.ended == REQUESTS:
            self.over.set()
        elif exchange.index % 3:
            self.begin(exchange.slot)
        else:
            self.loop.call_soon(self.begin, exchange.slot)

    async def run(self) -> None:
        async def spill() -> None:
            while True:
                await asyncio.sleep(0.002)
                self.spool.pack()
                self.queues.spill()

        spilling = asyncio.ensure_future(spill())
        for slot in range(STREAMS):
            self.begin(slot)
        async with asyncio.timeout(60):
            await self.over.wait()
        spilling.cancel()
        for stream in self.streams:
            stream.close()


@pytest.mark.parametrize("buffers", [2048, 16], ids=["buffers to spare", "few buffers"])
@pytest.mark.parametrize("most_bytes", [0, 10**9], ids=["in files", "in memory"])
def test_every_byte_is_found_in_its_own_answer(monkeypatch: pytest.MonkeyPatch, buffers: int, most_bytes: int) -> None:
    monkeypatch.setattr(uring, "BUFFERS", buffers)
    monkeypatch.setattr(read_log, "_MAX_RESPONSES_READ", REQUESTS)
    try:
        loop = StreamLoop(RingSelector())
    except OSError as error:
        pytest.skip(f"no io_uring of Linux 6.12 or newer here: {error}")
    queues = SpillQueues(most_bytes)
    with server() as port, asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop()
        callers = Callers(loop, port, queues, seed=buffers)
        runner.run(callers.run())
        through_the_log = 0
        for exchange in callers.spool.drain():
            through_the_log += exchange.logged is not None
            said, received = answer(exchange.index), b"".join(exchange.reads)
            assert len(exchange.reads) == len(exchange.stamps)
            if exchange.detail == "abandoned":
                assert said.whole.startswith(received)
            elif said.kind == "reset":
                assert not exchange.complete
                assert said.whole.startswith(received)
            else:
                assert (exchange.complete, received) == (True, said.whole), (exchange.index, said.kind, exchange.detail)
    assert through_the_log > 100
