"""The selector that lets the kernel receive, through io_uring: what is ready on a thousand streams is there after one call."""

import select
import selectors
import socket
from errno import ECANCELED, ENOBUFS
from os import strerror

from loadgen.engine.record import ReadsBy
from loadgen.engine.selector import Events, Reader, StreamSelector
from loadgen.engine.uring import (
    ANCILLARY_LENGTH_AT,
    AT_ONCE,
    BUFFER_BYTES,
    BUFFER_SHIFT,
    DATA_AT,
    GOES_ON,
    HAS_BUFFER,
    STAMP_AT,
    Completion,
    Uring,
)

_OWN = 0  # the token of asyncio's own descriptors; those of streams are never used twice, and count from 1

_GATHER_S = 0.00005  # so that one waking reads several streams also where there is no rest, as in an open loop


class RingSelector(StreamSelector):
    """As its parent, without asking which stream has bytes. Raises OSError where the system has no io_uring."""

    name: ReadsBy = "io_uring"

    def __init__(self) -> None:
        self._ring = Uring()
        super().__init__()
        self._streams: dict[int, Reader] = {}  # by token
        self._descriptors: dict[int, int] = {}  # by token
        self._tokens: dict[int, int] = {}  # by descriptor
        self._senders: dict[int, tuple[Reader, int]] = {}  # those that wait for room
        self._sender_tokens: dict[int, int] = {}  # by descriptor
        self._next_token = _OWN
        self._own_is_watched = False

    def watch(self, sock: socket.socket, reader: Reader) -> None:
        """Serve `reader` with whatever `sock` receives."""
        token, fd = self._new_token(), sock.fileno()
        self._streams[token] = reader
        self._descriptors[token] = fd
        self._tokens[fd] = token
        self._ring.receive(fd, token)

    def unwatch(self, sock: socket.socket) -> None:
        """Undo `watch`; before the socket is closed, which takes effect with the next turn of the loop."""
        token = self._tokens.pop(sock.fileno(), None)
        if token is not None:
            del self._streams[token], self._descriptors[token]
            self._ring.cancel(token)
        token = self._sender_tokens.pop(sock.fileno(), None)
        if token is not None:
            del self._senders[token]
            self._ring.cancel(token)

    def watch_for_room(self, sock: socket.socket) -> None:
        """Tell the reader of `sock` once when more can be sent."""
        token, fd = self._new_token(), sock.fileno()
        self._senders[token] = self._streams[self._tokens[fd]], fd
        self._sender_tokens[fd] = token
        self._ring.poll(fd, select.POLLOUT, token)

    def _new_token(self) -> int:
        self._next_token += 1
        return self._next_token

    def _serve(self, wait_s: float | None, rest_s: float) -> tuple[int, Events]:
        ring, streams = self._ring, self._streams
        if not self._own_is_watched:
            ring.poll(self.fileno(), select.POLLIN, _OWN)
            self._own_is_watched = True
        if wait_s is not None and wait_s <= 0:
            served = 0
            while True:
                completions = ring.wait(0, 0, 0)
                served += self._take(completions)
                if len(completions) < AT_ONCE:
                    break
        else:
            gather_s = max(rest_s, _GATHER_S)
            if wait_s is not None:
                gather_s = min(gather_s, wait_s)
            served = self._take(ring.wait(len(streams) + 1, gather_s, wait_s))
        return served, ([] if self._own_is_watched else selectors.EpollSelector.select(self, 0))

    def _take(self, completions: list[Completion]) -> int:
        """Give every completion to whom it belongs; how many of them were reads."""
        pool, streams = self._ring.pool, self._streams
        reads = 0
        for token, length, flags in completions:
            if flags & HAS_BUFFER:
                reads += 1
                stream = streams.get(token)
                if stream is not None:
                    at = (flags >> BUFFER_SHIFT) * BUFFER_BYTES
                    stamp = pool[at + STAMP_AT : at + DATA_AT] if pool[at + ANCILLARY_LENGTH_AT] else None
                    stream.arrived(pool[at + DATA_AT : at + length], stamp)
                    if not flags & GOES_ON and length > DATA_AT:
                        self._go_on(token)
            elif token == _OWN:
                self._own_is_watched = False
            elif token in self._senders:
                sender, fd = self._senders.pop(token)
                del self._sender_tokens[fd]
                sender.writable()
            elif length == -ENOBUFS:
                self._go_on(token)
            elif length != -ECANCELED and token in streams:
                streams[token].lost(OSError(-length, strerror(-length)))
        self._ring.give_back(reads)
        return reads

    def _go_on(self, token: int) -> None:
        """Receive again: the kernel had stopped for want of room, and not because the stream had ended."""
        if token in self._streams:
            self._ring.receive(self._descriptors[token], token)

    def close(self) -> None:
        """Give the ring up, and what it watched."""
        self._ring.close()
        super().close()
