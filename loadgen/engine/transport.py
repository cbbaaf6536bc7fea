"""An httpx2 transport that stamps bytes as the kernel received them: one transport, one keep-alive connection, one stream.

It stands in for httpx2's pool, which scans every connection for each request. `open` connects ahead of time; a connection
that the server has closed in between is opened again, and the time that took is kept apart in the exchange.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator

import httpx2

from loadgen.engine.connection import Address, Connection, StaleConnectionError
from loadgen.engine.exchange import Exchange
from loadgen.engine.framing import unframe

CONNECT_LIMIT_S = 10.0


def resolve(scheme: str, host: str, port: int) -> list[Address]:
    """The addresses of `host`, looked up once, in the order to try. Raises httpx2.ConnectError when the name is unknown."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpx2.ConnectError(f"cannot resolve {host}: {error.strerror or error}") from error
    tls = None
    if scheme == "https":
        tls = ssl.create_default_context()
        tls.set_alpn_protocols(["http/1.1"])
    return [Address(family, sockaddr, host, tls) for family, _, _, _, sockaddr in found]


async def first_that_answers(addresses: list[Address]) -> Address:
    """The first address that a connection can be opened to; the last of them when there is none, to fail by its reason.

    A name may stand for an IPv6 address that nobody listens on and an IPv4 one that somebody does.
    """
    for address in addresses[:-1]:
        trial = StampingTransport(address)
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                await trial.open()
        except (httpx2.ConnectError, TimeoutError):
            continue
        await trial.aclose()
        return address
    return addresses[-1]


class StampingTransport(httpx2.AsyncBaseTransport):
    """Carries one request at a time over its own connection to one address.

    A caller may put an `Exchange` under the request extension `exchange`; it is filled as bytes arrive, and so survives
    whatever happens to the request. The same object comes back in the response's extensions.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Connection | None = None
        self._connect_ns: int | None = None
        self.opened = 0

    async def open(self) -> None:
        """Connect unless connected. Raises httpx2.ConnectError with the system's reason."""
        if self._connection is not None and not self._connection.closed:
            return
        try:
            self._connection = await Connection.open(self._address)
        except OSError as error:
            reason = str(error) if isinstance(error, ssl.SSLError) or not error.errno else os.strerror(error.errno)
            raise httpx2.ConnectError(f"cannot connect to {self._address.name}: {reason}") from error
        self.opened += 1
        self._connect_ns = self._connection.connect_ns

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send `request`; the response is returned when its last byte is here, with the exchange in its extensions.

        Raises httpx2.ConnectError, httpx2.ReadError or httpx2.RemoteProtocolError.
        """
        exchange: Exchange = request.extensions.get("exchange") or Exchange()
        wire = await _wire(request)
        for attempt in (1, 2):
            await self.open()
            assert self._connection is not None
            if self._connect_ns is not None:  # the first request over a connection tells what opening it took
                exchange.connect_ns, self._connect_ns = self._connect_ns, None
            try:
                await self._connection.carry(wire, exchange)
                break
            except StaleConnectionError:
                if attempt == 2:
                    raise httpx2.ReadError("the server closes connections before it answers") from None
        return _response(exchange)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


async def _wire(request: httpx2.Request) -> bytes:
    head = [b"%b %b HTTP/1.1\r\n" % (request.method.encode(), request.url.raw_path)]
    head += [b"%b: %b\r\n" % header for header in request.headers.raw]
    if isinstance(request.stream, httpx2.SyncByteStream):
        body = b"".join(request.stream)
    else:
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        body = b"".join([part async for part in request.stream])
    return b"".join(head) + b"\r\n" + body


class _Body(httpx2.AsyncByteStream):
    """The body of an exchange, unframed only when somebody wants it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _, part in unframe(self._exchange.reads).parts:
            yield part


def _response(exchange: Exchange) -> httpx2.Response:
    head, found, _ = exchange.reads[0].partition(b"\r\n\r\n")
    if found and not head.startswith(b"HTTP/1.1 1"):
        lines = head.split(b"\r\n")
        try:
            status = int(lines[0][9:12])
        except ValueError:
            raise httpx2.RemoteProtocolError(f"the answer is not HTTP: it begins {lines[0][:40]!r}") from None
        headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines[1:])]
    else:  # a head in pieces, or an interim answer before it
        parsed = unframe(exchange.reads)
        status, headers = parsed.status, parsed.headers
    return httpx2.Response(status, headers=headers, stream=_Body(exchange), extensions={"exchange": exchange})
