"""A client's connections to addresses that were settled before: no name is looked up, so none can come to mean another host.

The client of httpx2 has no such setting; its connection pool takes whatever opens its connections.
"""

import ssl
from collections.abc import Iterable

import httpcore2
import httpx2


class PinnedTransport(httpx2.HTTPTransport):
    """httpx2's transport, whose every connection goes to the first of `addresses` that answers. The URL still names the server."""

    def __init__(self, addresses: tuple[str, ...], tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)
        self._pool.close()
        self._pool = httpcore2.ConnectionPool(ssl_context=tls, network_backend=_ToAddresses(addresses))


class _ToAddresses(httpcore2.SyncBackend):
    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to one of the addresses in place of `host`. Raises the last one's failure when none answers."""
        for address in self._addresses[:-1]:
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return super().connect_tcp(self._addresses[-1], port, timeout, local_address, socket_options)
