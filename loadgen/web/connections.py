"""The connections of the HTTP server, bounded: how many, and how long and how large a client may leave one of them waiting.

uvicorn bounds only the time between two requests of a connection.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

GOODBYE_S = 1.0
"""How long responses may still be sent when the server ends."""

_LOOK_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What clients may take of the server. Streams of events count as connections."""

    max_connections: int = 256
    max_head_s: int = 10  # from the connection, or the first byte after a response, to the end of the request's head
    max_head_bytes: int = 65_536
    max_idle_s: int = 5  # between two requests
    max_unread_s: int = 30  # for each `taken_bytes` of a response, and for what is left of it
    taken_bytes: int = 262_144


DEFAULT_LIMITS = ConnectionLimits()


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Over a limit it gets a sentence if nothing else is being sent on it, and is closed."""

    def __init__(
        self,
        limits: ConnectionLimits,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._answered: RequestResponseCycle | None = None  # the request whose response is sent, or was sent last
        self._head_since_s: float | None = None  # None: no head is waited for
        self._head_bytes, self._in_body = 0, False
        self._unread_since_s, self._unread_bytes = 0.0, 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            self._refuse(503, "Too many connections: try again later.")
            return
        self._head_since_s = self.loop.time()
        self._timer = self.loop.call_later(_LOOK_AGAIN_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.pipeline.clear()
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True  # uvicorn marks the request that was read last
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._head_since_s is None and self._is_between_requests():
            self._head_since_s = self.loop.time()
        if not self._in_body:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > self._limits.max_head_bytes:
            self._refuse(431, f"The head of the request has more than {self._limits.max_head_bytes:,} bytes.")

    def on_message_begin(self) -> None:
        if self._head_since_s is None:
            self._head_since_s = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_since_s, self._head_bytes = None, 0
        if not self.url.startswith((b"/", b"*")):  # a whole URL, whose host is what was asked for
            host = urlsplit(self.url).netloc
            if any(value.strip().lower() != host.lower() for name, value in self.headers if name == b"host"):
                self.headers.append((b"host", host))
        super().on_headers_complete()
        self._in_body = True

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(GOODBYE_S, self.transport.abort)  # a stream of events has no end of its own

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _is_between_requests(self) -> bool:
        """Whether everything that was asked on this connection is answered, though not necessarily read."""
        return self.cycle is None or self.cycle.response_complete

    def _refuse(self, status: int, sentence: str) -> None:
        if self.transport.is_closing():
            return
        if self._is_between_requests() and not self._in_body:
            body = sentence.encode()
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _look(self) -> None:
        """Close the connection of a client that takes too long."""
        self._timer = self.loop.call_later(_LOOK_AGAIN_S, self._look)
        now_s = self.loop.time()
        if self._is_unread_too_long(now_s):
            self.transport.abort()
        elif self._head_since_s is not None and now_s - self._head_since_s >= self._limits.max_head_s:
            self._head_since_s = None
            if not self._is_between_requests():
                self.cycle.keep_alive = False  # to be closed after its response
            elif self._head_bytes:
                self._refuse(
                    408, f"The head of the request did not come to its end within {self._limits.max_head_s} s."
                )
            else:
                self.transport.close()

    def _is_unread_too_long(self, now_s: float) -> bool:
        unread = self.transport.get_write_buffer_size()
        if unread == 0 or self._unread_bytes == 0 or unread <= self._unread_bytes - self._limits.taken_bytes:
            self._unread_since_s, self._unread_bytes = now_s, unread
        self._unread_bytes = max(self._unread_bytes, unread)
        return now_s - self._unread_since_s >= self._limits.max_unread_s

    def resume_writing(self) -> None:
        self._unread_bytes = 0  # the client has taken some
        super().resume_writing()
