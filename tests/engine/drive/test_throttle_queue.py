"""Runs under a limit, on virtual time: when their requests go, for how long each was held back, and how they end."""

import asyncio
from collections.abc import Callable

import pytest

from loadgen.engine.drive.driver import Driver
from loadgen.engine.drive.throttle import Throttle, ThrottleQueue
from loadgen.engine.eventloop.timer import Clock
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.records.record import Outcome
from loadgen.load.rate_limits import RateLimits
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from tests.engine.drive.test_driver import OK, Run

TEN_S = 10.1  # the window of a minute of ten seconds, with its margin


def ten_seconds(requests: int | None = None, tokens: int | None = None) -> Throttle:
    return Throttle(RateLimits(requests, tokens, minute_s=10.0))


def refused(wait_s: str) -> bytes:
    return f"HTTP/1.1 429 Too Many Requests\r\nretry-after: {wait_s}\r\ncontent-length: 0\r\n\r\n".encode()


def waits_s(run: Run) -> list[float]:
    return [one.limit_wait_ns / 1e9 for one in run.exchanges]


def at_s(moment_s: float, act: Callable[[Driver], None]) -> Callable[[Driver], None]:
    """To be done in the midst of a run."""

    def plan(driver: Driver) -> None:
        asyncio.get_running_loop().call_later(moment_s, act, driver)

    return plan


def test_a_closed_loop_sends_no_more_than_the_minute_allows() -> None:
    run = Run(ClosedLoop(2), 7, throttle=ten_seconds(requests=3))
    assert run.sent_s == pytest.approx([0, 0, 1, TEN_S, TEN_S, TEN_S + 1, 2 * TEN_S], abs=1e-3)
    assert waits_s(run) == pytest.approx([0, 0, 0, TEN_S - 1, TEN_S - 2, 0, TEN_S - 1], abs=1e-3)
    assert run.failures == [None] * 7


def test_a_limit_of_tokens_counts_prompts_and_answers() -> None:
    run = Run(ClosedLoop(1), 4, throttle=ten_seconds(tokens=5))  # each has one and asks for one
    assert run.sent_s == pytest.approx([0, 1, TEN_S, TEN_S + 1], abs=1e-3)


def test_an_open_loop_keeps_its_order_and_its_intended_moments() -> None:
    offsets_s = [0.0, 0.5, 1.0, 1.5]
    run = Run(OpenLoop(2.0, "constant"), 4, offsets_s=offsets_s, throttle=ten_seconds(requests=2))
    assert run.sent_s == pytest.approx([0, 0.5, TEN_S, TEN_S + 0.5], abs=1e-3)
    assert [(one.due_ns or 0) / 1e9 for one in run.exchanges] == pytest.approx(offsets_s, abs=1e-5)
    assert waits_s(run) == pytest.approx([0, 0, TEN_S - 1, TEN_S - 1], abs=1e-3)


def test_many_that_are_let_go_together_all_go() -> None:
    run = Run(ClosedLoop(40), 80, throttle=ten_seconds(requests=40))
    assert run.sent_s == pytest.approx([0] * 40 + [TEN_S] * 40, abs=1e-3)
    assert run.driver.progress().in_flight == 0


def test_a_429_silences_everybody_until_it_says() -> None:
    answers = {1: refused("5")}
    run = Run(ClosedLoop(2), 6, lambda index: 1.0 + index / 10, answer=lambda index: answers.get(index, OK))
    # The first caller was answered before the other was refused at 1.1 s, and its request on the way is left alone.
    assert run.sent_s == pytest.approx([0, 0, 1, 6.1, 6.1, 7.4], abs=1e-3)
    assert waits_s(run) == pytest.approx([0, 0, 0, 5, 6.1 - 2.2, 0], abs=1e-3)
    assert len(run.seen) == 6, "what was refused is an outcome and is not sent again"
    assert run.driver.progress().failed == 1


