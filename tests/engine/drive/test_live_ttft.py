"""What is seen of the first tokens while a run goes on."""

import time

from loadgen.engine.drive.live_ttft import MAX_WATCHED, LiveTtft
from loadgen.engine.eventloop.clock import monotonic_ns
from loadgen.engine.records.exchange import Exchange, stamp_of

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b"10\r\ndata: {}\n\n\r\n"


def sent(index: int = 0, due_ago_s: float | None = None) -> Exchange:
    """Sent a second ago."""
    exchange = Exchange(index, due_ns=None if due_ago_s is None else monotonic_ns() - round(due_ago_s * 1e9))
    exchange.sent_ns = monotonic_ns() - 1_000_000_000
    return exchange


def receive(exchange: Exchange, read: bytes, ago_s: float) -> None:
    exchange.reads.append(read)
    exchange.stamps.append(stamp_of(time.time_ns() - round(ago_s * 1e9)))


def seen_of(exchange: Exchange) -> float | None:
    glance = LiveTtft()
    glance.offer(exchange)
    seen = glance.take({exchange.index})
    assert glance.take({exchange.index}) == ()  # each is told once
    return round(seen[0], 1) if seen else None


def test_the_head_alone_is_no_token() -> None:
    exchange = sent()
    receive(exchange, HEAD, 0.9)
    assert seen_of(exchange) is None
    receive(exchange, EVENT, 0.6)
    receive(exchange, EVENT, 0.1)
    assert seen_of(exchange) == 0.4


def test_a_token_in_the_read_of_the_head_counts() -> None:
    exchange = sent()
    receive(exchange, HEAD + EVENT, 0.7)
    assert seen_of(exchange) == 0.3


def test_of_an_open_loop_it_counts_from_the_moment_that_was_meant() -> None:
    exchange = sent(due_ago_s=3.0)
    receive(exchange, HEAD + EVENT, 0.5)
    assert seen_of(exchange) == 2.5


def test_a_refusal_has_no_first_token() -> None:
    exchange = sent()
    receive(exchange, b"HTTP/1.1 429 Too Many Requests\r\n\r\n{}", 0.5)
    assert seen_of(exchange) is None


def test_a_few_are_watched_and_the_next_one_when_one_of_them_has_ended() -> None:
    glance, exchanges = LiveTtft(), [sent(index) for index in range(MAX_WATCHED + 2)]
    for exchange in exchanges[:-1]:
        glance.offer(exchange)
    assert [each.read_at_once for each in exchanges] == [True] * MAX_WATCHED + [False, False]
    receive(exchanges[0], HEAD + EVENT, 0.5)
    in_flight = set(range(1, MAX_WATCHED + 1))
    assert len(glance.take(in_flight)) == 1  # also of the one that has ended meanwhile
    glance.offer(exchanges[-1])
    assert exchanges[-1].read_at_once
