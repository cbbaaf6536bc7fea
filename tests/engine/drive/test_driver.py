"""The driver without a socket: a scripted transport on virtual time. What is sent when, and what becomes of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from loadgen.engine.drive.driver import Driver, DriverPlan, Wiring
from loadgen.engine.drive.throttle import Throttle
from loadgen.engine.eventloop.timer import Clock, LoopTimer
from loadgen.engine.measurement import driver_class
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.records.record import Outcome
from loadgen.engine.wire.address import ConnectFailedError
from loadgen.engine.wire.target import Target
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave
from tests.engine.virtual_time import VirtualLoop, run_virtually

OK = b"HTTP/1.1 200 OK\r\n"
TARGET = Target("http", "server", 80, "/v1/completions", (("X-Team", "a"),))


class ScriptedTransport:
    """Answers after `service_s(index)` of virtual time; fails, or raises, with what the service returns instead."""

    def __init__(
        self,
        loop: VirtualLoop,
        service_s: Callable[[int], float | Exception],
        seen: list[bytes],
        answer: Callable[[int], bytes] = lambda index: OK,
    ) -> None:
        self._loop, self._service_s, self._seen, self._whole_answer = loop, service_s, seen, answer
        self._answer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        pass

    def start(self, wire: bytes, exchange: Exchange, on_end: Callable[[Exchange], None]) -> None:
        assert self._answer is None, "one stream carries one request at a time"
        exchange.sent_ns = self._loop.monotonic_ns()
        self._seen.append(wire)
        service = self._service_s(exchange.index)

        def end() -> None:
            self._answer = None
            if isinstance(service, Exception):
                exchange.failure, exchange.detail = Outcome.CONNECT_ERROR, str(service)
            else:
                exchange.complete = True
                exchange.reads.append(self._whole_answer(exchange.index))
            on_end(exchange)

        if isinstance(service, ConnectFailedError):
            self._answer = self._loop.call_later(0, end)
        elif isinstance(service, Exception):
            raise service
        else:
            self._answer = self._loop.call_later(service, end)

    def abandon(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None

    def close(self) -> None:
        self.abandon()


class Run:
    """One driven run and what was seen of it."""

    def __init__(
        self,
        shape: LoadShape,
        requests: int,
        service_s: Callable[[int], float | Exception] = lambda index: 1.0,
        offsets_s: list[float] | None = None,
        meanwhile: Callable[[Driver], None] | None = None,
        before: Callable[[Driver], None] | None = None,
        target: Target = TARGET,
        answer: Callable[[int], bytes] = lambda index: OK,
        schedule: Schedule | None = None,
        finished: list[Exchange] | None = None,
        throttle: Throttle | None = None,
        on_pause: Callable[[int], None] = lambda until_ns: None,
        **options: Any,
    ) -> None:
        loop = VirtualLoop()
        clock = Clock(lambda: loop.monotonic_ns() + 1_000, lambda on_timer: VirtualTimer(loop, on_timer))
        self.seen: list[bytes] = []
        schedule = schedule or Schedule(
            bodies=tuple(b'{"n":%d}' % index for index in range(requests)),
            prompt_tokens=np.full(requests, 1, np.int32),
            output_tokens=np.full(requests, 1, np.int32),
            offsets_ns=None if offsets_s is None else np.array([round(s * 1e9) for s in offsets_s], np.int64),
        )
        self.connections = 0

        def make_transport() -> ScriptedTransport:
            self.connections += 1
            return ScriptedTransport(loop, service_s, self.seen, answer)

        finished = [] if finished is None else finished
        plan = DriverPlan(target, schedule, shape, **options)
        wiring = Wiring(make_transport, finished.append, throttle or Throttle(), on_pause, clock)
        self.driver = driver_class(shape)(plan, wiring)

        async def main() -> None:
            if before is not None:
                before(self.driver)
            await self.driver.wait_for_room()
            await self.driver.open()
            if meanwhile is not None:
                meanwhile(self.driver)
            await self.driver.run()

        run_virtually(main(), loop)
        self.exchanges = sorted(finished, key=lambda exchange: exchange.index)

    @property
    def sent_s(self) -> list[float | None]:
        return [None if one.sent_ns is None else one.sent_ns / 1e9 for one in self.exchanges]

    @property
    def failures(self) -> list[Outcome | None]:
        return [one.failure for one in self.exchanges]


class VirtualTimer(LoopTimer):
    """The loop's own timer on virtual time."""

    def set(self, due_ns: int) -> None:
        self.cancel()
        assert isinstance(self._loop, VirtualLoop)
        delay_s = max(0.0, (due_ns - self._loop.monotonic_ns()) / 1e9)
        self._handle = self._loop.call_later(delay_s, self._on_timer)


