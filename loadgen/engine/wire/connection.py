"""One HTTP/1.1 connection over its own socket: sends a request, keeps the bytes of the answer with their kernel stamps.

While bytes arrive it does almost nothing: take them, append, look for the end of the message. How it sees the end:

- The usual stream is chunked. Its last bytes are CRLF 0 CRLF CRLF, which JSON inside LF-delimited events cannot contain, so
  four compared bytes a read are enough. The framing is verified when the answer is parsed, after the run. Where the loop
  keeps a log, reads in the midst of such an answer go by there (read_log.py), and only those come here that may be its last.
- Anything else (content-length, until close, CRLF-delimited events, a head in pieces) goes through httptools at once.
- A stream that says `[DONE]` is complete; the end of its body is waited for as long as open_bodies.py says.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable

import httptools

from loadgen.engine.eventloop.clock import monotonic_ns
from loadgen.engine.eventloop.loop import watcher_of
from loadgen.engine.eventloop.read_log import ReadLog
from loadgen.engine.records.exchange import Exchange, stamp_now
from loadgen.engine.wire.address import Address
from loadgen.engine.wire.framing import ResponseParser
from loadgen.engine.wire.open_bodies import DONE_TAIL_BYTES, OpenBodies, says_done
from loadgen.engine.wire.sockets import ANCILLARY_BYTES, READ_BYTES, TlsLayer, connected_socket, min_round_trip_ns

# The two spellings in use. Only a head can hold these bytes: JSON has no raw line end. Any other spelling goes to the parser.
_CHUNKED_LOWER, _CHUNKED_TITLE = b"\r\ntransfer-encoding: chunked\r\n", b"\r\nTransfer-Encoding: chunked\r\n"
_CLOSE = b"\r\nconnection: close\r\n"
_BLANK_LINE = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_EVENT_END = b"}\n\n\r\n"  # of the usual event in a chunk of its own, after which nothing ends

STALE_LIMIT_NS = 5_000_000
"""A kept connection lost within this time of the send, plus two round trips, was closed before the request reached it."""

OnEnd = Callable[[str | None], None]
"""Called once for each request: with None when its response is whole, otherwise with what went wrong."""


class Connection:
    """A connected socket that carries one exchange at a time. Not reusable once `closed`.

    `stale` says that the server had closed it before it saw the request, which can therefore be sent again elsewhere.
    """

    __slots__ = (  # an event of one stream finds little of it in the processor's cache
        "_exchange",
        "_framing",
        "_is_done",
        "_log",
        "_looks_again",
        "_loop",
        "_on_end",
        "_open_bodies",
        "_plain_from",
        "_recvmsg",
        "_sent_ns",
        "_socket",
        "_stale_limit_ns",
        "_tls",
        "_token",
        "_unsent",
        "_used",
        "_watcher",
        "closed",
        "connect_ns",
        "stale",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        *,
        tls: TlsLayer | None,
        connect_ns: int,
        stale_limit_ns: int,
        open_bodies: OpenBodies,
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._recvmsg = sock.recvmsg
        self._tls = tls
        self._exchange: Exchange | None = None
        self._on_end: OnEnd | None = None
        self._framing: ResponseParser | None = None
        self._unsent: memoryview | None = None
        self._stale_limit_ns = stale_limit_ns + 2 * connect_ns
        self._open_bodies = open_bodies
        open_bodies.connected(self)
        self._is_done = self._used = self._looks_again = False
        self._sent_ns = self._plain_from = 0
        self.connect_ns = connect_ns
        self.closed = self.stale = False
        self._watcher = watcher_of(loop)
        self._token = self._watcher.watch(sock, self)
        self._log = self._watcher.log if tls is None else None

    @classmethod
    async def open(cls, address: Address, stale_limit_ns: int, open_bodies: OpenBodies) -> "Connection":
        """Connect to `address`, through its proxy and with TLS if it asks for them. Raises OSError (ssl.SSLError included)."""
        loop = asyncio.get_running_loop()
        begun_ns = monotonic_ns()
        sock, tls = await connected_socket(loop, address)
        return cls(
            loop,
            sock,
            tls=tls,
            connect_ns=monotonic_ns() - begun_ns,
            stale_limit_ns=stale_limit_ns,
            open_bodies=open_bodies,
        )

    def send(self, wire: bytes, exchange: Exchange, on_end: OnEnd) -> None:
        """Send `wire` and gather its whole answer into `exchange`; then, or when that fails, call `on_end`.

        Whatever arrived stays in `exchange`. A connection found closed by the server fails at once.
        """
        self._exchange = exchange
        self._on_end = on_end
        self._framing = None
        self._is_done = False
        if self._used and self._is_gone():
            self.stale = True
            self._fail("the server had closed the connection")
            return
        sent = 0
        try:
            if self._tls is not None:
                wire = self._tls.encrypt(wire)
            self._sent_ns = monotonic_ns()
            if exchange.sent_ns is None:  # a second attempt does not restart the clock
                exchange.sent_ns = self._sent_ns
            sent = self._socket.send(wire)
        except BlockingIOError:
            pass
        except OSError as error:
            self.lost(error)
            return
        if sent < len(wire):
            self._unsent = memoryview(wire)[sent:]
            self._watcher.watch_for_room(self._socket)

    def min_round_trip_ns(self) -> int | None:
        """The least time there and back that the kernel knows of; None when it knows none, or the connection is closed."""
        return None if self.closed else min_round_trip_ns(self._socket)

    def close(self) -> None:
        """Close the socket; what was in flight on it is lost, without a call to `on_end`."""
        if not self.closed:
            self.closed = True
            self._open_bodies.gone(self)
            self._end_plain()
            self._exchange = None
            self._watcher.unwatch(self._socket)
            self._socket.close()

    def _is_kept_alive(self, exchange: Exchange) -> bool:
        """Whether the whole answer in `exchange` leaves the connection open."""
        if self._framing is not None:
            return self._framing.keep_alive
        head = exchange.reads[0].partition(_BLANK_LINE)[0] + b"\r\n"
        return _CLOSE not in head.lower()

    def _is_gone(self) -> bool:
        """Whether the server has closed the connection, which the event loop may not have had time to see."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def writable(self) -> None:
        """There is room to send more, or the connection broke."""
        if self._unsent is None:
            return
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            # The answer may already be here (an early error while the body was still going out): let the reader decide.
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:] if sent < len(self._unsent) else None
        if self._unsent is not None:
            self._watcher.watch_for_room(self._socket)

    def readable(self) -> None:
        """There are bytes, or the end: read them."""
        try:
            received, ancillary, _, _ = self._recvmsg(READ_BYTES, ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.lost(error)
            return
        self.arrived(received, ancillary[0][2] if ancillary else None)

    def arrived(self, received: bytes, stamp: bytes | None) -> None:
        """These bytes were received, none at the end, with the kernel's stamp if it gave one."""
        exchange = self._exchange
        goodbye = not received
        if self._tls is not None and received:
            try:
                received, goodbye = self._tls.decrypt(received)
            except ssl.SSLError as error:
                self.lost(error)
                return
        if exchange is None:
            if received or goodbye:  # closed while idle, or spoken unasked: of no more use (a TLS ticket is neither)
                self.close()
            return
        self._end_plain()
        if received:
            reads = exchange.reads
            reads.append(received)
            if stamp is None:
                self._watcher.note_unstamped()
                stamp = stamp_now()
            exchange.stamps.append(stamp)
            exchange.room_bytes -= len(received)
            if exchange.room_bytes < 0:
                self._fail("the answer has no end")
                return
            if len(reads) == 1:
                self._begin(received)
                self._perhaps_done(exchange, received)
            elif self._framing is not None:
                self._feed()
                self._perhaps_done(exchange, received)
            elif received[-5:] != _EVENT_END:
                if received[-4:] == _BLANK_LINE or len(received) < 4:
                    self._perhaps_ended(received)
                self._perhaps_done(exchange, received)
        if goodbye:
            self.lost(None)

    def leave(self) -> None:
        """Take the answer as it is, although its body has not ended; the connection is of no more use."""
        exchange, on_end = self._exchange, self._on_end
        assert exchange is not None
        assert on_end is not None
        exchange.left_open_ns = monotonic_ns()
        self.close()
        on_end(None)

    def look_again(self) -> None:
        """Look at what went by in the log: the stream may have sent its end."""
        if self._exchange is not None and self._plain_from:
            self._end_plain()
            self._perhaps_done(self._exchange)

    def _perhaps_done(self, exchange: Exchange, last: bytes = b"") -> None:
        """Wait for the end of the body, if the stream has just sent `[DONE]`."""
        if self._exchange is not exchange or self._is_done:
            return
        if len(last) >= DONE_TAIL_BYTES and b"[DONE]" not in last[-DONE_TAIL_BYTES:]:
            return
        if says_done(self._tail(exchange)):
            self._is_done = True
            self._open_bodies.add(self)

    def _tail(self, exchange: Exchange) -> bytes:
        """The last bytes of the answer, whatever the reads were."""
        reads, tail = exchange.reads, b""
        for at in range(len(reads) - 1, 0, -1):
            tail = reads[at] + tail
            if len(tail) >= DONE_TAIL_BYTES:
                return tail[-DONE_TAIL_BYTES:]
        if exchange.logged is not None and self._log is not None:
            tail = self._log.tail_of(exchange.logged, DONE_TAIL_BYTES) + tail
        return (tail if len(tail) >= DONE_TAIL_BYTES else reads[0] + tail)[-DONE_TAIL_BYTES:]

    def _begin(self, first: bytes) -> None:
        """Choose how to find the end, from the head; the usual stream needs no parser."""
        if _CHUNKED_LOWER in first or _CHUNKED_TITLE in first:
            if first[-4:] == _BLANK_LINE and first.find(_BLANK_LINE) < len(first) - 4:
                self._perhaps_ended(first)
            elif first[9:12] == b"200":
                self._begin_plain()
        else:
            self._framing = ResponseParser()
            self._feed()

    def _begin_plain(self) -> None:
        """From here on reads may go by in the log."""
        exchange, log = self._exchange, self._log
        assert exchange is not None
        if log is not None and log.is_of_use and not exchange.read_at_once and not self._open_bodies.left_open:
            self._plain_from = log.place + 1
            log.allowed[self._token] = exchange.room_bytes

    def _end_plain(self) -> None:
        """From here on every read of this answer comes here."""
        exchange, log = self._exchange, self._log
        if self._plain_from and exchange is not None and log is not None:
            exchange.logged = self._token, self._plain_from, log.place
            exchange.room_bytes = log.allowed[self._token]
            log.allowed[self._token] = self._plain_from = 0

    def _look_again(self, exchange: Exchange, log: ReadLog) -> None:
        """See whether this answer has ended, with what went by in the log: it was not as plain as it seemed."""
        self._looks_again = False
        if self._exchange is not exchange or exchange.logged is None:
            return
        lately = exchange.reads[1:]
        if not any(read.endswith(_BLANK_LINE) for read in lately):
            # Pieces too short to tell, as long events have when the ring's buffers cut them: what came before them tells.
            ending = exchange.reads[0] + log.tail_of(exchange.logged, len(_LAST_CHUNK)) + b"".join(lately)
            if ending.endswith(_LAST_CHUNK):
                self._end()
                return
            if not ending.endswith(_BLANK_LINE):
                return
        exchange.reads[1:1], exchange.stamps[1:1] = log.reads_of(exchange.logged)
        exchange.logged = None
        self._framing = ResponseParser()
        self._feed()

    def _perhaps_ended(self, last: bytes) -> None:
        if self._looks_again:  # then everything that came meanwhile is read
            return
        if last == _LAST_CHUNK[2:] or last.endswith(_LAST_CHUNK):
            self._end()
        elif self._log is not None and self._exchange is not None and self._exchange.logged is not None:
            self._looks_again = True
            # The log has the end when all that came is served.
            self._loop.call_soon(self._look_again, self._exchange, self._log)
        else:  # CRLF-delimited events, trailers, or an end that came in pieces: the parser knows
            self._framing = ResponseParser()
            self._feed()

    def _feed(self) -> None:
        assert self._framing is not None
        assert self._exchange is not None
        reads = self._exchange.reads
        try:
            while self._framing.reads_fed < len(reads):
                self._framing.feed(reads[self._framing.reads_fed])
        except httptools.HttpParserError as error:
            self._fail(f"the answer is not HTTP: {error}")
            return
        if self._framing.ended:
            self._end()

    def _end(self) -> None:
        exchange, on_end = self._exchange, self._on_end
        assert exchange is not None
        assert on_end is not None
        exchange.complete = True
        self._exchange = None
        self._used = True
        if exchange.has_status_200:
            self._open_bodies.ended(self)
        if self._unsent is not None or not self._is_kept_alive(exchange):
            self.close()
        on_end(None)

    def lost(self, error: OSError | None) -> None:
        """The connection is gone: a proper end for a body of no stated length, otherwise a failure."""
        exchange = self._exchange
        if exchange is None:
            self.close()
            return
        if self._looks_again:
            self._loop.call_soon(self.lost, error)
            return
        if error is None and self._framing is not None and self._framing.may_end_by_close:
            self._end()
            return
        reason = f": {error.strerror or error}" if error is not None else ""
        if exchange.reads:
            self._fail(f"the connection was lost within the answer{reason}")
            return
        self.stale = self._used and monotonic_ns() - self._sent_ns < self._stale_limit_ns
        self._fail(f"the connection was closed before the first byte of the answer{reason}")

    def _fail(self, reason: str) -> None:
        on_end = self._on_end
        self.close()
        assert on_end is not None
        on_end(reason)
