"""Where requests go, and the head that all of them share."""

import json
import secrets
from dataclasses import dataclass

import httpx2

from loadgen.engine.wire.route import DIRECT, Route


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. `headers` may hold secrets: they live in memory only, and never in a record."""

    scheme: str
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    route: Route = DIRECT

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts of the headers that must never be kept: their values, a bearer's token alone, and how JSON spells both."""
        values = [value for _, value in (*self.headers, *self.route.secrets)]
        plain = values + [value.split(" ", 1)[1] for value in values if " " in value]
        return tuple(dict.fromkeys(plain + [json.dumps(value)[1:-1] for value in plain]))

    @property
    def url(self) -> httpx2.URL:
        query = self.route.query.encode() or None
        return httpx2.URL(scheme=self.scheme, host=self.host, port=self.port, path=self.path, query=query)

    @property
    def asks_proxy(self) -> bool:
        """Whether the proxy itself reads the request and passes it on: of plain HTTP; through TLS it sees nothing."""
        return self.route.proxy is not None and self.scheme == "http"


def request_head(target: Target) -> bytes:
    """Everything of a request, as a format that takes its index, the length of its body and the body.

    Our headers and the user's, which take the place of ours of the same name. The request's own name in X-Request-Id finds it
    again in the server's log. A proxy that forwards plain HTTP gets the whole URL (RFC 9112, 3.2.2), and the credentials.
    """
    url = target.url
    asked = url.raw_path.decode()
    to_proxy: tuple[tuple[str, str], ...] = ()
    if target.asks_proxy:
        assert target.route.proxy is not None
        asked, to_proxy = f"{url.scheme}://{url.netloc.decode()}{asked}", target.route.proxy.headers
    ours = {
        "Host": url.netloc.decode(),
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "User-Agent": "loadgen",
    }
    theirs = {name.lower() for name, _ in target.headers}
    kept = [(name, value) for name, value in ours.items() if name.lower() not in theirs]
    lines = [
        f"POST {asked} HTTP/1.1",
        *(f"{name}: {value}" for name, value in [*kept, *target.headers, *to_proxy]),
    ]
    head = "".join(f"{line}\r\n" for line in lines).encode().replace(b"%", b"%%")
    run = secrets.token_hex(6).encode()
    return head + b"X-Request-Id: loadgen-" + run + b"-%d\r\nContent-Length: %d\r\n\r\n%b"
