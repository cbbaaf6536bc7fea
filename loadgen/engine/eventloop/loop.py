"""The event loop of a measuring process: asyncio, with a selector that also serves streams (selector.py)."""

import asyncio
import select
import socket
from typing import Any

from loadgen.engine.eventloop.poll_pacer import PollPacer
from loadgen.engine.eventloop.readlog import ReadLog
from loadgen.engine.eventloop.selector import Reader, StreamSelector
from loadgen.engine.records.record import ReadsBy


class StreamLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that also serves streams, by `watch`."""

    def __init__(self, selector: StreamSelector) -> None:
        self._streams = selector
        super().__init__(selector)

    @property
    def reads_by(self) -> ReadsBy:
        """The means by which streams are read: `io_uring` or `epoll`."""
        return self._streams.name

    @property
    def log(self) -> ReadLog | None:
        """Where the reads of plain answers go, if this loop has such a log."""
        return self._streams.log

    def watch(self, sock: socket.socket, reader: Reader) -> int:
        """Serve `reader` whenever `sock` has bytes, or its end, to be read; returns the stream's token in `log`."""
        return self._streams.watch(sock, reader)

    def unwatch(self, sock: socket.socket) -> None:
        """Undo `watch`; before the socket is closed."""
        self._streams.unwatch(sock)

    def watch_for_room(self, sock: socket.socket) -> None:
        """Tell the reader of `sock` once when more can be sent."""
        self._streams.watch_for_room(sock)

    def rest_between(self, rest: PollPacer | None) -> None:
        """Rest between two looks at the streams as `rest` says; None ends that."""
        self._streams.pacer = rest

    def note_unstamped(self) -> None:
        """A read came without a kernel stamp."""
        if self._streams.pacer is not None:
            self._streams.pacer.note_unstamped()

    def call_soon(self, *args: Any, **context: Any) -> asyncio.Handle:  # type: ignore[override]  # passed on as they are
        """As asyncio's; a stream's callback that schedules something gives asyncio its turn."""
        self._streams.asked = True
        return super().call_soon(*args, **context)

    def call_at(self, *args: Any, **context: Any) -> asyncio.TimerHandle:  # type: ignore[override]  # passed on as they are
        """As asyncio's; a stream's callback that schedules something gives asyncio its turn."""
        self._streams.asked = True
        return super().call_at(*args, **context)


def make_loop() -> asyncio.AbstractEventLoop:
    """The best loop of this system: io_uring, epoll where that is missing or forbidden (as containers do), else uvloop."""
    if not hasattr(select, "epoll"):
        import uvloop

        return uvloop.new_event_loop()
    from loadgen.engine.eventloop.ring import RingSelector

    try:
        return StreamLoop(RingSelector())
    except OSError:
        return StreamLoop(StreamSelector())
