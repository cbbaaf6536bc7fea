"""A server of exactly the bytes a test wants: each connection follows its script. Real sockets on 127.0.0.1."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

Script = Callable[["Peer"], Awaitable[None]]


@dataclass
class Peer:
    """The server's side of one connection. `ordinal` counts connections from 0."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ordinal: int

    async def request(self) -> bytes:
        """The next request, head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        return head + await self.reader.readexactly(length)

    async def send(self, *pieces: bytes, pause_s: float = 0.005) -> None:
        """Write the pieces one by one, far enough apart to be read one by one."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause_s)

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.writer.transport.abort()


@dataclass
class Wire:
    """A running server and what it saw."""

    port: int = 0
    connections: int = 0


@asynccontextmanager
async def serving(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Run `script` for each connection until the block ends."""
    wire = Wire()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, wire.connections)
        wire.connections += 1
        try:
            await script(peer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()


def event(text: str, finish: str | None = None) -> bytes:
    """One completions chunk as an event."""
    end = f'"{finish}"' if finish else "null"
    return b'data: {"choices":[{"index":0,"text":"%b","finish_reason":%b}]}\n\n' % (text.encode(), end.encode())


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of the chunked transfer encoding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED_HEAD = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
EVENTS = (event("a"), event("b"), event("c", "length"), b"data: [DONE]\n\n")
