"""The selector that lets the kernel receive, through io_uring: what is ready on a thousand streams is there after one call."""

import contextlib
import select
import selectors
import socket
import time
from errno import ECANCELED, ENOBUFS
from os import strerror

from loadgen.engine.eventloop.read_log import ReadLog
from loadgen.engine.eventloop.selector import Events, Reader, StreamSelector
from loadgen.engine.eventloop.uring import (
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
from loadgen.engine.records.record import ReadsBy

_ROOM = 1 << 62  # marks the token of a stream that waits for room to send
_OWN = 0  # the token of asyncio's own descriptors; those of streams are never used twice, and count from 1

# An answer in chunks ends with CRLF 0 CRLF CRLF and an event of one with LF LF CRLF, so that one byte tells most of them apart.
_TELLING_BYTE = -4
_CR = 13
_MIN_PLAIN_BYTES = DATA_AT + 20  # longer than the event [DONE], after which a server may leave the body open

_GATHER_S = 0.00005  # so that one wake-up reads several streams also where there is no pause, as in an open loop


class RingSelector(StreamSelector):
    """As its parent, without asking which stream has bytes. Raises OSError where the system has no io_uring."""

    reads_by: ReadsBy = "io_uring"

    def __init__(self) -> None:
        self._ring = Uring()
        super().__init__()
        self._log = ReadLog()
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

        What arrives while `log` allows it is kept there, without a call to the reader.
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
            # Before another socket gets this one's number: what was asked of this one would be asked of that one.
            with contextlib.suppress(OSError):
                self._ring.submit()

    def watch_for_room(self, sock: socket.socket) -> None:
        """Tell the reader of `sock` once when more can be sent."""
        token = self._tokens[sock.fileno()]
        self._senders.add(token)
        self._ring.poll(sock.fileno(), select.POLLOUT, token | _ROOM)

    def _serve(self, wait_s: float | None, pause_s: float) -> tuple[int, Events]:
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
            gather_s = max(pause_s, _GATHER_S)
            if wait_s is not None:
                gather_s = min(gather_s, wait_s)
            served = self._take(ring.wait(len(streams) + 1, gather_s, wait_s))
        return served, ([] if self._own_is_watched else selectors.EpollSelector.select(self, 0))

    def _take(self, completions: bytes) -> int:
        """Hand each completion to its reader or to the log; return how many were reads."""
        log, pool = self._log, self._ring.pool
        allowed = log.allowed
        begin = log.place
        taken_ns = time.time_ns()
        plain: list[bytes] = []
        looked_at: list[int] = []
        others = 0  # completions that brought no bytes; the three add up to the place, which costs more to count on
        for token, length, flags in COMPLETION.iter_unpack(completions):
            if flags & HAS_BUFFER:
                left = allowed[token] - length + DATA_AT
                at = (flags >> BUFFER_SHIFT) * BUFFER_BYTES
                read = pool[at : at + length]
                if left > 0 and length >= _MIN_PLAIN_BYTES and read[_TELLING_BYTE] != _CR:
                    allowed[token] = left
                    plain.append(read)
                else:
                    log.place = begin + len(plain) + len(looked_at) + others
                    looked_at.append(log.place)
                    self._look_at(token, read)
                if not flags & GOES_ON and length > DATA_AT:
                    self._go_on(token)
            else:
                log.place = begin + len(plain) + len(looked_at) + others
                others += 1
                self._serve_other(token, length)
        log.place = begin + len(completions) // COMPLETION.size
        if plain:
            log.append(begin, taken_ns, completions, looked_at, b"".join(plain))
            if not plain[0][ANCILLARY_LENGTH_AT]:
                self.note_unstamped()
        reads = len(plain) + len(looked_at)
        self._ring.give_back(reads)
        return reads

    def _look_at(self, token: int, read: bytes) -> None:
        """Hand a read, as it lies in its buffer, to its reader."""
        stream = self._streams.get(token)
        if stream is not None:
            stream.arrived(read[DATA_AT:], read[STAMP_AT:DATA_AT] if read[ANCILLARY_LENGTH_AT] else None)

    def _serve_other(self, token: int, result: int) -> None:
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
        self._ring.close()
        super().close()
