"""Drives one run: sends what the schedule says when the load shape says, and hands on one exchange per planned request.

What both kinds of load share. The driver knows connections and the schedule; it reads no byte of any response but of a refusal,
which may ask for silence. No task is made for a request: a connection calls back when its response has ended, so that a thousand
that end together cost a thousand sends and little else.
"""

import asyncio
import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from loadgen.engine.drive.in_flight import RequestsInFlight, Transport
from loadgen.engine.drive.throttle import MAX_RETRY_AFTER_S, Throttle, ThrottleQueue, wait_asked_s
from loadgen.engine.eventloop.timer import SYSTEM_CLOCK, Clock
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.records.record import Outcome
from loadgen.engine.wire.target import Target, request_head
from loadgen.load.arrivals import NS_PER_S
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import LoadShape

_STOPPED = "the run was stopped before"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. Counts are requests; `done` includes `failed`; `planned` is 0 where the duration decides.

    `held` is how many wait for a limit to let them go; before t = 0, those that are to go out then. `thinking` is how many
    conversations are between two turns. `ttft_s` are the times to the first token that were seen since the last progress, of
    the few requests which are watched.
    """

    elapsed_s: float
    planned: int
    sent: int
    done: int
    failed: int
    in_flight: int
    held: int = 0
    thinking: int = 0
    ttft_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class DriverPlan:
    """What is to be sent: `schedule` to `target`, as `shape` says. Without `max_reply_bytes`, replies may be as long as asked."""

    target: Target
    schedule: Schedule
    shape: LoadShape
    duration_s: float | None = None
    request_timeout_s: float = 600.0
    max_reply_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a driver works with.

    `make_transport` makes one connection, which is opened before t = 0. `on_finished` is given every exchange as it ends, and
    at last those that were never sent; it is called between the reads of others, so it must take microseconds.
    `throttle` holds requests back; `on_pause` is told until when a server has asked for silence.
    """

    make_transport: Callable[[], Transport]
    on_finished: Callable[[Exchange], None]
    throttle: Throttle = field(default_factory=Throttle)
    on_pause: Callable[[int], None] = lambda until_ns: None
    clock: Clock = SYSTEM_CLOCK


