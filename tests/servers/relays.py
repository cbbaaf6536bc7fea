"""What stands between a client and a server on this host: an end of TLS, and an HTTP proxy. In a thread, for as long as a block lasts.

The proxy takes every name for 127.0.0.1, so that a test can name a server that is not on this host.
"""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

NAME = "model.test"
"""A server's name that the certificates are made for, and that nobody but the proxy can look up."""

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that signs itself, for `NAME` and the loopback address."""

    certificate: Path
    context: ssl.SSLContext

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        subprocess.run(
            (
                f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={NAME} "
                f"-addext subjectAltName=DNS:{NAME},IP:127.0.0.1 -keyout {key} -out {certificate}"
            ).split(),
            check=True,
            capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return cls(certificate, context)


@dataclass
class Proxy:
    """A running proxy and what it was asked: the first line of each request, and the credentials it came with."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    credentials: list[str | None] = field(default_factory=list)


@contextmanager
def terminating(authority: Authority, port: int) -> Iterator[int]:
    """The port of an end of TLS before the server at `port`."""
    with _listening(_relay_to(port, []), authority.context) as own_port:
        yield own_port


@contextmanager
def listened_to(port: int) -> Iterator[tuple[int, list[bytearray]]]:
    """A port that leads to the server at `port`, and what clients said over each of its connections."""
    heard: list[bytearray] = []
    with _listening(_relay_to(port, heard)) as own_port:
        yield own_port, heard


def _relay_to(port: int, heard: list[bytearray]) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = await asyncio.open_connection("127.0.0.1", port)
        heard.append(bytearray())
        await asyncio.gather(_pump(reader, onward[1], heard[-1]), _pump(onward[0], writer))

    return talk


@contextmanager
def proxying(wanted: str | None = None) -> Iterator[Proxy]:
    """A proxy for CONNECT and for plain HTTP, which wants the header Proxy-Authorization to be `wanted`."""
    proxy = Proxy()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        answers: asyncio.Task[None] | None = None
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            proxy.asked.append(first)
            proxy.credentials.append(headers.get("proxy-authorization"))
            if wanted is not None and headers.get("proxy-authorization") != wanted:
                writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                break
            method, target, version = first.split(" ")
            authority = target if method == "CONNECT" else target.split("/")[2]
            try:
                onward = onward or await asyncio.open_connection("127.0.0.1", int(authority.rpartition(":")[2]))
            except OSError:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                break
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_pump(reader, onward[1]), _pump(onward[0], writer))
                break
            answers = answers or asyncio.create_task(_pump(onward[0], writer))
            path = "/" + target.split("/", 3)[3]
            kept = [line for line in lines if not line.lower().startswith("proxy-")]
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            onward[1].write("\r\n".join([f"{method} {path} {version}", *kept, "", ""]).encode("latin-1") + body)
            await onward[1].drain()
        if onward is not None:
            onward[1].close()
        if answers is not None:
            await answers

    with _listening(talk) as port:
        proxy.port = port
        yield proxy


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytearray | None = None) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            if said is not None:
                said += data
            writer.write(data)
            await writer.drain()
    writer.close()


@contextmanager
def _listening(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    loop = asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            await talk(reader, writer)
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls))
    loop.set_exception_handler(lambda loop, context: None)  # a client that refuses the certificate is no fault of ours
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(_end_all())
        loop.close()


async def _end_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
