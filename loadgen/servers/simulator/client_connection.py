"""One client connection: HTTP/1.1 over a socket of our own, stamped by the kernel where it can be.

The sockets are read with `recvmsg` and written with `send` directly: a transport would hide the stamps of arrival, and
would put off each write to the end of the loop's round, so that the truth would not be one.
"""

import asyncio
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import httptools

from loadgen.servers.simulator.faults import EARLY_REFUSAL, Fault

_SO_TIMESTAMPING = 37  # linux: asm-generic/socket.h; the socket module does not name it
_RX_SOFTWARE, _SOFTWARE = 1 << 3, 1 << 4  # linux/net_tstamp.h
_TIMESPEC = struct.Struct("@ll")  # struct scm_timestamping begins with the software stamp
_READ_BYTES = 65536
_ANCILLARY_BYTES = 128
_MAX_BODY_BYTES = 64 << 20
_MAX_BACKLOG_BYTES = 64 << 20  # a client that lets more wait is left, or an endless answer would fill the memory
_CLOCK_PAIR_NS = 5_000  # two clocks read further apart than this were interrupted in between


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, complete. `arrival_ns`: its last byte reached this host, on the monotonic clock."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    arrival_ns: int
    kernel_stamped: bool
    keep_alive: bool
    fault: Fault | None = None


def ask_for_stamps(listener: socket.socket) -> None:
    """Have the kernel stamp what arrives on the connections accepted from `listener`: they inherit the option.

    Where it cannot, arrivals are stamped at the read, and the truth says so.
    """
    if sys.platform == "linux":
        listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE | _SOFTWARE)


class ClientConnection:
    """Reads requests one after the other and hands each to `handle` when the one before has been answered.

    The handler calls `send` any number of times and then `done`, `leave` or `reset`. `on_hang_up`, if set meanwhile, is told
    when the connection ends before `done`. `fault_of` is asked once for each request, by its method, path and headers.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        accepted: socket.socket,
        handle: Callable[["ClientConnection", HttpRequest], None],
        on_close: Callable[["ClientConnection"], None],
        fault_of: Callable[[str, str, dict[str, str]], Fault | None],
    ) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.on_hang_up: Callable[[], None] | None = None
        self._loop = loop
        self._socket = accepted
        self._handle = handle
        self._on_close = on_close
        self._fault_of = fault_of
        self.answered_requests = 0
        self._parser = httptools.HttpRequestParser(self)
        self._arrived: deque[HttpRequest] = deque()
        self._current: HttpRequest | None = None
        self._backlog = bytearray()
        self._ancillary: list[tuple[int, int, bytes]] = []
        self._closed = False
        self._closing = False  # as soon as the backlog is sent
        self.on_message_begin()
        loop.add_reader(accepted.fileno(), self._readable)

    @property
    def keep_alive(self) -> bool:
        """Whether the connection outlives the present request."""
        return self._current is not None and self._current.keep_alive

    def send(self, data: bytes) -> None:
        """Hand `data` to the kernel now; what it does not take waits, in order, until it does."""
        if self._closed:
            return
        if self._backlog:
            self._backlog += data
            if len(self._backlog) > _MAX_BACKLOG_BYTES:
                self.close()
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._backlog += data[sent:]
            self._loop.add_writer(self._socket.fileno(), self._writable)

    def done(self, *, leave: bool = False) -> None:
        """The present request has been answered in full; `leave` closes the connection with it."""
        keep_alive = self.keep_alive and not leave
        self._current = self.on_hang_up = None
        self.answered_requests += 1
        if self._closed:
            return
        if not keep_alive:
            self._close_when_sent()
        elif self._arrived:
            self._loop.call_soon(self._next)

    def leave(self) -> None:
        """Close as soon as what was handed to `send` has gone out, whether or not it was a response."""
        if not self._closed:
            self._close_when_sent()

    def reset(self) -> None:
        """Leave the client, at once, with a TCP reset."""
        if not self._closed:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    def close(self) -> None:
        """Leave the client, at once; a request in service is dropped."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        del self._parser  # it refers back to this connection
        self._arrived.clear()
        if self.on_hang_up is not None:
            self.on_hang_up()
            self.on_hang_up = None
        self._on_close(self)

    def _readable(self) -> None:
        try:
            data, self._ancillary, _, _ = self._socket.recvmsg(_READ_BYTES, _ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(b"400 Bad Request")
            return
        refused = self._fault is not None and self._fault.name == EARLY_REFUSAL
        if refused or self._body_bytes > _MAX_BODY_BYTES:
            self._refuse(b"413 Content Too Large")
            return
        if self._current is None and self._arrived:
            self._next()

    def _next(self) -> None:
        if not self._closed and self._current is None and self._arrived:
            self._current = self._arrived.popleft()
            self._handle(self, self._current)

    def _refuse(self, status: bytes) -> None:
        """What came is not HTTP, or too much: say so, and leave."""
        self.send(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
        self._close_when_sent()

    def _close_when_sent(self) -> None:
        self._arrived.clear()
        if self._backlog:
            self._closing = True
            self._loop.remove_reader(self._socket.fileno())
        else:
            self.close()

    def _writable(self) -> None:
        try:
            sent = self._socket.send(self._backlog)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        del self._backlog[:sent]
        if not self._backlog:
            self._loop.remove_writer(self._socket.fileno())
            if self._closing:
                self.close()

    # What httptools calls while it is fed.

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._fault: Fault | None = None

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._fault = self._fault_of(self._parser.get_method().decode(), self._path(), self._headers)
        if self._headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        self._body_bytes += len(part)
        if self._body_bytes <= _MAX_BODY_BYTES:
            self._body.append(part)

    def on_message_complete(self) -> None:
        arrival_ns, kernel_stamped = _arrival(self._ancillary)
        request = HttpRequest(
            method=self._parser.get_method().decode(),
            path=self._path(),
            headers=self._headers,
            body=b"".join(self._body),
            arrival_ns=arrival_ns,
            kernel_stamped=kernel_stamped,
            keep_alive=self._parser.should_keep_alive(),
            fault=self._fault,
        )
        self._arrived.append(request)

    def _path(self) -> str:
        return self._url.decode("latin-1").partition("?")[0]


def _arrival(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, bool]:
    """The moment of arrival on the monotonic clock, and whether the kernel stamped it.

    The kernel stamps on the wall clock. Both clocks are read here, so that their offset is of this very moment.
    """
    for _ in range(3):
        now_ns = time.monotonic_ns()
        wall_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
        if time.monotonic_ns() - now_ns < _CLOCK_PAIR_NS:
            break
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            age_ns = wall_ns - (seconds * 1_000_000_000 + nanoseconds)
            if 0 <= age_ns < 10_000_000_000:  # else the wall clock was stepped in between
                return now_ns - age_ns, True
    return now_ns, False
