"""A way through an HTTP proxy: what asks for it (CONNECT, RFC 9110 section 9.3.6), and its answer. Before TLS, never in a run's midst."""

import asyncio
import http
import socket

from loadgen.engine.wire.route import Proxy

_READ_BYTES = 4096
_MAX_HEAD_BYTES = 65_536
_END_OF_HEAD = b"\r\n\r\n"
_CREDENTIALS_WANTED = 407


def tunnel_request(host: str, port: int, proxy: Proxy) -> bytes:
    """The bytes that ask `proxy` for a connection to `host`."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", "User-Agent: loadgen"]
    lines += [f"{name}: {value}" for name, value in proxy.headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def ask_for_tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, request: bytes) -> None:
    """Ask over the connected `sock`, and return when the proxy has opened the way. Raises ConnectionError when it does not.

    Nothing may follow the proxy's answer: what comes next is TLS, in which the client speaks first.
    """
    await loop.sock_sendall(sock, request)
    head = b""
    while _END_OF_HEAD not in head:
        received = await loop.sock_recv(sock, _READ_BYTES)
        if not received:
            raise ConnectionResetError("the proxy closed the connection before it opened a way through")
        head += received
        if len(head) > _MAX_HEAD_BYTES:
            raise ConnectionError("the proxy's answer to CONNECT has no end")
    version, _, rest = head.partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/1.") or not code.isdigit():
        raise ConnectionError("what answers CONNECT is no HTTP proxy")
    status = int(code)
    if not 200 <= status < 300:
        raise ConnectionError(f"the proxy refused the way through: {status} {_phrase(status)}")
    if not head.endswith(_END_OF_HEAD):
        raise ConnectionError("the proxy sent more than its answer to CONNECT")


def _phrase(status: int) -> str:
    """The status in words, and where the password goes; not the proxy's own words, which may repeat what it was sent."""
    if status == _CREDENTIALS_WANTED:
        return "(it wants a user and password, or others: put them into the proxy variable's URL)"
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "(unknown)"
