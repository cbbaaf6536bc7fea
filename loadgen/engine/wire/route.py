"""The way to a server: through which proxy, to which addresses, and whose certificates are believed. Pure data and the TLS context made of it.

A proxy's password lives in memory alone: it is in no repr, no message and no record.
"""

import base64
import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, with the user and password that it wants, if any."""

    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """`host:port`, for people and for the record; never with the password."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Headers for the proxy: `Proxy-Authorization`, if it wants that."""
        if self.user is None:
            return ()
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return (("Proxy-Authorization", f"Basic {token}"),)


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach one server. `ca_file` (PEM) takes the place of the system's authorities; `insecure` believes anybody.

    With `addresses` (IP addresses as text) the server's name is not looked up any more: no connection goes elsewhere, whatever
    the name has come to stand for. That is for a way without a proxy, which would look it up by itself.
    """

    proxy: Proxy | None = None
    ca_file: str | None = None
    insecure: bool = False
    addresses: tuple[str, ...] = ()
    query: str = field(default="", repr=False)  # of the server's URL, sent with every request; may hold a key
    query_secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.addresses and self.proxy is not None:
            raise ValueError("addresses say where to connect, and a proxy would connect elsewhere")

    def tls_context(self) -> ssl.SSLContext:
        """A client's context. Raises OSError (ssl.SSLError included) when the file cannot be read or holds no certificate."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    @property
    def secrets(self) -> tuple[tuple[str, str], ...]:
        """What must never be repeated, as pairs of a name and a value, like headers."""
        if self.proxy is None or self.proxy.user is None:
            return self.query_secrets
        return (*self.proxy.headers, ("proxy password", self.proxy.password), *self.query_secrets)

    @property
    def query_pairs(self) -> list[tuple[str, str | int | float | bool | None]]:
        """The parameters of `query`."""
        return list(parse_qsl(self.query, keep_blank_values=True))


DIRECT = Route()
"""No proxy, and the system's authorities."""
