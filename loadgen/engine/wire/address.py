"""Where to connect: the addresses of a server, or of the proxy that leads to it."""

import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

from loadgen.engine.wire.route import DIRECT, Proxy, Route


class ConnectFailedError(Exception):
    """No connection: an unknown name, nobody listening, a certificate that does not hold. The message is the reason."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect: a resolved socket address, and the name to verify when `tls` is set.

    It may be a proxy's, `proxy_name`; `tunnel_request` is then what asks it for a way through, where it must be asked.
    """

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]
    server_name: str
    tls: ssl.SSLContext | None = None
    proxy_name: str | None = None
    tunnel_request: bytes | None = field(default=None, repr=False)  # which may hold a password

    @property
    def name(self) -> str:
        """`host:port`, for people."""
        if self.proxy_name is not None:
            return f"{self.server_name} through the proxy {self.proxy_name}"
        return f"{self.server_name}:{self.sockaddr[1]}"


def tunnel_request(host: str, port: int, proxy: Proxy) -> bytes:
    """The bytes that ask `proxy` for a connection to `host`."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", "User-Agent: loadgen"]
    lines += [f"{name}: {value}" for name, value in proxy.headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def resolve(scheme: str, host: str, port: int, route: Route = DIRECT) -> list[Address]:
    """The addresses of `host`, or of the proxy on the way, looked up once, in the order to try; the proxy looks up the host.

    Where the route has addresses, these are the addresses, and nothing is looked up.
    Raises ConnectFailedError when the name is unknown, and when the authorities of the route cannot be read.
    """
    proxy = route.proxy
    asked_host, asked_port = (host, port) if proxy is None else (proxy.host, proxy.port)
    try:
        found = [
            entry
            for each in route.addresses or (asked_host,)
            for entry in socket.getaddrinfo(
                each, asked_port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST if route.addresses else 0
            )
        ]
    except OSError as error:
        what = asked_host if proxy is None else f"the proxy {asked_host}"
        raise ConnectFailedError(f"cannot resolve {what}: {error.strerror or error}") from error
    tls, through = None, None
    if scheme == "https":
        try:
            tls = route.tls_context()
        except OSError as error:
            raise ConnectFailedError(f"the authorities in {route.ca_file} cannot be read: {error}") from error
        tls.set_alpn_protocols(["http/1.1"])
        through = None if proxy is None else tunnel_request(host, port, proxy)
    name = None if proxy is None else proxy.name
    return [Address(family, sockaddr, host, tls, name, through) for family, _, _, _, sockaddr in found]
