"""Exchanges into records: nothing that one server sends costs the run its other requests, and no secret is kept."""

from typing import Any

import numpy as np
import pytest

from loadgen.engine.capture import recorder as recorder_module
from loadgen.engine.capture.recorder import Recorder, stamp_source
from loadgen.engine.capture.reply import Reply, read_reply
from loadgen.engine.eventloop.clock import WallClock, monotonic_ns
from loadgen.engine.records.exchange import Exchange, stamp_now
from loadgen.engine.records.record import Outcome, Records
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import Wave
from tests.engine.fake_wire import CHUNKED_HEAD, LAST_CHUNK, chunk, event


def record(*bodies: bytes, secrets: tuple[str, ...] = ()) -> tuple[Records, Recorder]:
    """One request for each body, each body in one read of its own."""
    schedule = Schedule(
        tuple(b"{}" for _ in bodies), np.ones(len(bodies), np.int32), np.ones(len(bodies), np.int32), None
    )
    exchanges = []
    for index, body in enumerate(bodies):
        exchange = Exchange(index, slot=index)
        exchange.sent_ns = monotonic_ns()
        exchange.reads = [CHUNKED_HEAD, chunk(body), LAST_CHUNK]
        exchange.stamps = [stamp_now() for _ in exchange.reads]
        exchange.complete = True
        exchanges.append(exchange)
    recorder = Recorder(schedule, Wave(len(bodies)), origin_ns=0, wall_clock=WallClock(), secrets=secrets)
    (records,) = recorder.pieces(exchanges)
    return records, recorder


GOOD = event("a", "length")


@pytest.mark.parametrize(
    "odd",
    [
        b'data: {"choices":[],"usage":{"completion_tokens":100000000000}}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'data: {"choices":[{"index":0,"text":"\\ud800","finish_reason":"length"}]}\n\n',
    ],
)
def test_an_absurd_answer_harms_nobody_else(odd: bytes) -> None:
    records, _ = record(GOOD, odd, GOOD)
    assert records.outcome[[0, 2]].tolist() == [Outcome.OK, Outcome.OK]


def test_an_answer_that_breaks_the_reader_is_a_bad_response(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(exchange: Exchange, choices: int, keep_texts: bool, tokens_asked: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(recorder_module, "read_reply", break_down)
    records, _ = record(GOOD)
    assert records[0].outcome is Outcome.BAD_RESPONSE
    assert "ZeroDivisionError" in (records[0].detail or "")


def test_a_value_that_no_column_takes_costs_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:

    def too_many(exchange: Exchange, *arguments: Any, **named: Any) -> Reply:
        reply = read_reply(exchange, *arguments, **named)
        if exchange.index == 1:
            reply.prompt_tokens = 2**31
        return reply

    monkeypatch.setattr(recorder_module, "read_reply", too_many)
    records, _ = record(GOOD, GOOD, GOOD)
    assert records.outcome.tolist() == [Outcome.OK, Outcome.BAD_RESPONSE, Outcome.OK]
    assert (records[1].sent_ns is None, records[1].start_ns, records[1].end_ns) == (False, None, None)
    assert "cannot be recorded: OverflowError" in (records[1].detail or "")


def test_a_record_that_cannot_be_made_costs_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(stamps: list[bytes]) -> Any:
        raise RuntimeError("a bug with the key sk-123456")

    monkeypatch.setattr(recorder_module, "unpack_stamps", break_down)
    records, _ = record(GOOD, GOOD, secrets=("sk-123456",))
    assert records.outcome.tolist() == [Outcome.BAD_RESPONSE] * 2
    assert "RuntimeError('a bug with the key [redacted]')" in (records[1].detail or "")


def test_secrets_that_a_server_repeats_are_not_kept() -> None:
    leak = b'data: {"error":{"message":"bad key sk-12345678"},"metrics":{"key":"sk-12345678"}}\n\n'
    timing = b'data: {"choices":[],"metrics":{"who":"sk-12345678","ms":1.5}}\n\n'
    records, _ = record(leak, GOOD + timing, secrets=("sk-12345678", "abc"))
    assert records[0].detail == "bad key [redacted]"
    assert records[1].server_timing == {"who": "[redacted]", "ms": 1.5}


def test_a_long_text_is_cut_only_after_its_secrets_are_hidden() -> None:
    text = "x" * 290 + "sk-12345678" + "y" * 500
    records, _ = record(b'data: {"error":{"message":"%b"}}\n\n' % text.encode(), secrets=("sk-12345678",))
    detail = records[0].detail or ""
    assert len(detail) == 300
    assert "sk-1" not in detail


def test_arrivals_of_one_stamp_are_coalesced_however_they_were_read() -> None:
    exchange = Exchange(0, slot=0)
    exchange.sent_ns = monotonic_ns()
    first, joined, later = stamp_now(), stamp_now(), stamp_now()
    exchange.reads = [
        CHUNKED_HEAD,
        chunk(event("a")),
        chunk(event("b")),
        chunk(event("c")),
        chunk(event("d", "length")),
    ]
    exchange.stamps = [first, first, joined, joined, later]
    schedule = Schedule((b"{}",), np.ones(1, np.int32), np.ones(1, np.int32), None)
    (records,) = Recorder(schedule, Wave(1), origin_ns=0, wall_clock=WallClock()).pieces([exchange])
    assert records[0].arrival_coalesced.tolist() == [False, False, True, False]


def test_choices_that_share_a_stamp_are_not_coalesced_with_each_other() -> None:
    exchange = Exchange(0, slot=0)
    exchange.sent_ns = monotonic_ns()
    choices = [b'data: {"choices":[{"index":%d,"text":"x","finish_reason":"length"}]}\n\n' % k for k in (0, 1, 0)]
    exchange.reads = [CHUNKED_HEAD, *map(chunk, choices)]
    exchange.stamps = [stamp_now()] * len(exchange.reads)
    schedule = Schedule((b"{}",), np.ones(1, np.int32), np.ones(1, np.int32), None)
    (records,) = Recorder(schedule, Wave(1), origin_ns=0, wall_clock=WallClock()).pieces([exchange])
    assert records[0].arrival_choice.tolist() == [0, 1, 0]
    assert records[0].arrival_coalesced.tolist() == [False, False, True]


def test_the_source_of_stamps_is_the_runs_own_share() -> None:
    _, at_read = record(GOOD)
    assert (at_read.reads, at_read.stamp_source) == (3, "read")
    assert stamp_source(1000, 9) == "kernel"
    assert stamp_source(1000, 11) == "read"
    assert stamp_source(0, 0) == "read"
