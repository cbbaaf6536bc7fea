"""TLS in memory, apart from the socket, so that the kernel stamps of reads survive encryption."""

import asyncio
import socket
import ssl

from loadgen.engine.wire.socket_options import READ_BYTES


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
