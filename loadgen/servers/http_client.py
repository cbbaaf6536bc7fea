"""The HTTP client for questions next to the measurement: same headers, query and route as the measured requests.

A reply is read up to a limit of bytes and of time, whatever the server sends.
"""

import json
import os
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import httpcore2
import httpx2

from loadgen.engine.wire.open_bodies import DONE_TAIL_BYTES, says_done
from loadgen.engine.wire.route import DIRECT, Route
from loadgen.servers.redaction import redact

Headers = tuple[tuple[str, str], ...]

MAX_REPLY_BYTES = 32 << 20  # the longest lists of models have one or two million


@dataclass(frozen=True, slots=True)
class Fetched:
    """A response that was read as far as the limits allow."""

    status: int
    content: bytes
    retry_after: str | None = None

    @property
    def json(self) -> Any:
        """The content as JSON, None if it is none."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None

    @property
    def object(self) -> dict[str, object]:
        """The JSON object in it, or an empty one for anything else."""
        value = self.json
        return value if isinstance(value, dict) else {}


def open_client(headers: Headers, timeout_s: float, route: Route = DIRECT) -> httpx2.Client:
    """A client for questions beside the measurement, with these headers on each request. It follows no redirect."""
    tls, proxy, transport = _tls_context(route), None, None
    if route.addresses:
        transport = PinnedTransport(route.addresses, tls)
    elif route.proxy is not None:
        auth = None if route.proxy.user is None else (route.proxy.user, route.proxy.password)
        proxy = httpx2.Proxy(f"http://{route.proxy.name}", auth=auth)
    # The proxy variables have been read, for the measured requests too, where the route was made; here they are left alone.
    return httpx2.Client(
        headers=dict(headers),
        params=route.query_pairs,
        timeout=timeout_s,
        trust_env=False,
        verify=tls,
        proxy=proxy,
        transport=transport,
    )


def _tls_context(route: Route) -> ssl.SSLContext:
    """The context of the route. The system's authorities are read once, which takes 10 ms, and shared by all clients."""
    if route.ca_file is not None:
        return route.tls_context()
    return _with_system_authorities(route.insecure, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=8)
def _with_system_authorities(insecure: bool, file: str | None, folder: str | None) -> ssl.SSLContext:
    """A context for the present values of the variables that say where the authorities are."""
    return Route(insecure=insecure).tls_context()


def fetch(
    client: httpx2.Client,
    url: str,
    body: bytes | None = None,
    *,
    limit_s: float = 30.0,
    max_bytes: int = MAX_REPLY_BYTES,
) -> Fetched:
    """GET `url`, or POST `body` to it. Raise httpx2.TransportError, also where the body is not compressed as it says.

    What comes after the limits, or after the `[DONE]` of a stream, is left unread: some servers leave the body open after it.
    """
    until_s = time.monotonic() + limit_s
    headers = {} if body is None else {"Content-Type": "application/json"}
    content = bytearray()
    with client.stream("GET" if body is None else "POST", url, content=body, headers=headers) as response:
        try:
            for piece in response.iter_bytes():
                content += piece
                is_over = len(content) > max_bytes or time.monotonic() > until_s
                if is_over or says_done(b"\n" + content[-DONE_TAIL_BYTES:]):
                    break
        except httpx2.DecodingError as error:
            raise httpx2.RemoteProtocolError(f"the body cannot be decompressed: {error}") from error
        return Fetched(response.status_code, bytes(content), response.headers.get("retry-after"))


def reason_of(error: BaseException, headers: Headers) -> str:
    """The innermost cause in words: `connection refused`, `name or service not known`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or cause})".lower().replace("tls", "TLS", 1).replace("_", " ")
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror[0].lower() + cause.strerror[1:]
        cause = cause.__cause__ or cause.__context__
    text = redact(str(error).removeprefix("[Errno 111] "), headers)
    return text[0].lower() + text[1:] if text else type(error).__name__


class PinnedTransport(httpx2.HTTPTransport):
    """httpx2's transport, whose every connection goes to the first of `addresses` that answers. The URL still names the server.

    The client of httpx2 has no such setting; its connection pool takes whatever opens its connections.
    """

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
