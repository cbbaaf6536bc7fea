"""Requests in flight: sent over their connections, ended by a reply, a failure or the time limit, and counted."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Protocol

from loadgen.engine.drive.live_ttft import LiveTtft
from loadgen.engine.eventloop.timer import Clock
from loadgen.engine.records.exchange import Exchange, max_reply_bytes
from loadgen.engine.records.record import Outcome
from loadgen.engine.wire.address import ConnectFailedError
from loadgen.engine.wire.transport import CONNECT_LIMIT_S
from loadgen.load.arrivals import NS_PER_S

SENDS_AT_ONCE = 8  # about half a millisecond; then what arrived is read, for the first of them may have been answered
CONNECTS_AT_ONCE = 64  # more would overflow a server's backlog, and SYN retries cost a second


class Transport(Protocol):
    """A connection that carries one request at a time: `StampingTransport`, or a script in tests."""

    async def open(self) -> None:
        """Connect. Raises ConnectFailedError."""

    def start(self, wire: bytes, exchange: Exchange, on_end: Callable[[Exchange], None]) -> None:
        """Send `wire`, gather the response into `exchange`, then call `on_end`."""

    def abandon(self) -> None:
        """Give up what is in flight without calling `on_end`."""

    def close(self) -> None:
        """Close the connection."""


class RequestsInFlight:
    """The requests that have started and not ended, one for each busy connection; `len()` is their number.

    `wire_of` gives the bytes of a request, `output_tokens_of` the length of its reply. `on_ended` is called with each exchange
    that ends, and with whether it failed; `on_fault` with an exception of loadgen's own.
    """

    def __init__(
        self,
        *,
        make_transport: Callable[[], Transport],
        wire_of: Callable[[int], bytes],
        output_tokens_of: Callable[[int], int],
        on_ended: Callable[[Exchange, bool], None],
        on_fault: Callable[[Exception], None],
        timeout_s: float,
        max_reply_bytes: int | None,
        clock: Clock,
    ) -> None:
        self._make_transport = make_transport
        self._wire_of = wire_of
        self._output_tokens_of = output_tokens_of
        self._on_ended = on_ended
        self._on_fault = on_fault
        self._timeout_s = timeout_s
        self._timeout_ns = round(timeout_s * NS_PER_S)
        self._max_reply_bytes = max_reply_bytes
        self._now_ns = clock.now_ns
        self._transports: list[Transport] = []
        self._first_wires: dict[int, bytes] = {}  # by index
        self._started: dict[int, tuple[Exchange, int]] = {}  # by index, in the order of starting, with the time of it
        self._time_limit: asyncio.TimerHandle | None = None
        self._live_ttft = LiveTtft(clock)
        self._connecting: asyncio.Future[list[None]] | None = None
        self._stopped = False
        self.sent = self.done = self.failed = self.peak = 0

    def __len__(self) -> int:
        return len(self._started)

    @property
    def connections(self) -> int:
        return len(self._transports)

    async def open(self, connections: int, first: Iterable[int]) -> None:
        """Make and open the connections, and encode the `first` requests.

        A connection that fails is tried again by the request that needs it.
        """
        self._transports = [self._make_transport() for _ in range(connections)]
        self._first_wires = {index: self._wire_of(index) for index in first}
        gate = asyncio.Semaphore(CONNECTS_AT_ONCE)

        async def connect(transport: Transport) -> None:
            async with gate:
                with contextlib.suppress(ConnectFailedError, TimeoutError):
                    await asyncio.wait_for(transport.open(), min(CONNECT_LIMIT_S, self._timeout_s))

        self._connecting = asyncio.gather(*map(connect, self._transports))
        try:
            await self._connecting
        except asyncio.CancelledError:
            if not self._stopped:
                raise

    def add_connection(self) -> int:
        """Make one more connection, which is opened when it is used; return its slot."""
        self._transports.append(self._make_transport())
        return len(self._transports) - 1

    def start(self, exchange: Exchange, *, read_at_once: bool = False) -> None:
        """Send a request over the connection of its slot. `read_at_once`: its reply is needed as soon as it has ended."""
        index = exchange.index
        wire = self._first_wires.pop(index, None) or self._wire_of(index)
        exchange.room_bytes = self._max_reply_bytes or max_reply_bytes(len(wire), self._output_tokens_of(index))
        exchange.read_at_once = read_at_once
        self._live_ttft.offer(exchange)
        self._started[index] = exchange, self._now_ns()
        self.sent += 1
        self.peak = max(self.peak, len(self._started))
        if self._time_limit is None:
            self._watch_the_oldest()
        try:
            self._transports[exchange.slot].start(wire, exchange, self._ended)
        except Exception as error:
            self._on_fault(error)

    def cancel_all(self) -> None:
        """Give up connecting, and every request in flight."""
        self._stopped = True
        if self._connecting is not None:
            self._connecting.cancel()
        for exchange, _ in list(self._started.values()):
            self._give_up(exchange, Outcome.CANCELLED, "stopped by the user")

    def abandon_all(self, detail: str, on_finished: Callable[[Exchange], None]) -> None:
        """After a fault of loadgen's own: give up every request in flight, whatever else fails meanwhile."""
        for exchange, _ in list(self._started.values()):
            exchange.failure, exchange.detail = Outcome.CANCELLED, detail
            exchange.gave_up_ns = self._now_ns()
            with contextlib.suppress(Exception):  # its connection, or `on_finished`, may be what failed
                self._transports[exchange.slot].abandon()
                on_finished(exchange)
        self._started.clear()

    def forget_time_limit(self) -> None:
        if self._time_limit is not None:
            self._time_limit.cancel()
            self._time_limit = None

    def take_ttft_s(self) -> tuple[float, ...]:
        """The times to first token seen since this was last called, of the few requests that are watched."""
        return self._live_ttft.take(self._started)

    def close(self) -> None:
        for transport in self._transports:
            transport.close()

    def _ended(self, exchange: Exchange) -> None:
        del self._started[exchange.index]
        self.done += 1
        failed = exchange.failure is not None or not exchange.has_status_200
        if failed:
            self.failed += 1
        self._on_ended(exchange, failed)

    def _give_up(self, exchange: Exchange, failure: Outcome, detail: str) -> None:
        self._transports[exchange.slot].abandon()
        exchange.failure, exchange.detail, exchange.gave_up_ns = failure, detail, self._now_ns()
        self._ended(exchange)

    def _watch_the_oldest(self) -> None:
        """Give up what is past its time limit, and look again when the oldest of the others reaches it."""
        self._time_limit = None
        now_ns = self._now_ns()
        while self._started:
            exchange, started_ns = next(iter(self._started.values()))
            left_ns = started_ns + self._timeout_ns - now_ns
            if left_ns > 0:
                loop = asyncio.get_running_loop()
                self._time_limit = loop.call_later(left_ns / NS_PER_S, self._watch_the_oldest)
                return
            self._give_up(exchange, Outcome.TIMEOUT, f"no complete answer within {self._timeout_s:g} s")
            self.forget_time_limit()  # of the slot's next request, which this loop is about to see