def test_a_429_that_names_no_moment_makes_nobody_wait() -> None:
    run = Run(ClosedLoop(1), 3, answer=lambda index: b"HTTP/1.1 429 X\r\ncontent-length: 0\r\n\r\n")
    assert run.sent_s == pytest.approx([0, 1, 2])
    assert run.driver.progress().failed == 3


def test_others_are_told_of_the_pause() -> None:
    told: list[int] = []
    Run(ClosedLoop(1), 2, answer=lambda index: refused("3"), on_pause=told.append)
    assert told == pytest.approx([4 * 10**9, 8 * 10**9], abs=10**7)


def test_a_pause_that_is_told_from_outside_is_kept() -> None:
    run = Run(ClosedLoop(1), 3, meanwhile=at_s(0.5, lambda driver: driver.pause(8 * 10**9)))
    assert run.sent_s == pytest.approx([0, 8, 9], abs=1e-3)


def test_a_day_is_not_waited_for() -> None:
    run = Run(ClosedLoop(2), 9, answer=lambda index: refused("86400"))
    assert run.driver.interrupted
    assert "asks, by Retry-After, for no further request within 86,400 s" in (run.driver.refusal or "")
    assert run.sent_s[:2] == pytest.approx([0, 0])
    assert run.failures[2:] == [Outcome.DROPPED] * 7


def test_a_closed_loops_time_ends_what_waits() -> None:
    run = Run(ClosedLoop(2), 100, throttle=ten_seconds(requests=3), duration_s=15.0)
    assert run.sent_s == pytest.approx([0, 0, 1, TEN_S, TEN_S, TEN_S + 1], abs=1e-3)
    assert run.driver.finished_ns / 1e9 == pytest.approx(15.0, abs=1e-3)
    assert not run.driver.schedule_exhausted
    assert len(run.exchanges) == 6, "what was not sent was never planned"


def test_an_open_loops_time_drops_what_waits() -> None:
    run = Run(
        OpenLoop(1.0, "constant"),
        4,
        offsets_s=[0.0, 1.0, 2.0, 3.0],
        throttle=ten_seconds(requests=2),
        duration_s=4.0,
    )
    assert run.failures == [None, None, Outcome.DROPPED, Outcome.DROPPED]
    assert run.exchanges[2].detail == "never sent: a limit held it back until the time was up"
    assert waits_s(run) == pytest.approx([0, 0, 2, 1], abs=1e-3)
    assert run.driver.finished_ns / 1e9 == pytest.approx(4.0, abs=1e-3)


@pytest.mark.parametrize("order", [Driver.drain, Driver.stop])
@pytest.mark.parametrize("shape", [ClosedLoop(2), OpenLoop(10.0, "constant")])
def test_who_is_stopped_while_it_waits_ends_at_once(
    shape: ClosedLoop | OpenLoop, order: Callable[[Driver], None]
) -> None:
    offsets_s = [index / 10 for index in range(5)] if isinstance(shape, OpenLoop) else None
    run = Run(shape, 5, offsets_s=offsets_s, throttle=ten_seconds(requests=3), meanwhile=at_s(4.0, order))
    assert run.failures == [None, None, None, Outcome.DROPPED, Outcome.DROPPED]
    assert {one.detail for one in run.exchanges[3:]} == {"never sent: the run was stopped before"}
    assert run.driver.finished_ns / 1e9 == pytest.approx(4.0, abs=1e-3)


def test_the_next_run_knows_what_the_last_one_sent() -> None:
    throttle = ten_seconds(requests=4)
    throttle.note_sent(2, 0)
    run = Run(ClosedLoop(2), 4, throttle=throttle)
    assert run.sent_s == pytest.approx([0, 0, 1, TEN_S], abs=1e-3)


