"""The event loop of a measuring process, and who serves the streams on it: the loop's selector (selector.py) or asyncio."""

import asyncio
import select
import socket
from typing import Any

from loadgen.engine.eventloop.read_log import ReadLog
from loadgen.engine.eventloop.selector import PollPacer, Reader, StreamSelector
from loadgen.engine.records.record import ReadsBy


class StreamLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that also serves streams: those that its selector, `streams`, watches."""

    def __init__(self, selector: StreamSelector) -> None:
        self.streams = selector
        super().__init__(selector)

    def call_soon(self, *args: Any, **context: Any) -> asyncio.Handle:  # type: ignore[override]  # passed on as they are
        """As asyncio's; a stream's callback that schedules something gives asyncio its turn."""
        self.streams.asked = True
        return super().call_soon(*args, **context)

    def call_at(self, *args: Any, **context: Any) -> asyncio.TimerHandle:  # type: ignore[override]  # passed on as they are
        """As asyncio's; a stream's callback that schedules something gives asyncio its turn."""
        self.streams.asked = True
        return super().call_at(*args, **context)


class AsyncioWatcher:
    """As `StreamSelector`, on any loop: asyncio calls the readers. It never pauses."""

    reads_by: ReadsBy = "asyncio"
    log: ReadLog | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._readers: dict[int, Reader] = {}

    def watch(self, sock: socket.socket, reader: Reader) -> int:
        self._readers[sock.fileno()] = reader
        self._loop.add_reader(sock, reader.readable)
        return 0

    def unwatch(self, sock: socket.socket) -> None:
        del self._readers[sock.fileno()]
        self._loop.remove_writer(sock)
        self._loop.remove_reader(sock)

    def watch_for_room(self, sock: socket.socket) -> None:
        self._loop.add_writer(sock, self._on_room, sock)

    def _on_room(self, sock: socket.socket) -> None:
        self._loop.remove_writer(sock)
        self._readers[sock.fileno()].writable()

    def pace(self, pacer: PollPacer) -> None:
        pass

    def note_unstamped(self) -> None:
        pass


Watcher = StreamSelector | AsyncioWatcher
"""Serves streams: between two turns of asyncio, or in asyncio's own."""


def watcher_of(loop: asyncio.AbstractEventLoop) -> Watcher:
    """Return who serves streams on `loop`."""
    return loop.streams if isinstance(loop, StreamLoop) else AsyncioWatcher(loop)


def make_loop() -> asyncio.AbstractEventLoop:
    """Return the best loop of this system: io_uring, epoll where that is missing or forbidden (as containers do), else asyncio's."""
    if not hasattr(select, "epoll"):
        return asyncio.new_event_loop()
    from loadgen.engine.eventloop.ring import RingSelector

    try:
        return StreamLoop(RingSelector())
    except OSError:
        return StreamLoop(StreamSelector())
