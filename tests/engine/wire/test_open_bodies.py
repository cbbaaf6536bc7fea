"""Bodies that stay open after `[DONE]`: how long their end is waited for, and what the first one teaches of the others."""

import asyncio
from collections.abc import Callable

import pytest

from loadgen.engine.capture.reply import read_reply
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.records.record import Outcome
from loadgen.engine.wire.open_bodies import FIRST_WAIT_NS, OpenBodies, says_done
from tests.engine.fake_wire import CHUNKED_HEAD, EVENTS, chunk
from tests.engine.virtual_time import VirtualLoop, run_virtually

MS = 1_000_000


class Body:
    """A connection whose stream has said `[DONE]`, or one that has and nobody noticed."""

    def __init__(self, bodies: OpenBodies, loop: VirtualLoop, unnoticed: bool = False) -> None:
        self._bodies = bodies
        self._loop = loop
        self.unnoticed = unnoticed
        self.left_at_ns: int | None = None
        bodies.connected(self)

    def leave(self) -> None:
        self.left_at_ns = self._loop.monotonic_ns()
        self._bodies.gone(self)

    def look_again(self) -> None:
        if self.unnoticed:
            self._bodies.add(self)


async def pass_ns(duration_ns: int) -> None:
    await asyncio.sleep(duration_ns / 1e9)


def test_the_first_is_waited_for_and_the_others_are_not() -> None:
    loop = VirtualLoop()
    bodies = OpenBodies(loop.monotonic_ns)

    async def main() -> None:
        first, second, unnoticed = Body(bodies, loop), Body(bodies, loop), Body(bodies, loop, unnoticed=True)
        bodies.add(first)
        await pass_ns(FIRST_WAIT_NS // 2)
        bodies.add(second)
        await pass_ns(FIRST_WAIT_NS)
        assert first.left_at_ns == second.left_at_ns == unnoticed.left_at_ns == FIRST_WAIT_NS
        now_ns = loop.monotonic_ns()
        third = Body(bodies, loop)
        bodies.add(third)
        assert third.left_at_ns == now_ns
        assert bodies.left_open == 4

    run_virtually(main(), loop)


@pytest.mark.parametrize("end", [OpenBodies.ended, OpenBodies.gone])
@pytest.mark.parametrize("after_ns", [0, FIRST_WAIT_NS - MS])
def test_a_body_that_ends_in_time_or_is_gone_is_not_left(
    end: Callable[[OpenBodies, Body], None], after_ns: int
) -> None:
    loop = VirtualLoop()
    bodies = OpenBodies(loop.monotonic_ns)

    async def main() -> None:
        body = Body(bodies, loop)
        bodies.add(body)
        await pass_ns(after_ns)
        end(bodies, body)
        await pass_ns(3 * FIRST_WAIT_NS)
        assert (body.left_at_ns, bodies.left_open) == (None, 0)

    run_virtually(main(), loop)


@pytest.mark.parametrize(("took_ms", "wait_ms"), [(0, 10), (2, 10), (5, 20), (200, 800), (900, 1000)])
def test_where_some_end_the_others_are_waited_for_by_what_those_took(took_ms: int, wait_ms: int) -> None:
    loop = VirtualLoop()
    bodies = OpenBodies(loop.monotonic_ns)

    async def main() -> None:
        good, bad = Body(bodies, loop), Body(bodies, loop)
        bodies.add(good)
        await pass_ns(took_ms * MS)
        bodies.ended(good)
        bodies.add(bad)
        await pass_ns(2 * FIRST_WAIT_NS)
        assert bodies.left_open == 1
        assert bodies.wait_ns == pytest.approx(wait_ms * MS)

    run_virtually(main(), loop)


@pytest.mark.parametrize(
    ("tail", "is_done"),
    [
        (b"}\n\ndata: [DONE]\n\n", True),
        (b"\r\ndata:[DONE]\r\n\r\n", True),
        (b"e\r\ndata: [DONE]\n\n\r\n", True),
        (b"\ndata: [DONE]", True),
        (b"\ndata: [DONE] \n\n\r\n0\r\n", True),
        (b"\ndata: [DONE]\n\n\r\n8\r\n: ping\n\n\r\n", True),
        (b'"text":"data: [DONE]', False),
        (b'\ndata: {"text":"[DONE]"}\n\n', False),
        (b"\ndata: [DONE", False),
        (b"\ndata: [DONE]x", False),
        (b"[DONE]\n\n", False),
    ],
)
def test_the_word_that_ends_a_stream(tail: bytes, is_done: bool) -> None:
    assert says_done(tail) is is_done


@pytest.mark.parametrize("how", ["left", "timeout", "cancelled"])
@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        (EVENTS, Outcome.OK),
        (EVENTS[:-1], Outcome.TRUNCATED),
        ((*EVENTS[:2], EVENTS[-1]), Outcome.TRUNCATED),
        ((*EVENTS, EVENTS[0]), Outcome.TRUNCATED),
    ],
    ids=["done", "no done", "no finish_reason", "content after done"],
)
def test_a_reply_whose_body_stays_open(events: tuple[bytes, ...], outcome: Outcome, how: str) -> None:
    exchange = Exchange()
    exchange.reads = [CHUNKED_HEAD, *map(chunk, events)]
    if how == "left":
        exchange.left_open_ns = 1
    else:
        exchange.failure = Outcome.TIMEOUT if how == "timeout" else Outcome.CANCELLED
        outcome = outcome if outcome is Outcome.OK else exchange.failure
    reply = read_reply(exchange)
    if how == "left" and events == EVENTS[:-1]:  # the client leaves none without [DONE]; its end would be a good one
        outcome = Outcome.OK
    assert (reply.outcome, reply.left_open) == (outcome, outcome is Outcome.OK)
