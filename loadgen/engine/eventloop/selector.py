"""What waits for bytes on many streams and serves them at once, between two turns of asyncio. Linux only.

A selector of an asyncio loop that keeps its streams to itself. A stream is served without a trip through asyncio's queues: on
a busy machine that trip costs more than the read. asyncio gets its turn as soon as anything of its own is due. This one asks
epoll which streams have bytes and lets each read its own; ring.py has one that lets the kernel receive.
"""

import os
import select
import selectors
import socket
import time
from typing import Protocol

from loadgen.engine.eventloop.read_log import ReadLog
from loadgen.engine.records.record import ReadsBy

PAUSE_S = 0.001
_DECIDE_EVERY_S = 0.02
_MIN_EVENTS = 4  # that one wake-up should read
_OVERSLEPT_S = 2 * PAUSE_S
_OFF_S = 0.5  # after one pause that the system made longer: it is busy, and bytes would wait for this process
_MAX_UNSTAMPED = 20  # the first read of a socket may lack a stamp
_PAUSES_PER_GAP = 8  # between two events of one stream: what the streams do is not all that regular

Events = list[tuple[selectors.SelectorKey, int]]

_AT_ONCE = 64  # streams served between two looks: after so many a timer that has become due is seen


class Reader(Protocol):
    """One stream, as a selector sees it. None of these may raise."""

    def readable(self) -> None:
        """There are bytes, or the end: read them."""

    def arrived(self, received: bytes, stamp: bytes | None) -> None:
        """These bytes were received, none at the end; `stamp` is the kernel's, 16 bytes, if it gave one."""

    def writable(self) -> None:
        """There is room to send more, or the connection broke."""

    def lost(self, error: OSError) -> None:
        """The connection broke."""


class PollPacer:
    """How long to pause before polling again, so that one wake-up, which costs more than a read, reads several streams. Pure.

    Decides for `streams` streams of about equal pace: off until enough is known, and whenever it would gain nothing. Where the
    kernel stamps arrivals a later read reports the same timestamps, as long as no stream gets a second event meanwhile: so the
    pause is short against the time between two events of one stream. A closed loop sends its next request later by at most one
    pause; an open loop must not pause.
    """

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._since_s = 0.0
        self._served = 0
        self._unstamped = 0
        self.pause_s = 0.0
        self._off_until_s = 0.0

    def pause_after(self, served: int, now_s: float) -> float:
        """Seconds to pause after a poll that read `served` streams and ended at `now_s`."""
        self._served += served
        counted_s = now_s - self._since_s
        if counted_s >= _DECIDE_EVERY_S:
            expected = self._served / counted_s * PAUSE_S  # events within one pause
            seldom_twice = expected * _PAUSES_PER_GAP <= self._streams
            allowed = now_s >= self._off_until_s and self._unstamped <= _MAX_UNSTAMPED
            self.pause_s = PAUSE_S if allowed and expected >= _MIN_EVENTS and seldom_twice else 0.0
            self._since_s, self._served = now_s, 0
        return self.pause_s

    def note_unstamped(self) -> None:
        """Count a read without a kernel stamp: a pause would be reported as latency."""
        self._unstamped += 1

    def note_pause(self, slept_at_s: float, now_s: float) -> None:
        """Turn pauses off for a while if the one from `slept_at_s` to `now_s` lasted too long."""
        if now_s - slept_at_s > _OVERSLEPT_S:
            self.pause_s, self._off_until_s = 0.0, now_s + _OFF_S


class StreamSelector(selectors.EpollSelector):
    """Pauses between two polls as its `pacer` decides. `asked` is set when something is scheduled: asyncio must have its turn."""

    reads_by: ReadsBy = "epoll"

    def __init__(self) -> None:
        super().__init__()
        self._epoll = select.epoll.fromfd(os.dup(self.fileno()))  # another handle on the same set
        self._readers: dict[int, Reader] = {}
        self.pacer: PollPacer | None = None
        self.asked = False

    @property
    def log(self) -> ReadLog | None:
        """Where the reads of plain answers go, if streams can be read without being looked at."""
        return None

    def watch(self, sock: socket.socket, reader: Reader) -> int:
        """Serve `reader` whenever `sock` has bytes, or its end, to be read; return the stream's token in `log`, if there is one."""
        self._readers[sock.fileno()] = reader
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        return 0

    def unwatch(self, sock: socket.socket) -> None:
        """Undo `watch`; before the socket is closed."""
        if self._readers.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    def watch_for_room(self, sock: socket.socket) -> None:
        """Tell the reader of `sock` once when more can be sent."""
        self._epoll.modify(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def pace(self, pacer: PollPacer) -> None:
        """Pause between two polls as `pacer` decides."""
        self.pacer = pacer

    def note_unstamped(self) -> None:
        """Count a read that came without a kernel stamp."""
        if self.pacer is not None:
            self.pacer.note_unstamped()

    def select(self, timeout: float | None = None) -> Events:
        """Serve streams until something of asyncio's own is ready or was asked for, or the time is over."""
        self.asked = False
        until_s = None if timeout is None else time.monotonic() + timeout
        wait_s = timeout
        pause_s = self.pacer.pause_s if self.pacer is not None else 0.0
        while True:
            served, others = self._serve(wait_s, pause_s if wait_s is None else min(pause_s, wait_s))
            now_s = time.monotonic()
            if self.pacer is not None:
                pause_s = self.pacer.pause_after(served, now_s)
            if others or self.asked or not (served or pause_s):
                return others
            wait_s = None if until_s is None else until_s - now_s
            if wait_s is not None and wait_s <= 0:
                return others

    def _serve(self, wait_s: float | None, pause_s: float) -> tuple[int, Events]:
        """Pause for `pause_s`, or else wait, and serve what is ready: (how many reads, what is asyncio's)."""
        if pause_s and self.pacer is not None:
            from_s = time.monotonic()
            time.sleep(pause_s)
            self.pacer.note_pause(from_s, time.monotonic())
            wait_s = 0
        served = 0
        others: Events = []
        while True:
            ready = self._epoll.poll(wait_s, _AT_ONCE)
            for fd, events in ready:
                reader = self._readers.get(fd)
                if reader is None:
                    self._note(fd, events, others)
                    continue
                if events & select.EPOLLOUT:
                    self._epoll.modify(fd, select.EPOLLIN)
                    reader.writable()
                if events & ~select.EPOLLOUT and fd in self._readers:
                    reader.readable()
            served += len(ready)
            if others or self.asked or len(ready) < _AT_ONCE:
                return served, others
            wait_s = 0

    def _note(self, fd: int, events: int, others: Events) -> None:
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
