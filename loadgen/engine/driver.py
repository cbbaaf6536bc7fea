"""Drives one run: sends what the schedule says when its shape says, and gathers one exchange per planned request.

Three shapes: a closed loop of callers, each with its own connection; one wave, which is a closed loop whose callers have one
request each; an open loop that sends at intended moments, whatever is still in flight. The driver knows httpx2's transport
interface and the schedule; it reads no byte of any answer.
"""

import asyncio
import contextlib
import json
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from loadgen.engine.alarm import make_alarm
from loadgen.engine.clock import monotonic_ns
from loadgen.engine.exchange import Exchange
from loadgen.engine.record import Outcome
from loadgen.engine.transport import CONNECT_LIMIT_S
from loadgen.load.schedule import Schedule
from loadgen.load.spec import ClosedLoop, LoadShape, OpenLoop, Wave

NS_PER_S = 1_000_000_000
CONNECTS_AT_ONCE = 64  # more would overflow a server's backlog, and SYN retries cost a second


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. `headers` may hold secrets: they live in memory only, and never in a record."""

    scheme: str
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts of the headers that must never be kept: their values, a bearer's token alone, and how JSON spells both."""
        values = [value for _, value in self.headers]
        plain = values + [value.split(" ", 1)[1] for value in values if " " in value]
        return tuple(dict.fromkeys(plain + [json.dumps(value)[1:-1] for value in plain]))

    @property
    def url(self) -> httpx2.URL:
        """The full URL."""
        return httpx2.URL(scheme=self.scheme, host=self.host, port=self.port, path=self.path)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. Counts are requests; `done` includes `failed`; `planned` is 0 where the duration decides."""

    elapsed_s: float
    planned: int
    sent: int
    done: int
    failed: int
    in_flight: int


class Driver:
    """One run. `open`, then `run` once; `drain` and `stop` may be called from the same loop at any time.

    `make_transport` gives one stream's transport; its `open`, where it has one, is called before t = 0.
    """

    def __init__(
        self,
        target: Target,
        schedule: Schedule,
        shape: LoadShape,
        *,
        make_transport: Callable[[], httpx2.AsyncBaseTransport],
        on_finished: Callable[[Exchange], None],
        duration_s: float | None = None,
        request_timeout_s: float = 600.0,
    ) -> None:
        self._schedule = schedule
        self._shape = shape
        self._make_transport = make_transport
        self._on_finished = on_finished
        self._duration_s = duration_s
        self._request_timeout_s = request_timeout_s
        self._url = target.url
        self._headers = _header_list(target, self._url)
        self._id_prefix = b"loadgen-%b-" % secrets.token_hex(6).encode()
        self._transports: list[httpx2.AsyncBaseTransport] = []
        self._first_requests: list[httpx2.Request] = []
        self._free: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._next = 0
        self._draining = False
        self._no_more: asyncio.Event = asyncio.Event()
        self._sent: set[int] = set()
        self.origin_ns = 0
        self.finished_ns = 0
        self.done = self.failed = self.in_flight = self.peak_in_flight = 0
        self.interrupted = False
        self.schedule_exhausted = False

    async def open(self) -> None:
        """Make the streams, connect them, and build the requests that go out together at t = 0.

        A connection that fails is tried again by the request that needs it.
        """
        self._transports = [self._make_transport() for _ in range(self.streams)]
        self._first_requests = [self._request(index) for index in range(self.streams)]
        gate = asyncio.Semaphore(CONNECTS_AT_ONCE)

        async def connect(transport: httpx2.AsyncBaseTransport) -> None:
            opening = getattr(transport, "open", None)
            if opening is not None:
                async with gate:
                    with contextlib.suppress(httpx2.TransportError, TimeoutError):
                        await asyncio.wait_for(opening(), min(CONNECT_LIMIT_S, self._request_timeout_s))

        self._tasks = {asyncio.ensure_future(connect(transport)) for transport in self._transports}
        await self._all_tasks()

    async def run(self, start_at_ns: int | None = None) -> None:
        """From t = 0 to the last answer. Every planned request has been given to `on_finished` once afterwards."""
        if start_at_ns is not None:
            await asyncio.sleep((start_at_ns - monotonic_ns()) / NS_PER_S)
            while monotonic_ns() < start_at_ns:
                pass  # the loop's timers round to a millisecond, and may ring before their time
        self.origin_ns = start_at_ns or monotonic_ns()
        match self._shape:
            case ClosedLoop() | Wave():
                self._tasks = {asyncio.ensure_future(self._caller(slot)) for slot in range(len(self._transports))}
            case OpenLoop():
                self._free.extend(range(len(self._transports)))
                await self._send_on_time()
        await self._all_tasks()
        self.finished_ns = monotonic_ns()
        self._account_for_the_unsent()

    async def _all_tasks(self) -> None:
        """Wait for every task. An exception that no outcome covers is a fault of ours: it ends the run and is raised."""
        while self._tasks:
            ended, self._tasks = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in ended:
                if not task.cancelled() and task.exception() is not None:
                    self.stop()
                    await asyncio.wait({task, *self._tasks})
                    task.result()

    def drain(self) -> None:
        """Send nothing more; `run` returns when what is in flight has ended."""
        self._draining = self.interrupted = True
        self._no_more.set()

    def stop(self) -> None:
        """Give up what is in flight; `run` returns at once."""
        self.drain()
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Close every connection."""
        for transport in self._transports:
            await transport.aclose()

    def progress(self) -> Progress:
        """How far the run is."""
        planned = 0 if self._unplanned else len(self._schedule)
        elapsed_s = (monotonic_ns() - self.origin_ns) / NS_PER_S if self.origin_ns else 0.0
        return Progress(elapsed_s, planned, len(self._sent), self.done, self.failed, self.in_flight)

    @property
    def streams(self) -> int:
        """How many connections are opened before t = 0."""
        match self._shape:
            case ClosedLoop(concurrency=concurrency):
                return min(concurrency, len(self._schedule))
            case Wave(size=size):
                return size
            case OpenLoop():
                # Two seconds' worth of arrivals; a stream beyond them connects when it is needed, and that is recorded.
                return min(len(self._schedule), max(16, round(2 * self._shape.peak_rate_per_s)))

    @property
    def _time_is_up(self) -> bool:
        return self._duration_s is not None and monotonic_ns() - self.origin_ns >= self._duration_s * NS_PER_S

    @property
    def _unplanned(self) -> bool:
        """Whether the number of requests is found out by running: a closed loop bounded by its duration."""
        return self._duration_s is not None and isinstance(self._shape, ClosedLoop)

    async def _caller(self, slot: int) -> None:
        """One caller of a closed loop: its next request when its last one has ended."""
        while self._next < len(self._schedule) and not self._draining:
            if self._unplanned and self._time_is_up:
                return
            index, self._next = self._next, self._next + 1
            await self._exchange(Exchange(index, slot))
        if self._unplanned and not self._draining and not self._time_is_up:
            self.schedule_exhausted = True

    async def _send_on_time(self) -> None:
        """The open loop: every request at its intended moment, on a free stream or a new one."""
        offsets = self._schedule.offsets_ns
        assert offsets is not None
        loop = asyncio.get_running_loop()

        def send_what_is_due() -> None:
            now_ns = monotonic_ns() - self.origin_ns
            while self._next < len(self._schedule) and offsets[self._next] <= now_ns and not self._draining:
                index, self._next = self._next, self._next + 1
                if not self._free:
                    self._transports.append(self._make_transport())
                    self._free.append(len(self._transports) - 1)
                task = loop.create_task(self._open_loop_request(index, self._free.pop()))
                self._tasks.add(task)
                task.add_done_callback(self._let_go)
            if self._next < len(self._schedule):
                alarm.set(self.origin_ns + int(offsets[self._next]))
            else:
                alarm.set(0)
                self._no_more.set()

        alarm = make_alarm(loop, send_what_is_due)
        send_what_is_due()
        await self._no_more.wait()
        alarm.close()

    def _let_go(self, task: asyncio.Task[None]) -> None:
        """Forget a request that has ended, so that a long run does not keep them all; a fault of ours ends the run."""
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)
        else:
            self.stop()

    async def _open_loop_request(self, index: int, slot: int) -> None:
        offsets = self._schedule.offsets_ns
        assert offsets is not None
        await self._exchange(Exchange(index, slot, self.origin_ns + int(offsets[index])))
        self._free.append(slot)

    def _request(self, index: int) -> httpx2.Request:
        body = self._schedule.bodies[index]
        return httpx2.Request(
            "POST",
            self._url,
            headers=[
                *self._headers,
                (b"X-Request-Id", b"%b%d" % (self._id_prefix, index)),  # finds it again in the server's log
                (b"Content-Length", b"%d" % len(body)),
            ],
            stream=httpx2.ByteStream(body),
        )

    async def _exchange(self, exchange: Exchange) -> None:
        """Carry one request through, whatever happens to it; only facts are noted."""
        index = exchange.index
        request = self._first_requests[index] if index < len(self._first_requests) else self._request(index)
        request.extensions["exchange"] = exchange
        self._sent.add(index)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            async with asyncio.timeout(self._request_timeout_s):
                response = await self._transports[exchange.slot].handle_async_request(request)
            self.failed += response.status_code != 200
        except TimeoutError:
            self._give_up(exchange, Outcome.TIMEOUT, f"no complete answer within {self._request_timeout_s:g} s")
        except asyncio.CancelledError:
            self.drain()  # however the cancellation came, this task must not go on to its next request
            self._give_up(exchange, Outcome.CANCELLED, "stopped by the user")
        except httpx2.ConnectError as error:
            self._give_up(exchange, Outcome.CONNECT_ERROR, str(error))
        except httpx2.TransportError as error:
            # With bytes at hand the reply itself tells what went wrong; without any there was no answer at all.
            self._give_up(exchange, None if exchange.reads else Outcome.CONNECT_ERROR, str(error))
        finally:
            self.in_flight -= 1
            self.done += 1
            self._on_finished(exchange)

    def _give_up(self, exchange: Exchange, failure: Outcome | None, detail: str) -> None:
        exchange.failure, exchange.detail, exchange.gave_up_ns = failure, detail, monotonic_ns()
        self.failed += 1

    def _account_for_the_unsent(self) -> None:
        """A planned request that never went out is an outcome too, also one whose task was cancelled before it began."""
        if self._unplanned:
            return
        for index in sorted(set(range(len(self._schedule))) - self._sent):
            exchange = Exchange(index)
            exchange.failure, exchange.detail = Outcome.DROPPED, "never sent: the run was stopped before"
            self._on_finished(exchange)


def _header_list(target: Target, url: httpx2.URL) -> list[tuple[bytes, bytes]]:
    """Our headers and the user's, which take the place of ours of the same name."""
    ours = {
        "Host": url.netloc.decode(),
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "User-Agent": "loadgen",
    }
    theirs = {name.lower() for name, _ in target.headers}
    kept = [(name, value) for name, value in ours.items() if name.lower() not in theirs]
    return [(name.encode(), value.encode()) for name, value in [*kept, *target.headers]]
