"""The event loop of a measuring process: asyncio, except that streams are read where the system reports them.

A stream that has bytes is served at once, between two calls of `epoll`, without a trip through asyncio's queues: on a busy
machine that trip costs more than the read. asyncio gets its turn as soon as anything of its own is due. Linux only; elsewhere
uvloop, or the plain loop, has to do, and streams are watched as any socket is.
"""

import asyncio
import os
import select
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

from loadgen.engine.rest import Rest

_AT_ONCE = 64  # streams served between two looks: after so many an alarm that has become due is seen


class _StreamSelector(selectors.EpollSelector):
    """Serves the watched streams itself and returns to asyncio only with what belongs to it."""

    def __init__(self) -> None:
        super().__init__()
        self._epoll = select.epoll.fromfd(os.dup(self.fileno()))  # another handle on the same set
        self._streams: dict[int, Callable[[], None]] = {}
        self.rest: Rest | None = None
        self.asked = False  # something was scheduled on the loop meanwhile

    def watch(self, fd: int, readable: Callable[[], None]) -> None:
        self._streams[fd] = readable
        self._epoll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        if self._streams.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        poll, streams = self._epoll.poll, self._streams
        self.asked = False
        until_s = None if timeout is None else time.monotonic() + timeout
        wait_s: float | None = timeout
        while True:
            ready = poll(wait_s, _AT_ONCE)
            others: list[tuple[selectors.SelectorKey, int]] = []
            for fd, events in ready:
                readable = streams.get(fd)
                if readable is not None:
                    readable()
                else:
                    self._note(fd, events, others)
            if others or self.asked or not ready:
                return others
            now_s = time.monotonic()
            if self.rest is not None and (rest_s := self.rest.after(len(ready), now_s)) > 0 and len(ready) < _AT_ONCE:
                time.sleep(rest_s)
                now_s = self.rest.woken(now_s, time.monotonic())
            if until_s is not None:
                wait_s = until_s - now_s
                if wait_s <= 0:
                    return others

    def _note(self, fd: int, events: int, others: list[tuple[selectors.SelectorKey, int]]) -> None:
        try:
            key = self.get_map()[fd]
        except KeyError:  # a stream that the callback of another one has just closed
            return
        mask = (selectors.EVENT_READ if events & ~select.EPOLLOUT else 0) | (
            selectors.EVENT_WRITE if events & ~select.EPOLLIN else 0
        )
        if mask & key.events:
            others.append((key, mask & key.events))

    def close(self) -> None:
        self._epoll.close()
        super().close()


class StreamLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that also serves streams, by `watch`."""

    def __init__(self) -> None:
        self._streams = _StreamSelector()
        super().__init__(self._streams)

    def watch(self, sock: socket.socket, readable: Callable[[], None]) -> None:
        """Call `readable` whenever `sock` has bytes, or its end, to be read. It must not raise."""
        self._streams.watch(sock.fileno(), readable)

    def unwatch(self, sock: socket.socket) -> None:
        """Undo `watch`; before the socket is closed."""
        self._streams.unwatch(sock.fileno())

    def rest_between(self, rest: Rest | None) -> None:
        """Rest between two looks at the streams as `rest` says; None ends that."""
        self._streams.rest = rest

    def call_soon(self, *args: Any, **context: Any) -> asyncio.Handle:  # type: ignore[override]  # passed on as they are
        """As asyncio's; a stream's callback that schedules something gives asyncio its turn."""
        self._streams.asked = True
        return super().call_soon(*args, **context)

    def call_at(self, *args: Any, **context: Any) -> asyncio.TimerHandle:  # type: ignore[override]  # passed on as they are
        """As asyncio's; a stream's callback that schedules something gives asyncio its turn."""
        self._streams.asked = True
        return super().call_at(*args, **context)


def make_loop() -> asyncio.AbstractEventLoop:
    """The best loop of this system."""
    if hasattr(select, "epoll"):
        return StreamLoop()
    import uvloop

    return uvloop.new_event_loop()