def test_a_closed_loop_keeps_its_callers_busy_and_no_more() -> None:
    run = Run(ClosedLoop(2), 6, lambda index: 2.0 if index == 0 else 1.0)
    assert run.sent_s == pytest.approx([0, 0, 1, 2, 2, 3])
    assert run.driver.peak_in_flight == 2
    by_slot = [[one.index for one in run.exchanges if one.slot == slot] for slot in (0, 1)]
    assert sorted(map(len, by_slot)) == [3, 3]
    assert by_slot[0][0] == 0
    assert run.connections == 2
    assert run.driver.progress().done == 6


def test_a_wave_is_sent_at_once() -> None:
    run = Run(Wave(5), 5)
    assert run.sent_s == pytest.approx([0] * 5)
    assert run.driver.peak_in_flight == 5


def test_answers_that_end_together_are_followed_a_few_at_a_time() -> None:
    turns: list[int] = []
    seen_s: list[float] = []

    def service_s(index: int) -> float:
        loop = asyncio.get_running_loop()
        if index >= 40:
            if not turns:
                loop.call_soon(turns.append, 1)
            seen_s.append(len(turns))
        return 1.0

    run = Run(ClosedLoop(40), 80, service_s)
    assert run.sent_s == pytest.approx([0] * 40 + [1] * 40)
    assert run.failures == [None] * 80
    assert seen_s[0] == 0
    assert seen_s[-1] == 1, "the loop had a turn before the last of them was sent"


def test_an_open_loop_sends_when_it_is_due_whatever_is_in_flight() -> None:
    offsets_s = [0.0, 0.1, 0.2, 5.0]
    run = Run(OpenLoop(1.0, "constant"), 4, lambda index: 3.0, offsets_s)
    assert run.sent_s == pytest.approx(offsets_s, abs=1e-5)
    assert [(one.due_ns or 0) / 1e9 for one in run.exchanges] == pytest.approx(offsets_s, abs=1e-5)
    assert run.driver.peak_in_flight == 3


def test_an_open_loop_opens_another_stream_when_all_are_busy() -> None:
    run = Run(OpenLoop(1.0, "constant"), 40, lambda index: 100.0, [0.1 * index for index in range(40)])
    assert run.connections == 40
    assert run.driver.progress().done == 40


def test_a_request_due_while_as_many_are_in_flight_as_may_be_is_dropped() -> None:
    shape = OpenLoop(10.0, "constant", max_in_flight=2)
    run = Run(shape, 5, lambda index: 0.25, offsets_s=[0.0, 0.1, 0.2, 0.3, 0.5])
    assert run.failures == [None, None, Outcome.DROPPED, None, None]
    assert run.exchanges[2].detail == "never sent: as many were in flight as --max-in-flight allows"
    assert (run.exchanges[2].due_ns or 0) / 1e9 == pytest.approx(0.2, abs=1e-5)
    assert (run.driver.peak_in_flight, run.driver.progress().sent, run.connections) == (2, 4, 2)


def test_a_duration_ends_the_sending_not_the_requests() -> None:
    run = Run(ClosedLoop(1), 100, lambda index: 1.0, duration_s=3.5)
    assert run.sent_s == pytest.approx([0, 1, 2, 3])
    assert run.failures == [None] * 4
    assert not run.driver.schedule_exhausted
    assert Run(ClosedLoop(1), 2, duration_s=3.5).driver.schedule_exhausted


def test_a_timeout_is_an_outcome() -> None:
    run = Run(ClosedLoop(1), 3, lambda index: 60.0 if index == 1 else 1.0, request_timeout_s=5.0)
    assert run.failures == [None, Outcome.TIMEOUT, None]
    assert run.sent_s == pytest.approx([0, 1, 6])
    assert "within 5 s" in (run.exchanges[1].detail or "")


def test_a_refused_connection_is_an_outcome() -> None:
    run = Run(ClosedLoop(1), 2, lambda index: ConnectFailedError("cannot connect: refused"))
    assert run.failures == [Outcome.CONNECT_ERROR] * 2
    assert run.driver.progress().failed == 2


def test_drain_sends_nothing_more_and_waits() -> None:
    run = Run(
        ClosedLoop(2),
        10,
        meanwhile=lambda driver: void(asyncio.get_running_loop().call_later(1.5, driver.drain)),
    )
    assert run.failures == [None] * 4 + [Outcome.DROPPED] * 6
    assert run.sent_s[4:] == [None] * 6
    assert run.driver.interrupted


@pytest.mark.parametrize("shape", [ClosedLoop(2), OpenLoop(1.0, "constant")])
def test_stop_gives_up_what_is_in_flight(shape: LoadShape) -> None:
    run = Run(
        shape,
        6,
        lambda index: 1.0 if index < 2 else 100.0,
        offsets_s=[0, 0, 1, 1, 2, 2] if isinstance(shape, OpenLoop) else None,
        meanwhile=lambda driver: void(asyncio.get_running_loop().call_later(1.5, driver.stop)),
    )
    assert run.failures == [None, None, *[Outcome.CANCELLED] * 2, *[Outcome.DROPPED] * 2]
    assert [one is None for one in run.sent_s] == [False] * 4 + [True] * 2


