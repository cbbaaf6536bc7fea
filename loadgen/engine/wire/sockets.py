"""A socket before its first request: stamped by the kernel, connected through a proxy, with TLS in memory.

TLS is apart from the socket so that the kernel stamps of reads survive encryption.
"""

import asyncio
import contextlib
import http
import socket
import ssl
import struct

from loadgen.engine.wire.address import Address

SO_TIMESTAMPNS_NEW = 64  # asm-generic/socket.h; the socket module does not name it. Half the bytes of SO_TIMESTAMPING
READ_BYTES = 8192  # more costs: Python allocates all of it for every read. What is left comes with the next one
ANCILLARY_BYTES = 32

# linux/tcp.h, struct tcp_info: tcpi_min_rtt, microseconds, from Linux 4.6 on.
_AT = 148
_FIELD = struct.Struct("=I")
_UNKNOWN = 0xFFFF_FFFF

_HEAD_READ_BYTES = 4096
_MAX_HEAD_BYTES = 65_536
_END_OF_HEAD = b"\r\n\r\n"
_CREDENTIALS_WANTED = 407


def ask_for_kernel_stamps(sock: socket.socket) -> None:
    """Ask for software receive stamps. A no-op elsewhere than on Linux: reads are then stamped at the read, and marked so.

    The kernel begins to stamp for the whole host shortly after the first socket asks, and ends with the last one.
    """
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS_NEW, 1)


def min_round_trip_ns(sock: socket.socket) -> int | None:
    """The least round trip that the kernel has seen of this connection, in its last five minutes; None if it does not report it.

    The kernel times each segment that it has acknowledged, those of the handshake among them, so that nothing is sent for it and
    no delay of the client is in it. The mean would contain the up to 40 ms for which a peer may put an acknowledgement off.
    """
    if not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _AT + _FIELD.size)
    except OSError:  # closed, or of a system that knows the option by name alone
        return None
    if len(info) < _AT + _FIELD.size:
        return None
    (min_us,) = _FIELD.unpack_from(info, _AT)
    return None if min_us in (0, _UNKNOWN) else min_us * 1000


class TlsLayer:
    """TLS for a socket that its owner reads and writes."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    async def handshake(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        """Agree on keys over the connected `sock`. Raises ssl.SSLError or ConnectionError."""
        while True:
            try:
                self._object.do_handshake()
                break
            except ssl.SSLWantReadError:
                await loop.sock_sendall(sock, self._outgoing.read())
                received = await loop.sock_recv(sock, READ_BYTES)
                if not received:
                    raise ConnectionResetError("the server closed the connection during the TLS handshake") from None
                self._incoming.write(received)
        await loop.sock_sendall(sock, self._outgoing.read())

    def encrypt(self, plain: bytes) -> bytes:
        """`plain` as TLS records."""
        self._object.write(plain)
        return self._outgoing.read()

    def decrypt(self, received: bytes) -> tuple[bytes, bool]:
        """(the plain bytes that `received` completes, whether the peer has closed the TLS connection)."""
        self._incoming.write(received)
        parts = []
        try:
            while part := self._object.read(READ_BYTES):
                parts.append(part)
        except ssl.SSLWantReadError:
            return b"".join(parts), False
        except ssl.SSLZeroReturnError:
            pass
        return b"".join(parts), True


async def ask_for_tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, request: bytes) -> None:
    """Ask over the connected `sock`, and return when the proxy has opened the way. Raises ConnectionError when it does not.

    Nothing may follow the proxy's answer: what comes next is TLS, in which the client speaks first.
    """
    await loop.sock_sendall(sock, request)
    head = b""
    while _END_OF_HEAD not in head:
        received = await loop.sock_recv(sock, _HEAD_READ_BYTES)
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


async def connected_socket(loop: asyncio.AbstractEventLoop, address: Address) -> tuple[socket.socket, TlsLayer | None]:
    """Connect to `address`, through its proxy and with TLS if it asks for them. Raises OSError (ssl.SSLError included)."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask_for_kernel_stamps(sock)
        await loop.sock_connect(sock, address.sockaddr)
        if address.tunnel_request is not None:
            await ask_for_tunnel(loop, sock, address.tunnel_request)
        if address.tls is None:
            return sock, None
        tls = TlsLayer(address.tls, address.server_name)
        await tls.handshake(loop, sock)
    except BaseException:
        sock.close()
        raise
    return sock, tls
