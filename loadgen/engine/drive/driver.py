"""Drives one run: sends what the schedule says when its shape says, and hands on one exchange per planned request.

Three shapes: a closed loop of callers, each with its own connection; one wave, which is a closed loop whose callers have one
request each; an open loop that sends at intended moments, whatever is still in flight, unless that is as much as may be. The driver knows streams and the
schedule; it reads no byte of any answer but of a refusal, which may ask for silence. No task is made for a request: a stream calls back when its answer has ended, so
that a thousand answers which end together cost a thousand sends and little else.
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from loadgen.engine.drive.conversations import Conversations
from loadgen.engine.drive.live_ttft import LiveTtft
from loadgen.engine.drive.throttle import MAX_RETRY_AFTER_S, Throttle, wait_asked_s
from loadgen.engine.drive.throttle_queue import ThrottleQueue
from loadgen.engine.eventloop.clock import monotonic_ns
from loadgen.engine.eventloop.timer import make_timer
from loadgen.engine.records.exchange import Exchange, max_reply_bytes
from loadgen.engine.records.record import Outcome
from loadgen.engine.wire.target import Target, request_head
from loadgen.engine.wire.transport import CONNECT_LIMIT_S, ConnectFailedError
from loadgen.load.arrivals import NS_PER_S
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave

_SENDS_AT_ONCE = 8  # about half a millisecond
_SENDS_APART_NS = 1_000_000
CONNECTS_AT_ONCE = 64  # more would overflow a server's backlog, and SYN retries cost a second


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


class Stream(Protocol):
    """What carries one request at a time: `StampingTransport`, or a script in tests."""

    async def open(self) -> None:
        """Connect. Raises ConnectFailedError."""

    def start(self, wire: bytes, exchange: Exchange, on_end: Callable[[Exchange], None]) -> None:
        """Send `wire`, gather the answer into `exchange`, then call `on_end`."""

    def abandon(self) -> None:
        """Give up what is in flight without calling `on_end`."""

    def close(self) -> None:
        """Close the connection."""


class Driver:
    """One run. `open`, then `run` once; `drain` and `stop` may be called from the same loop at any time.

    `make_stream` gives one stream; its `open` is called before t = 0. `on_finished` is given every exchange as it ends, and
    at last those that were never sent; it is called between the reads of others, so it must take microseconds.
    `throttle` holds requests back; `on_pause` is told until when a server has asked for silence.
    """

    def __init__(
        self,
        target: Target,
        schedule: Schedule,
        shape: LoadShape,
        *,
        make_stream: Callable[[], Stream],
        on_finished: Callable[[Exchange], None],
        duration_s: float | None = None,
        request_timeout_s: float = 600.0,
        max_reply_bytes: int | None = None,
        throttle: Throttle | None = None,
        on_pause: Callable[[int], None] = lambda until_ns: None,
    ) -> None:
        self._schedule = schedule
        self._shape = shape
        self._make_stream = make_stream
        self._on_finished = on_finished
        self._duration_s = duration_s
        self._request_timeout_ns = round(request_timeout_s * NS_PER_S)
        self._request_timeout_s = request_timeout_s
        self._max_reply_bytes = max_reply_bytes
        self._head = request_head(target)
        self._throttle = throttle or Throttle()
        self._queue = ThrottleQueue(self._throttle, self._tokens_of, self._send, self._time_is_up_for_the_held)
        self._on_pause = on_pause
        self._turns = schedule.turns
        self._conversations = Conversations(
            schedule, ask=self._ask, drop=self._drop, leave=self._conversation_over, on_fault=self._break_off
        )
        self._before_start = 0  # requests that wait for t = 0, which the throttle puts off
        self._streams: list[Stream] = []
        self._first_wires: dict[int, bytes] = {}  # by index
        self._free: deque[int] = deque()
        self._waiting: deque[int] = deque()  # slots of callers whose next request follows in a moment
        self._last_send_ns = 0
        self._in_flight: dict[int, tuple[Exchange, int]] = {}  # by index, in the order of starting: and when that was
        self._time_limit: asyncio.TimerHandle | None = None
        self._live_ttft = LiveTtft()
        self._connecting: asyncio.Future[list[None]] | None = None
        self._next = 0
        self._draining = False
        self._over = asyncio.Event()
        self._fault: Exception | None = None
        self.origin_ns = 0
        self.finished_ns = 0
        self.sent = self.done = self.failed = self.peak_in_flight = 0
        self.interrupted = False
        self.refusal: str | None = None  # why the server will have no more of this run: one sentence
        self.schedule_exhausted = False

    async def wait_for_room(self) -> None:
        """Return when the throttle lets all go that is to go out together at t = 0, or at once when nothing is to be sent.

        An open loop's requests come one by one, so that it waits for the first alone.
        """
        together = min(1 if isinstance(self._shape, OpenLoop) else self.streams, len(self._schedule))
        tokens = sum(map(self._tokens_of, self._first(together))) if self._throttle.engaged else 0
        while not self._draining and (wait_ns := self._throttle.free_at_ns(tokens, together) - monotonic_ns()) > 0:
            self._before_start = together
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), wait_ns / NS_PER_S)
        self._before_start = 0

    async def open(self) -> None:
        """Make the streams, connect them, and encode the requests that go out together at t = 0.

        A connection that fails is tried again by the request that needs it.
        """
        self._streams = [self._make_stream() for _ in range(self.streams)]
        self._first_wires = {index: self._wire(index) for index in self._first(self.streams)}
        gate = asyncio.Semaphore(CONNECTS_AT_ONCE)

        async def connect(stream: Stream) -> None:
            async with gate:
                with contextlib.suppress(ConnectFailedError, TimeoutError):
                    await asyncio.wait_for(stream.open(), min(CONNECT_LIMIT_S, self._request_timeout_s))

        self._connecting = asyncio.gather(*map(connect, self._streams))
        try:
            await self._connecting
        except asyncio.CancelledError:
            if not self._draining:
                raise

    async def run(self, start_at_ns: int | None = None) -> None:
        """From t = 0, which may be a moment to come on the monotonic clock, to the last answer.

        A fault of ours, which no outcome covers, ends the run; it is raised when every request has been handed on.
        """
        if start_at_ns is not None:
            await self._until(start_at_ns)
        self.origin_ns = monotonic_ns() if start_at_ns is None else start_at_ns
        if self._duration_s is not None:
            self._queue.until_ns = self.origin_ns + round(self._duration_s * NS_PER_S)
        match self._shape:
            case ClosedLoop() | Wave():
                for slot in range(len(self._streams)):
                    self._next_of_caller(slot)
                self._perhaps_over()
                await self._over.wait()
            case OpenLoop():
                self._free.extend(range(len(self._streams)))
                await self._send_on_time()
        self.finished_ns = monotonic_ns()
        self._forget_time_limit()
        if self._fault is not None:
            self._hand_on_after(self._fault)
        self._account_for_the_unsent()
        if self._fault is not None:
            raise self._fault

    def drain(self) -> None:
        """Send nothing more; `run` returns when what is in flight has ended."""
        self._draining = self.interrupted = True
        self._conversations.cancel_all()
        self._give_back_the_held("the run was stopped before")
        self._perhaps_over()

    def pause(self, until_ns: int) -> None:
        """Send nothing before that moment of the monotonic clock."""
        self._throttle.pause_until(until_ns)

    def stop(self) -> None:
        """Give up what is in flight; `run` returns at once."""
        self._draining = self.interrupted = True
        self._conversations.cancel_all()
        if self._connecting is not None:
            self._connecting.cancel()
        for exchange, _ in list(self._in_flight.values()):
            self._give_up(exchange, Outcome.CANCELLED, "stopped by the user")
        self._give_back_the_held("the run was stopped before")
        self._perhaps_over()

    def close(self) -> None:
        """Close every connection."""
        self._queue.close()
        self._conversations.close()
        for stream in self._streams:
            stream.close()

    def progress(self) -> Progress:
        """How far the run is, since the start and since this was last asked."""
        planned = 0 if self._unplanned else len(self._schedule)
        elapsed_s = (monotonic_ns() - self.origin_ns) / NS_PER_S if self.origin_ns else 0.0
        return Progress(
            elapsed_s,
            planned,
            self.sent,
            self.done,
            self.failed,
            self.in_flight,
            len(self._queue) or self._before_start,
            len(self._conversations),
            self._live_ttft.take(self._in_flight),
        )

    @property
    def in_flight(self) -> int:
        """How many requests are started and not ended."""
        return len(self._in_flight)

    @property
    def streams(self) -> int:
        """How many connections are opened before t = 0."""
        return self._shape.connections(len(self._schedule) // self._turns)

    @property
    def _time_is_up(self) -> bool:
        return self._duration_s is not None and monotonic_ns() - self.origin_ns >= self._duration_s * NS_PER_S

    @property
    def _unplanned(self) -> bool:
        """Whether the number of requests is found out by running: a closed loop bounded by its duration."""
        return self._duration_s is not None and isinstance(self._shape, ClosedLoop)

    def _next_of_caller(self, slot: int) -> None:
        """One caller of a closed loop: its next request, if it has one."""
        if self._draining:
            return
        if self._next == len(self._schedule):
            self.schedule_exhausted |= self._unplanned and not self._time_is_up
        elif not (self._unplanned and self._time_is_up):
            index, self._next = self._next, self._next + self._turns
            self._ask(Exchange(index, slot))

    def _first(self, callers: int) -> range:
        """The requests with which so many callers begin."""
        return range(0, callers * self._turns, self._turns)

    async def _send_on_time(self) -> None:
        """The open loop: every request at its intended moment, on a free stream or a new one."""
        offsets = self._schedule.offsets_ns
        assert offsets is not None
        loop = asyncio.get_running_loop()

        def send_what_is_due() -> None:
            now_ns = monotonic_ns() - self.origin_ns
            while self._next < len(self._schedule) and offsets[self._next] <= now_ns and not self._draining:
                index, self._next = self._next, self._next + 1
                self._ask(Exchange(index, due_ns=self.origin_ns + int(offsets[index])))
            if self._next < len(self._schedule) and not self._draining:
                timer.set(self.origin_ns + int(offsets[self._next]))
            else:
                timer.cancel()
                self._perhaps_over()

        timer = make_timer(loop, send_what_is_due)
        send_what_is_due()
        await self._over.wait()
        timer.close()

    async def _until(self, moment_ns: int) -> None:
        """Return just after that moment of the monotonic clock, or at once when told to send nothing."""
        reached = asyncio.Event()
        timer = make_timer(asyncio.get_running_loop(), reached.set)
        timer.set(moment_ns)
        await reached.wait()
        timer.close()

    def _wire(self, index: int) -> bytes:
        body = self._conversations.body(index)
        return self._head % (index, len(body), body)

    def _tokens_of(self, index: int) -> int:
        """What a request counts for in a limit of tokens: its prompt, where its length is known, and the answer asked."""
        return max(0, int(self._schedule.prompt_tokens[index])) + int(self._schedule.output_tokens[index])

    def _ask(self, exchange: Exchange) -> None:
        """Send it, as soon as the throttle lets it go."""
        if self._throttle.engaged:
            self._queue.ask(exchange)
        else:
            self._send(exchange)

    def _send(self, exchange: Exchange) -> None:
        """Send it now: a caller's over the caller's own stream, an open loop's over a free one or a new one, if it may have one."""
        if isinstance(self._shape, OpenLoop):
            if len(self._in_flight) == self._shape.max_in_flight:
                self._drop(exchange, "as many were in flight as --max-in-flight allows")
                return
            if not self._free:
                self._streams.append(self._make_stream())
                self._free.append(len(self._streams) - 1)
            exchange.slot = self._free.pop()
        if self._throttle.engaged:
            self._throttle.note_sent(self._tokens_of(exchange.index), monotonic_ns())
        self._start(exchange)

    def _start(self, exchange: Exchange) -> None:
        """Hand one request to its stream."""
        index = exchange.index
        wire = self._first_wires.pop(index, None) or self._wire(index)
        exchange.room_bytes = self._max_reply_bytes or max_reply_bytes(
            len(wire), int(self._schedule.output_tokens[index])
        )
        exchange.read_at_once = self._turns > 1  # the next turn repeats what this one is answered
        self._live_ttft.offer(exchange)
        self._in_flight[index] = exchange, monotonic_ns()
        self.sent += 1
        self.peak_in_flight = max(self.peak_in_flight, len(self._in_flight))
        if self._time_limit is None:
            self._watch_the_oldest()
        try:
            self._streams[exchange.slot].start(wire, exchange, self._ended)
        except Exception as error:
            self._break_off(error)

    def _ended(self, exchange: Exchange) -> None:
        """A stream says that a request has ended, one way or another: its slot is free."""
        del self._in_flight[exchange.index]
        self.done += 1
        try:
            failed = exchange.failure is not None or not exchange.answered_200
            if failed:
                self.failed += 1
                self._heed(exchange)
            self._on_finished(exchange)
            if isinstance(self._shape, OpenLoop):
                self._free.append(exchange.slot)
            elif self._turns == 1 or not self._conversations.goes_on(exchange, failed, self._queue.until_ns):
                self._next_when_others_were_read(exchange.slot)
        except Exception as error:
            self._break_off(error)
        if not self._in_flight and not self._waiting:
            self._perhaps_over()

    def _conversation_over(self, slot: int) -> None:
        """A conversation broke off: its caller begins another."""
        self._next_when_others_were_read(slot)
        if not self._in_flight and not self._waiting:
            self._perhaps_over()

    def _next_when_others_were_read(self, slot: int) -> None:
        """The caller's next request, at once where few end together; otherwise a few at a time, between the reads of others.

        A thousand answers that end together take a tenth of a second to be followed by as many requests. The first tokens
        of those that went out first come in the midst of it, and must be read before the second ones join them.
        """
        now_ns = monotonic_ns()
        if not self._waiting and now_ns - self._last_send_ns > _SENDS_APART_NS:
            self._last_send_ns = now_ns
            self._next_of_caller(slot)
            return
        self._waiting.append(slot)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._send_some)

    def _send_some(self) -> None:
        for _ in range(min(_SENDS_AT_ONCE, len(self._waiting))):
            self._next_of_caller(self._waiting.popleft())
        self._last_send_ns = monotonic_ns()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._send_some)
        elif not self._in_flight:
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
            until_ns = monotonic_ns() + math.ceil(wait_s * NS_PER_S)
            self.pause(until_ns)
            self._on_pause(until_ns)

    def _time_is_up_for_the_held(self) -> None:
        self._give_back_the_held("a limit held it back until the time was up")
        self._perhaps_over()

    def _give_back_the_held(self, why: str) -> None:
        """What waits is not sent: an open loop's was due and is dropped, a caller's has not been asked for yet."""
        for exchange in self._queue.take_all():
            if isinstance(self._shape, OpenLoop):
                self._drop(exchange, why)
            elif exchange.index % self._turns == 0:
                self._next -= self._turns

    def _give_up(self, exchange: Exchange, failure: Outcome, detail: str) -> None:
        self._streams[exchange.slot].abandon()
        exchange.failure, exchange.detail, exchange.gave_up_ns = failure, detail, monotonic_ns()
        self._ended(exchange)

    def _watch_the_oldest(self) -> None:
        """Give up what is past its time limit; look again when the oldest of the others will be."""
        self._time_limit = None
        now_ns = monotonic_ns()
        while self._in_flight:
            exchange, started_ns = next(iter(self._in_flight.values()))
            left_ns = started_ns + self._request_timeout_ns - now_ns
            if left_ns > 0:
                loop = asyncio.get_running_loop()
                self._time_limit = loop.call_later(left_ns / NS_PER_S, self._watch_the_oldest)
                return
            self._give_up(exchange, Outcome.TIMEOUT, f"no complete answer within {self._request_timeout_s:g} s")
            self._forget_time_limit()  # of the slot's next request, which this loop is about to see

    def _forget_time_limit(self) -> None:
        if self._time_limit is not None:
            self._time_limit.cancel()
            self._time_limit = None

    def _break_off(self, fault: Exception) -> None:
        """A fault of ours: nothing that follows could be trusted."""
        self._fault = self._fault or fault
        self._draining = True
        self._over.set()

    def _perhaps_over(self) -> None:
        nothing_to_send = self._draining or self._next == len(self._schedule)
        if (
            not self._in_flight
            and not self._waiting
            and not self._queue
            and not self._conversations
            and (nothing_to_send or not isinstance(self._shape, OpenLoop))
        ):
            self._over.set()

    def _hand_on_after(self, fault: Exception) -> None:
        """What is in flight when a fault of ours ends the run was sent, and its answer is not waited for."""
        self.interrupted = True
        self._conversations.cancel_all()
        for exchange, _ in list(self._in_flight.values()):
            exchange.failure, exchange.detail = Outcome.CANCELLED, f"given up after a fault in loadgen: {fault!r}"
            exchange.gave_up_ns = monotonic_ns()
            with contextlib.suppress(Exception):  # its stream, or who is told, may be what failed
                self._streams[exchange.slot].abandon()
                self._on_finished(exchange)
        self._in_flight.clear()
        self._give_back_the_held("the run was stopped before")

    def _account_for_the_unsent(self) -> None:
        """A planned request that never went out is an outcome too."""
        if self._unplanned:
            return
        for index in (*self._conversations.unsent(), *range(self._next, len(self._schedule))):
            self._drop(Exchange(index), "the run was stopped before")

    def _drop(self, exchange: Exchange, why: str) -> None:
        exchange.failure, exchange.detail = Outcome.DROPPED, f"never sent: {why}"
        self._on_finished(exchange)
