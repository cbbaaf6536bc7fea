"""The selector that lets the kernel receive, through io_uring: what is ready on a thousand streams is there after one call."""

import select
import selectors
import socket
from collections.abc import Iterable
from errno import ECANCELED, ENOBUFS
from os import strerror

import numpy as np

from loadgen.engine.readlog import ReadLog
from loadgen.engine.record import ReadsBy
from loadgen.engine.selector import Events, Reader, StreamSelector
from loadgen.engine.uring import (
    ANCILLARY_LENGTH_AT,
    AT_ONCE,
    BUFFER_BYTES,
    BUFFER_SHIFT,
    COMPLETION,
    DATA_AT,
    GOES_ON,
    HAS_BUFFER,
    STAMP_AT,
    Uring,
)

_ROOM = 1 << 62  # marks the token of a stream that waits for room to send
_OWN = 0  # the token of asyncio's own descriptors; those of streams are never used twice, and count from 1

# An answer in chunks ends with CRLF 0 CRLF CRLF and an event of one with LF LF CRLF, so that one byte tells most of them apart.
_TELLING_BYTE = -4
_CR = 13
_SHORTEST = DATA_AT - _TELLING_BYTE
_USUAL = HAS_BUFFER | GOES_ON

_MANY = 32  # from so many on NumPy costs less than it saves
_COMPLETIONS = np.dtype([("token", "i8"), ("result", "i4"), ("flags", "i4")])

_GATHER_S = 0.00005  # so that one waking reads several streams also where there is no rest, as in an open loop


class RingSelector(StreamSelector):
    """As its parent, without asking which stream has bytes. Raises OSError where the system has no io_uring."""

    name: ReadsBy = "io_uring"

    def __init__(self) -> None:
        self._ring = Uring()
        super().__init__()
        self._log = ReadLog()
        self._pool = np.frombuffer(self._ring.pool, dtype=np.uint8)
        self._streams: dict[int, Reader] = {}  # by token
        self._descriptors: dict[int, int] = {}  # by token
        self._tokens: dict[int, int] = {}  # by descriptor
        self._senders: set[int] = set()  # tokens of those that wait for room
        self._next_token = _OWN
        self._own_is_watched = False

    @property
    def log(self) -> ReadLog:
        """Where the reads of plain answers go."""
        return self._log

    def watch(self, sock: socket.socket, reader: Reader) -> int:
        """Serve `reader` with whatever `sock` receives; returns the stream's token in `log`.

        What arrives while `log` allows it is kept there, and the reader not told.
        """
        self._next_token = token = self._next_token + 1
        fd = sock.fileno()
        self._log.make_room_for(token)
        self._streams[token] = reader
        self._descriptors[token] = fd
        self._tokens[fd] = token
        self._ring.receive(fd, token)
        return token

    def unwatch(self, sock: socket.socket) -> None:
        """Undo `watch`; before the socket is closed, which takes effect with the next turn of the loop."""
        token = self._tokens.pop(sock.fileno(), None)
        if token is not None:
            del self._streams[token], self._descriptors[token]
            self._ring.cancel(token)
            if token in self._senders:
                self._senders.remove(token)
                self._ring.cancel(token | _ROOM)

    def watch_for_room(self, sock: socket.socket) -> None:
        """Tell the reader of `sock` once when more can be sent."""
        token = self._tokens[sock.fileno()]
        self._senders.add(token)
        self._ring.poll(sock.fileno(), select.POLLOUT, token | _ROOM)

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
                if len(completions) < AT_ONCE * COMPLETION.size:
                    break
        else:
            gather_s = max(rest_s, _GATHER_S)
            if wait_s is not None:
                gather_s = min(gather_s, wait_s)
            served = self._take(ring.wait(len(streams) + 1, gather_s, wait_s))
        return served, ([] if self._own_is_watched else selectors.EpollSelector.select(self, 0))

    def _take(self, completions: bytes) -> int:
        """Give every completion to whom it belongs; how many of them were reads."""
        log, pool = self._log, self._ring.pool
        allowed = log.allowed
        begin = log.place
        width = others = 0
        if len(completions) >= _MANY * COMPLETION.size:
            rest, width = self._without_plain(completions)
        else:
            rest = enumerate(COMPLETION.iter_unpack(completions))
        looked_at: list[int] = []
        for number, (token, length, flags) in rest:
            if flags & HAS_BUFFER:
                left = allowed[token] - length + DATA_AT
                end = (flags >> BUFFER_SHIFT) * BUFFER_BYTES + length
                if left > 0 and length >= _SHORTEST and pool[end + _TELLING_BYTE] != _CR:
                    allowed[token] = left
                    if length > width:
                        width = length
                else:
                    log.place = begin + number
                    looked_at.append(log.place)
                    self._look_at(token, end - length, length)
                if not flags & GOES_ON and length > DATA_AT:
                    self._go_on(token)
            else:
                others += 1
                log.place = begin + number
                self._serve_other(token, length)
        log.place = begin + len(completions) // COMPLETION.size
        reads = log.place - begin - others
        if width:
            first = self._ring.first_buffer
            log.append(begin, completions, looked_at, first, width, self._ring.beginnings(first, reads, width))
        self._ring.give_back(reads)
        return reads

    def _without_plain(self, completions: bytes) -> tuple[Iterable[tuple[int, tuple[int, int, int]]], int]:
        """(what is to be served one by one, each with its number; the length of the longest read that is not).

        The same as for few, by NumPy: plain reads pass by. After a read that is not plain its stream's later ones may not be.
        """
        each = np.frombuffer(completions, dtype=_COMPLETIONS)
        token, length, flags = each["token"], each["result"], each["flags"]
        brought = length - DATA_AT
        left = self._log.allowances.take(token, mode="clip") - brought
        end = (flags >> BUFFER_SHIFT) * BUFFER_BYTES + length
        plain = self._pool.take(end + _TELLING_BYTE, mode="clip") != _CR
        plain &= (left > 0) & (length >= _SHORTEST) & (flags & _USUAL == _USUAL)
        if plain.all():
            np.subtract.at(self._log.allowances, token, brought)
            return (), int(length.max())
        plain &= ~np.isin(token, token[~plain])
        np.subtract.at(self._log.allowances, token[plain], brought[plain])
        rest = np.flatnonzero(~plain)
        return zip(rest.tolist(), each[rest].tolist(), strict=True), int(length.max(where=plain, initial=0))

    def _look_at(self, token: int, at: int, length: int) -> None:
        """Hand a read of `length` bytes with its head, at that place of the pool, to its reader."""
        stream = self._streams.get(token)
        if stream is not None:
            pool = self._ring.pool
            stamp = pool[at + STAMP_AT : at + DATA_AT] if pool[at + ANCILLARY_LENGTH_AT] else None
            stream.arrived(pool[at + DATA_AT : at + length], stamp)

    def _serve_other(self, token: int, result: int) -> None:
        """A completion that brings no bytes."""
        if token == _OWN:
            self._own_is_watched = False
        elif token & _ROOM:
            if token ^ _ROOM in self._senders:
                self._senders.remove(token ^ _ROOM)
                self._streams[token ^ _ROOM].writable()
        elif result == -ENOBUFS:
            self._go_on(token)
        elif result != -ECANCELED and token in self._streams:
            self._streams[token].lost(OSError(-result, strerror(-result)))

    def _go_on(self, token: int) -> None:
        """Receive again: the kernel had stopped for want of room, and not because the stream had ended."""
        if token in self._streams:
            self._ring.receive(self._descriptors[token], token)

    def close(self) -> None:
        """Give the ring up, and what it watched."""
        self._ring.close()
        super().close()
