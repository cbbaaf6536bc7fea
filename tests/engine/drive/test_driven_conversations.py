"""Conversations through the driver, on virtual time with scripted streams: what is sent when, and with which history."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from loadgen.engine.drive.driver import Driver
from loadgen.engine.drive.throttle import Throttle
from loadgen.engine.records.record import Outcome
from loadgen.engine.wire.address import ConnectFailedError
from loadgen.load.rate_limits import RateLimits
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import ClosedLoop
from tests.engine.capture.test_reply_text import words
from tests.engine.drive.test_driver import Run, void

UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"


def conversations(sessions: int, turns: int, think_s: Callable[[int], float] = lambda index: 0.0) -> Schedule:
    """Request i asks `i?`, and is due `think_s(i)` after the one before it."""
    requests = sessions * turns
    thought = [0 if index % turns == 0 else round(think_s(index) * 1e9) for index in range(requests)]
    return Schedule(
        bodies=tuple(b'{"model":"m","messages":[{"role":"user","content":"%d?"}]}' % i for i in range(requests)),
        prompt_tokens=np.full(requests, -1, np.int32),
        output_tokens=np.ones(requests, np.int32),
        offsets_ns=None,
        turns=turns,
        think_ns=np.array(thought, np.int64) if any(thought) else None,
    )


class Talk(Run):
    """Conversations driven; request i is answered with `i!` after a second unless told otherwise."""

    def __init__(self, callers: int, schedule: Schedule, **options: Any) -> None:
        options.setdefault("answer", lambda index: words(f"{index}!"))
        super().__init__(ClosedLoop(callers), len(schedule), schedule=schedule, **options)

    @property
    def asked(self) -> list[list[str]]:
        """The contents of the messages of each request, in the order of sending."""
        bodies = [json.loads(wire.split(b"\r\n\r\n", 1)[1]) for wire in self.seen]
        return [[message["content"] for message in body["messages"]] for body in bodies]


def test_each_turn_sends_what_was_really_said_before() -> None:
    talk = Talk(1, conversations(2, 3))
    first = [["0?"], ["0?", "0!", "1?"], ["0?", "0!", "1?", "1!", "2?"]]
    assert talk.asked == [*first, ["3?"], ["3?", "3!", "4?"], ["3?", "3!", "4?", "4!", "5?"]]
    last = json.loads(talk.seen[2].split(b"\r\n\r\n", 1)[1])
    assert [message["role"] for message in last["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    lengths = [int(wire.split(b"Content-Length: ")[1].split(b"\r\n")[0]) for wire in talk.seen]
    assert lengths == [len(wire.split(b"\r\n\r\n", 1)[1]) for wire in talk.seen]


def test_a_turn_is_due_when_its_user_has_thought() -> None:
    talk = Talk(1, conversations(2, 3, lambda index: 0.5 * index))
    # Answers take a second; a new conversation begins when the one before has ended.
    assert talk.sent_s == pytest.approx([0, 1.5, 3.5, 4.5, 7.5, 11], abs=1e-5)
    assert talk.failures == [None] * 6


def test_a_caller_keeps_its_conversation_and_its_connection() -> None:
    talk = Talk(2, conversations(4, 2, lambda index: 1.0 if index < 2 else 0.1))
    slots = [one.slot for one in talk.exchanges]
    assert all(slots[2 * session] == slots[2 * session + 1] for session in range(4))
    assert talk.driver.peak_in_flight == 2
    assert talk.connections == 2


def test_a_failed_turn_takes_the_rest_of_its_conversation_along() -> None:
    def service_s(index: int) -> float | Exception:
        return ConnectFailedError("refused") if index == 5 else 1.0

    def answer(index: int) -> bytes:
        return UNAVAILABLE if index == 0 else words("cut", finish_reason=None) if index == 9 else words("ok")

    talk = Talk(1, conversations(4, 4, lambda index: 1.0), service_s=service_s, answer=answer)
    lost = Outcome.DROPPED
    assert talk.failures == [
        *(None, lost, lost, lost),  # an outcome of the answer, which the record finds in its bytes
        *(None, Outcome.CONNECT_ERROR, lost, lost),
        *(None, None, lost, lost),  # the second one is not whole
        *(None, None, None, None),
    ]
    assert talk.exchanges[1].detail == "never sent: an earlier turn of its conversation failed"
    assert [one.index for one in talk.exchanges] == list(range(16))


def test_a_turn_that_times_out_ends_its_conversation() -> None:
    talk = Talk(
        1,
        conversations(2, 2),
        service_s=lambda index: 60.0 if index == 0 else 1.0,
        request_timeout_s=5.0,
    )
    assert talk.failures == [Outcome.TIMEOUT, Outcome.DROPPED, None, None]
    assert talk.sent_s[2] == pytest.approx(5.0, abs=1e-5)


def test_the_end_of_the_time_ends_conversations_where_they_are() -> None:
    talk = Talk(1, conversations(20, 2, lambda index: 1.0), duration_s=4.5)
    assert talk.sent_s == pytest.approx([0, 2, 3], abs=1e-5)  # the next would be due at 5: it was never planned
    assert talk.failures == [None] * 3
    assert not talk.driver.schedule_exhausted


@pytest.mark.parametrize("stop", [Driver.drain, Driver.stop])
def test_a_stopped_run_accounts_for_every_turn(stop: Callable[[Driver], None]) -> None:
    # At 1.5 s the first caller thinks, the second waits for its answer, and two conversations have not begun.
    talk = Talk(
        2,
        conversations(4, 3, lambda index: 1.0),
        service_s=lambda index: 1.0 if index == 0 else 1.8,
        meanwhile=lambda driver: void(asyncio.get_running_loop().call_later(1.5, stop, driver)),
    )
    given_up = Outcome.CANCELLED if stop is Driver.stop else None
    dropped = Outcome.DROPPED
    assert talk.failures == [None, dropped, dropped, given_up, dropped, dropped, *[dropped] * 6]
    assert {one.detail for one in talk.exchanges if one.failure is dropped} == {
        "never sent: the run was stopped before"
    }


def test_a_limit_holds_turns_back_like_any_request() -> None:
    limits = RateLimits(requests_per_minute=2, minute_s=10.0)
    talk = Talk(1, conversations(2, 2, lambda index: 1.0), throttle=Throttle(limits))
    assert talk.sent_s == pytest.approx([0, 2, 10.1, 12.1], abs=1e-4)
    assert [one.limit_wait_ns / 1e9 for one in talk.exchanges] == pytest.approx([0, 0, 7.1, 0], abs=1e-4)
    assert len(talk.asked[3]) == 3


@pytest.mark.parametrize("thought_s", [0.0, 1.0])
def test_a_drained_run_forgets_what_waits_for_a_limit(thought_s: float) -> None:
    talk = Talk(
        2,
        conversations(3, 2, lambda index: thought_s),
        throttle=Throttle(RateLimits(requests_per_minute=2, minute_s=100.0)),
        meanwhile=lambda driver: void(asyncio.get_running_loop().call_later(5.0, driver.drain)),
    )
    assert talk.failures == [None, Outcome.DROPPED, None, *[Outcome.DROPPED] * 3]


def test_answers_that_end_together_are_read_in_turns() -> None:
    talk = Talk(
        50,
        conversations(50, 2),
        answer=lambda index: words(*["word "] * 200),
    )
    assert talk.failures == [None] * 100
    assert all(body[1] == "word " * 200 for body in talk.asked[50:])


def test_a_fault_of_ours_ends_the_run() -> None:
    with pytest.raises(ZeroDivisionError):
        Talk(
            1,
            conversations(1, 2, lambda index: 1.0),
            service_s=lambda index: ZeroDivisionError("a bug") if index == 1 else 1.0,
        )