class Driver(ABC):
    """One run. `open`, then `run` once; `drain` and `stop` may be called from the same loop at any time."""

    def __init__(self, plan: DriverPlan, wiring: Wiring) -> None:
        self._schedule = plan.schedule
        self._shape = plan.shape
        self._duration_s = plan.duration_s
        self._head = request_head(plan.target)
        self._on_finished = wiring.on_finished
        self._throttle = wiring.throttle
        self._on_pause = wiring.on_pause
        self._clock = wiring.clock
        self._now_ns = wiring.clock.now_ns
        self._in_flight = RequestsInFlight(
            make_transport=wiring.make_transport,
            wire_of=self._wire,
            output_tokens_of=lambda index: int(plan.schedule.output_tokens[index]),
            on_ended=self._ended,
            on_fault=self._break_off,
            timeout_s=plan.request_timeout_s,
            max_reply_bytes=plan.max_reply_bytes,
            clock=wiring.clock,
        )
        self._queue = ThrottleQueue(
            self._throttle, self._tokens_of, send=self._send, on_time_up=self._end_the_queue, clock=wiring.clock
        )
        self._before_start = 0  # requests that wait for t = 0, which the throttle puts off
        self._next = 0
        self._draining = False
        self._over = asyncio.Event()
        self._fault: Exception | None = None
        self.origin_ns = 0
        self.finished_ns = 0
        self.interrupted = False
        self.refusal: str | None = None  # why the server refused further requests: one sentence
        self.schedule_exhausted = False

    async def wait_for_room(self) -> None:
        """Return when the throttle allows all that is sent together at t = 0, or at once when nothing is to be sent."""
        together = min(self._sent_together, len(self._schedule))
        tokens = sum(map(self._tokens_of, self._first(together))) if self._throttle.engaged else 0
        while not self._draining and (wait_ns := self._throttle.free_at_ns(tokens, together) - self._now_ns()) > 0:
            self._before_start = together
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), wait_ns / NS_PER_S)
        self._before_start = 0

    async def open(self) -> None:
        """Connect, and encode the requests that are sent together at t = 0."""
        await self._in_flight.open(self.connections, self._first(self.connections))

    async def run(self, start_at_ns: int | None = None) -> None:
        """From t = 0, which may be a later time on the monotonic clock, to the last response.

        A fault of ours, which no outcome covers, ends the run; it is raised when every request has been handed on.
        """
        if start_at_ns is not None:
            await self._until(start_at_ns)
        self.origin_ns = self._now_ns() if start_at_ns is None else start_at_ns
        if self._duration_s is not None:
            self._queue.until_ns = self.origin_ns + round(self._duration_s * NS_PER_S)
        self._begin()
        await self._over.wait()
        self._end()
        self.finished_ns = self._now_ns()
        self._in_flight.forget_time_limit()
        if self._fault is not None:
            self.interrupted = True
            self._send_no_more()
            self._in_flight.abandon_all(f"given up after a fault in loadgen: {self._fault!r}", self._on_finished)
            self._empty_the_queue(_STOPPED)
        for index in self._unsent():  # a planned request that never went out is an outcome too
            self._drop(Exchange(index), _STOPPED)
        if self._fault is not None:
            raise self._fault

    def drain(self) -> None:
        """Send nothing more; `run` returns when what is in flight has ended."""
        self._draining = self.interrupted = True
        self._send_no_more()
        self._empty_the_queue(_STOPPED)
        self._perhaps_over()

    def pause(self, until_ns: int) -> None:
        """Send nothing before that time of the monotonic clock."""
        self._throttle.pause_until(until_ns)

    def stop(self) -> None:
        """Give up what is in flight; `run` returns at once."""
        self._draining = self.interrupted = True
        self._send_no_more()
        self._in_flight.cancel_all()
        self._empty_the_queue(_STOPPED)
        self._perhaps_over()

    def close(self) -> None:
        self._queue.close()
        self._in_flight.close()

    def progress(self) -> Progress:
        """How far the run is, since the start and since this was last asked."""
        return Progress(
            elapsed_s=(self._now_ns() - self.origin_ns) / NS_PER_S if self.origin_ns else 0.0,
            planned=0 if self._shape.is_unplanned(self._duration_s) else len(self._schedule),
            sent=self._in_flight.sent,
            done=self._in_flight.done,
            failed=self._in_flight.failed,
            in_flight=len(self._in_flight),
            held=len(self._queue) or self._before_start,
            thinking=self._thinking,
            ttft_s=self._in_flight.take_ttft_s(),
        )

    @property
    def connections(self) -> int:
        """How many connections are opened before t = 0."""
        return self._shape.connections(len(self._schedule) // self._schedule.turns)

    @property
    def peak_in_flight(self) -> int:
        """The most requests that were in flight at once."""
        return self._in_flight.peak

    @property
    @abstractmethod
    def _sent_together(self) -> int:
        """How many requests are sent together at t = 0."""

    @property
    def _thinking(self) -> int:
        """How many conversations are between two turns."""
        return 0

    @property
    @abstractmethod
    def _is_idle(self) -> bool:
        """Whether nothing is left to be sent, unless by what is in flight or in the throttle's queue."""

    @abstractmethod
    def _begin(self) -> None:
        """Send what is due at t = 0, and see that the rest is sent when it is due."""

    @abstractmethod
    def _end(self) -> None:
        """Release what `_begin` set up; the run is over."""

    @abstractmethod
    def _send(self, exchange: Exchange) -> None:
        """Send a request now."""

    @abstractmethod
    def _follow(self, exchange: Exchange, failed: bool) -> None:
        """Do what follows a request that has ended."""

    @abstractmethod
    def _not_sent(self, exchange: Exchange, why: str) -> None:
        """Account for a request out of the throttle's queue."""

    @abstractmethod
    def _send_no_more(self) -> None:
        """Cancel what would be sent later, other than by the throttle's queue."""

    def _unsent(self) -> Iterator[int]:
        yield from range(self._next, len(self._schedule))

    def _body(self, index: int) -> bytes:
        return self._schedule.bodies[index]

    def _first(self, connections: int) -> range:
        """The requests with which that many connections begin."""
        return range(0, connections * self._schedule.turns, self._schedule.turns)

    async def _until(self, time_ns: int) -> None:
        """Return just after that time of the monotonic clock."""
        reached = asyncio.Event()
        timer = self._clock.make_timer(reached.set)
        timer.set(time_ns)
        await reached.wait()
        timer.close()

    def _wire(self, index: int) -> bytes:
        body = self._body(index)
        return self._head % (index, len(body), body)

    def _tokens_of(self, index: int) -> int:
        """What a request counts for in a limit of tokens: its prompt, where its length is known, and the reply asked."""
        return max(0, int(self._schedule.prompt_tokens[index])) + int(self._schedule.output_tokens[index])

    def _ask(self, exchange: Exchange) -> None:
        """Send it as soon as the throttle allows."""
        if self._throttle.engaged:
            self._queue.ask(exchange)
        else:
            self._send(exchange)

    def _start(self, exchange: Exchange, *, read_at_once: bool = False) -> None:
        if self._throttle.engaged:
            self._throttle.note_sent(self._tokens_of(exchange.index), self._now_ns())
        self._in_flight.start(exchange, read_at_once=read_at_once)

    def _ended(self, exchange: Exchange, failed: bool) -> None:
        try:
            if failed:
                self._heed(exchange)
            self._on_finished(exchange)
            self._follow(exchange, failed)
        except Exception as error:
            self._break_off(error)
        if not self._in_flight:
            self._perhaps_over()

    def _heed(self, exchange: Exchange) -> None:
        """Obey a 429 that says for how long nothing more should come. The request itself is not sent again: it is an outcome."""
        wait_s = wait_asked_s(exchange)
        if wait_s is None:
            return
        if wait_s > MAX_RETRY_AFTER_S:
            self.refusal = (
                f"the server answered 429 and asks, by Retry-After, for no further request within {wait_s:,.0f} s; "
                f"{MAX_RETRY_AFTER_S:g} s is the longest that a run waits"
            )
            self.drain()
        else:
            until_ns = self._now_ns() + math.ceil(wait_s * NS_PER_S)
            self.pause(until_ns)
            self._on_pause(until_ns)

    def _end_the_queue(self) -> None:
        self._empty_the_queue("a limit held it back until the time was up")
        self._perhaps_over()

    def _empty_the_queue(self, why: str) -> None:
        for exchange in self._queue.take_all():
            self._not_sent(exchange, why)

    def _break_off(self, fault: Exception) -> None:
        """A fault of ours: nothing that follows could be trusted."""
        self._fault = self._fault or fault
        self._draining = True
        self._over.set()

    def _perhaps_over(self) -> None:
        if not self._in_flight and not self._queue and self._is_idle:
            self._over.set()

    def _drop(self, exchange: Exchange, why: str) -> None:
        exchange.failure, exchange.detail = Outcome.DROPPED, f"never sent: {why}"
        self._on_finished(exchange)
