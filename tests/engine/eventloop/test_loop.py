"""A loop that is not ours serves streams too, through asyncio."""

import asyncio
import socket
from contextlib import closing

import pytest

from loadgen.engine.eventloop.loop import watcher_of

pytestmark = pytest.mark.loopback


class Seen:
    """A stream that counts how often it is called."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.rooms = 0

    def readable(self) -> None:
        self.received += self.sock.recv(100)

    def arrived(self, received: bytes, stamp: bytes | None) -> None:
        raise AssertionError("asyncio does not read by itself")

    def writable(self) -> None:
        self.rooms += 1

    def lost(self, error: OSError) -> None:
        raise AssertionError(error)


def test_asyncio_calls_a_reader_for_bytes_and_once_for_room() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with closing(ours), closing(theirs):
            ours.setblocking(False)
            seen = Seen(ours)
            watcher = watcher_of(asyncio.get_running_loop())
            assert (watcher.reads_by, watcher.log) == ("asyncio", None)
            watcher.watch(ours, seen)
            theirs.send(b"event")
            watcher.watch_for_room(ours)
            for _ in range(5):
                await asyncio.sleep(0)
            assert (seen.received, seen.rooms) == (b"event", 1)
            watcher.watch_for_room(ours)
            watcher.unwatch(ours)
            theirs.send(b"more")
            for _ in range(5):
                await asyncio.sleep(0)
            assert (seen.received, seen.rooms) == (b"event", 1)

    asyncio.run(main())
