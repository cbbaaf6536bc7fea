"""Streams recorded from real servers: keep-alives and the way in which bytes are cut into reads change nothing that is measured."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.engine.capture.reply import Reply, read_reply
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.records.record import Outcome
from loadgen.engine.wire.framing import ResponseParser
from tests.engine.fake_wire import CHUNKED_HEAD, LAST_CHUNK, chunk

FOLDER = Path(__file__).parent / "streams"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
KEEP_ALIVES = (
    b": keep-alive\n\n", b":\n\n", b"data:\n\n", b"data: : STILL WORKING\n\n", b"event: ping\ndata: ping\n\n", b"\r\n",
    b'event: ping\ndata: {"type": "ping"}\n\n', b"data: 1795999999\n\n", b'data: ""\n\n', b"data: null\n\n", b"id: 7\n\n",
    b"retry: 3000\n\n", b'data: {"type": "heartbeat"}\n\n', b"data: {}\n\n", b"event: heartbeat\ndata: [1]\n\n",
)  # fmt: skip

Timed = list[tuple[int, bytes]]  # (when it came, an event of the body)


def recorded(name: str) -> tuple[int, Timed]:
    """(choices asked, the events of the body with the time at which each was whole)."""
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    reads = document["reads"]
    parser = ResponseParser()
    for read in reads:
        parser.feed(read["bytes"].encode())
    events = [
        (reads[index]["at_us"], one + b"\n\n")
        for index, part in parser.parts
        for one in part.removesuffix(b"\n\n").split(b"\n\n")
    ]
    return document["request"].get("n", 1), events


def replied(choices: int, events: Timed, cuts: list[int] = []) -> tuple[Reply, list[int]]:  # noqa: B006 - never changed
    """The reply to those events, each read cut at `cuts`, and when each of its arrivals came."""
    exchange, times = Exchange(), []
    for at_us, event in [(0, CHUNKED_HEAD), *((at_us, chunk(event)) for at_us, event in events), (10**9, LAST_CHUNK)]:
        edges = sorted({0, len(event), *(cut % len(event) for cut in cuts)})
        for begin, end in itertools.pairwise(edges):
            exchange.reads.append(event[begin:end])
            times.append(at_us)
    exchange.complete = True
    reply = read_reply(exchange, choices, tokens_asked=1)
    return reply, [times[read] for read in reply.arrival_reads]


def said(reply: Reply) -> tuple[Any, ...]:
    return (
        reply.outcome, reply.detail, reply.finish_reason, reply.prompt_tokens, reply.output_tokens, reply.hidden_tokens,
        reply.counted_by, reply.arrival_tokens, reply.arrival_choices,
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_stream_is_ok(name: str) -> None:
    choices, events = recorded(name)
    reply, times = replied(choices, events)
    assert (reply.outcome, reply.hidden_tokens, reply.skipped) == (Outcome.OK, 0, {}), reply.detail
    assert len(times) >= 6


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_keep_alives_and_cuts_change_nothing(name: str, data: st.DataObject) -> None:
    choices, events = recorded(name)
    plain, times = replied(choices, events)
    place = st.tuples(st.integers(0, len(events)), st.sampled_from(KEEP_ALIVES))
    cuts = data.draw(st.lists(st.integers(0, 2000), max_size=6))
    more = list(events)
    for at, keep_alive in sorted(data.draw(st.lists(place, max_size=12)), key=lambda each: -each[0]):
        more.insert(at, (0 if at == 0 else events[at - 1][0], keep_alive))
    reply, later_times = replied(choices, more, cuts)
    assert said(reply) == said(plain)
    assert later_times == times


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ending", ["whole", "lost"])
def test_dropping_what_follows_the_finish_reason_decides_by_the_end_of_the_body(name: str, ending: str) -> None:
    choices, events = recorded(name)
    last = max(place for place, (_, event) in enumerate(events) if b'"finish_reason":"' in event)
    exchange = Exchange()
    exchange.reads = [CHUNKED_HEAD, *(chunk(event) for _, event in events[: last + 1])]
    if ending == "whole":
        exchange.reads.append(LAST_CHUNK)
    reply = read_reply(exchange, choices)
    assert reply.outcome is (Outcome.OK if ending == "whole" else Outcome.TRUNCATED)