def test_a_wave_waits_for_room_for_all_of_it_before_it_begins() -> None:
    throttle = ten_seconds(requests=4)
    throttle.note_sent(2, 0)
    held: list[int] = []
    run = Run(
        Wave(4),
        4,
        throttle=throttle,
        before=at_s(3.0, lambda driver: held.append(driver.progress().held)),
    )
    assert run.sent_s == pytest.approx([TEN_S] * 4, abs=1e-3)
    assert run.driver.origin_ns / 1e9 == pytest.approx(TEN_S, abs=1e-3)
    assert waits_s(run) == [0] * 4, "the wait was over before t = 0"
    assert held == [4]


def test_who_is_stopped_before_the_beginning_sends_nothing() -> None:
    throttle = ten_seconds(requests=4)
    throttle.note_sent(2, 0)
    run = Run(Wave(4), 4, throttle=throttle, before=at_s(3.0, Driver.drain))
    assert run.seen == []
    assert run.failures == [Outcome.DROPPED] * 4


def test_what_finds_no_place_is_dropped_when_it_is_let_go_and_does_not_use_up_the_limit() -> None:
    run = Run(
        OpenLoop(1.0, "constant", max_in_flight=1),
        4,
        lambda index: 2.5,
        offsets_s=[0.0, 1.0, 2.0, 3.0],
        throttle=ten_seconds(requests=2),
    )
    assert run.failures == [None, Outcome.DROPPED, Outcome.DROPPED, None]
    assert run.sent_s[3] == pytest.approx(3.0, abs=1e-3)


class HandTimer:
    """Fires when the test says so."""

    def __init__(self, on_timer: Callable[[], None]) -> None:
        self.fire = on_timer
        self.due_ns = 0

    def set(self, due_ns: int) -> None:
        self.due_ns = due_ns

    def cancel(self) -> None:
        self.due_ns = 0

    def close(self) -> None:
        pass


class ByHand:
    """The queue alone, with a clock and a timer of the test's own. Request i has `tokens[i]`."""

    def __init__(self, throttle: Throttle, tokens: list[int]) -> None:
        self.now_s = 0.0
        self.sent: list[Exchange] = []
        self.timers: list[HandTimer] = []
        clock = Clock(lambda: round(self.now_s * 1e9), self._make_timer)
        self.held = ThrottleQueue(
            throttle, lambda index: tokens[index], send=self._send, on_time_up=lambda: None, clock=clock
        )
        self._throttle, self._tokens = throttle, tokens

    def at(self, now_s: float) -> "ByHand":
        self.now_s = now_s
        return self

    def _make_timer(self, on_timer: Callable[[], None]) -> HandTimer:
        self.timers.append(HandTimer(on_timer))
        return self.timers[-1]

    def _send(self, exchange: Exchange) -> None:
        self._throttle.note_sent(self._tokens[exchange.index], round(self.now_s * 1e9))
        self.sent.append(exchange)


def test_what_the_client_is_late_by_is_no_wait_for_the_limit() -> None:
    throttle = Throttle()
    throttle.pause_until(5 * 10**9)
    queue = ByHand(throttle, [2])
    queue.at(1.0).held.ask(Exchange(0))
    assert queue.timers[0].due_ns == 5 * 10**9
    queue.at(5.2).timers[0].fire()
    assert [one.limit_wait_ns for one in queue.sent] == [4 * 10**9]
    assert queue.timers[0].due_ns == 0, "it is silent when nobody waits"


def test_nobody_overtakes_and_who_stood_behind_waited_as_long() -> None:
    queue = ByHand(ten_seconds(tokens=10), [8, 9, 1])
    for index in range(3):  # the last one would fit at once
        queue.at(float(index)).held.ask(Exchange(index))
    assert [one.index for one in queue.sent] == [0]
    queue.at(TEN_S).timers[0].fire()
    assert [one.index for one in queue.sent] == [0, 1, 2]
    assert [one.limit_wait_ns / 1e9 for one in queue.sent] == pytest.approx([0, TEN_S - 1, TEN_S - 2])
