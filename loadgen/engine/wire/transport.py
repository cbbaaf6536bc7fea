"""One stream: a keep-alive connection to one address that carries one request at a time and stamps bytes as they arrived.

It stands in for an HTTP client and its pool, which scan every connection for each request. `open` connects ahead of time; a
connection that the server has closed in between is opened again, and the time that took is kept apart in the exchange.
"""

import asyncio
import os
import ssl
from collections.abc import Callable

from loadgen.engine.eventloop.clock import monotonic_ns
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.records.record import Outcome
from loadgen.engine.wire.address import Address, ConnectFailedError
from loadgen.engine.wire.connection import STALE_LIMIT_NS, Connection
from loadgen.engine.wire.open_bodies import OpenBodies

CONNECT_LIMIT_S = 10.0


async def first_reachable(addresses: list[Address]) -> Address:
    """The first address that a connection can be opened to; the last of them when there is none, to fail by its reason.

    A name may stand for an IPv6 address that nobody listens on and an IPv4 one that somebody does.
    """
    for address in addresses[:-1]:
        trial = StampingTransport(address)
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                await trial.open()
        except (ConnectFailedError, TimeoutError):
            continue
        trial.close()
        return address
    return addresses[-1]


class StampingTransport:
    """Carries one request at a time over its own connection to one address.

    A request lost within `stale_limit_ns` of its sending, and two round trips, on a kept connection is sent once more.
    `open_bodies` is shared by all transports to one server.
    """

    def __init__(
        self, address: Address, stale_limit_ns: int = STALE_LIMIT_NS, open_bodies: OpenBodies | None = None
    ) -> None:
        self._address = address
        self._stale_limit_ns = stale_limit_ns
        self._open_bodies = open_bodies or OpenBodies()
        self._connection: Connection | None = None
        self._connect_ns: int | None = None
        self._opening: asyncio.Task[None] | None = None
        self._exchange = Exchange()
        self._wire = b""
        self._on_end: Callable[[Exchange], None] | None = None
        self._attempt = 0
        self.opened = 0

    async def open(self) -> None:
        """Connect unless connected. Raises ConnectFailedError with the system's reason."""
        if self._connection is not None and not self._connection.closed:
            return
        try:
            self._connection = await Connection.open(self._address, self._stale_limit_ns, self._open_bodies)
        except OSError as error:
            reason = str(error) if isinstance(error, ssl.SSLError) or not error.errno else os.strerror(error.errno)
            raise ConnectFailedError(f"cannot connect to {self._address.name}: {reason}") from error
        self.opened += 1
        self._connect_ns = self._connection.connect_ns

    def start(self, wire: bytes, exchange: Exchange, on_end: Callable[[Exchange], None]) -> None:
        """Send the request `wire`; call `on_end` once with its exchange, whether it ended well or not."""
        self._wire, self._exchange, self._on_end, self._attempt = wire, exchange, on_end, 1
        if self._connection is None or self._connection.closed:
            self._opening = asyncio.ensure_future(self._open_and_send())
        else:
            self._send(self._connection)

    def abandon(self) -> None:
        """Give up the request in flight, and its connection with it; `on_end` will not be called."""
        self._on_end = None
        self.close()

    def min_round_trip_ns(self) -> int | None:
        """The least time there and back over the present connection; None without one, or where the kernel does not report it."""
        return None if self._connection is None else self._connection.min_round_trip_ns()

    def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.close()

    async def _open_and_send(self) -> None:
        try:
            await self.open()
        except ConnectFailedError as error:
            self._opening = None
            self._exchange.failure = Outcome.CONNECT_ERROR
            self._finish(str(error))
            return
        self._opening = None
        assert self._connection is not None
        self._send(self._connection)

    def _send(self, connection: Connection) -> None:
        if self._connect_ns is not None:  # recorded with the first request over a connection
            self._exchange.connect_ns, self._connect_ns = self._connect_ns, None
        connection.send(self._wire, self._exchange, self._ended)

    def _ended(self, reason: str | None) -> None:
        if reason is None:
            self._finish(None)
            return
        assert self._connection is not None
        if self._connection.stale:
            if self._attempt == 1:
                self._attempt = 2
                self._opening = asyncio.ensure_future(self._open_and_send())
                return
            reason = "the server closes connections before it answers"
        # With bytes at hand the reply itself shows what went wrong; without any there was no response.
        if not self._exchange.reads:
            self._exchange.failure = Outcome.CONNECT_ERROR
        self._finish(reason)

    def _finish(self, reason: str | None) -> None:
        exchange, on_end = self._exchange, self._on_end
        if reason is not None:
            exchange.detail, exchange.gave_up_ns = reason, monotonic_ns()
        self._on_end = None
        if on_end is not None:
            on_end(exchange)