def test_a_request_that_was_due_as_the_run_stopped_is_accounted_for() -> None:
    def stop_soon(driver: Driver) -> None:
        asyncio.get_running_loop().call_soon(driver.stop)

    run = Run(OpenLoop(1.0, "constant"), 5, offsets_s=[0.0] * 5, meanwhile=stop_soon)
    assert [one.index for one in run.exchanges] == list(range(5))


def test_every_planned_request_has_exactly_one_exchange() -> None:
    run = Run(
        OpenLoop(10.0, "constant"),
        30,
        lambda index: ConnectFailedError("lost") if index % 3 == 0 else 0.5,
        offsets_s=[0.1 * index for index in range(30)],
        meanwhile=lambda driver: void(asyncio.get_running_loop().call_later(2.05, driver.drain)),
    )
    assert [one.index for one in run.exchanges] == list(range(30))


def test_a_fault_of_ours_is_raised_and_not_blamed_on_anybody() -> None:
    with pytest.raises(ZeroDivisionError):
        Run(ClosedLoop(2), 6, lambda index: ZeroDivisionError("a bug") if index == 2 else 1.0)
    with pytest.raises(ZeroDivisionError):
        Run(OpenLoop(1.0, "constant"), 3, lambda index: ZeroDivisionError("a bug"), offsets_s=[0, 1, 2])
    sent: list[int] = []

    def third_breaks(index: int) -> float | Exception:
        sent.append(index)
        return ZeroDivisionError("a bug") if index == 2 else 0.1

    with pytest.raises(ZeroDivisionError):  # at once, and not when the last of the hundred would have been sent
        Run(
            OpenLoop(1.0, "constant"),
            100,
            third_breaks,
            offsets_s=[float(second) for second in range(100)],
        )
    assert sent == [0, 1, 2]


@pytest.mark.parametrize(("shape", "requests"), [(ClosedLoop(2), 6), (OpenLoop(1.0, "constant"), 6), (Wave(6), 6)])
def test_a_fault_of_ours_leaves_every_request_accounted_for(shape: LoadShape, requests: int) -> None:
    finished: list[Exchange] = []
    with pytest.raises(ZeroDivisionError):
        Run(
            shape,
            requests,
            lambda index: ZeroDivisionError("a bug") if index == 3 else 1.0 + index % 2,
            offsets_s=[0.9 * index for index in range(requests)] if isinstance(shape, OpenLoop) else None,
            finished=finished,
        )
    assert sorted(one.index for one in finished) == list(range(requests))
    outcomes = {one.index: one.failure for one in finished}
    assert outcomes[3] is Outcome.CANCELLED
    assert "ZeroDivisionError" in str(next(one.detail for one in finished if one.index == 3))
    if not isinstance(shape, Wave):
        assert (outcomes[0], outcomes[5]) == (None, Outcome.DROPPED)


def test_stop_ends_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(self: ScriptedTransport) -> None:
        await asyncio.sleep(1e6)

    monkeypatch.setattr(ScriptedTransport, "open", hang)
    run = Run(
        ClosedLoop(2),
        4,
        before=lambda driver: void(asyncio.get_running_loop().call_later(1.0, driver.stop)),
        request_timeout_s=1e9,
    )
    assert run.failures == [Outcome.DROPPED] * 4


def test_a_users_headers_take_the_place_of_ours() -> None:
    target = Target(
        "http", "server", 80, "/v1/completions", (("host", "virtual.example"), ("Authorization", "Bearer key-123"))
    )
    (wire,) = Run(ClosedLoop(1), 1, target=target).seen
    assert [line for line in wire.split(b"\r\n") if line.lower().startswith(b"host:")] == [b"host: virtual.example"]
    assert set(target.secrets) == {"virtual.example", "Bearer key-123", "key-123"}


def test_a_percent_sign_in_a_header_is_sent_as_it_is() -> None:
    target = Target("http", "server", 80, "/v1/completions", (("X-Share", "100%d"),))
    (wire,) = Run(ClosedLoop(1), 1, target=target).seen
    assert b"\r\nX-Share: 100%d\r\n" in wire


def test_requests_are_what_the_schedule_says() -> None:
    run = Run(ClosedLoop(1), 2)
    (head, body), (second, _) = (wire.split(b"\r\n\r\n") for wire in run.seen)
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/completions HTTP/1.1"
    headers = dict(line.split(b": ") for line in lines[1:])
    assert headers[b"X-Request-Id"].endswith(b"-0")
    assert headers[b"X-Request-Id"][:-1] + b"1\r\n" in second
    assert headers[b"Host"] == b"server"
    assert headers[b"X-Team"] == b"a"
    assert headers[b"Content-Length"] == b"7"
    assert headers[b"Content-Type"] == b"application/json"
    assert body == b'{"n":0}'


def void(_: object) -> None:
    """Throw a timer's handle away."""
