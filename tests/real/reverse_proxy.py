"""A small reverse proxy, as gateways are in the wild: no list of models, another content type, keep-alives, several servers behind it."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from threading import Lock

import httpx2

from tests.servers.http_server import listening

KEEP_ALIVE = b": keep-alive\n\n"
_HOP = ("connection", "content-length", "host", "transfer-encoding", "accept-encoding")


@contextmanager
def reverse_proxy(upstreams: Sequence[str], content_type: str | None = "text/plain") -> Iterator[str]:
    """The URL of a proxy that sends each request to the next of `upstreams`; it names `content_type` in place of theirs."""
    turns, lock = itertools.cycle(upstreams), Lock()
    client = httpx2.Client(timeout=120.0, trust_env=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path.rstrip("/").endswith("/models"):
                self._whole(404, b'{"detail":"Not Found"}')
                return
            with lock:
                upstream = next(turns)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            headers["Accept-Encoding"] = "identity"
            with client.stream(self.command, upstream + self.path, content=body, headers=headers) as response:
                if "event-stream" not in response.headers.get("content-type", ""):
                    self._whole(response.status_code, response.read())
                    return
                self.send_response(response.status_code)
                if content_type is not None:
                    self.send_header("Content-Type", content_type)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self._chunk(KEEP_ALIVE)
                for piece in response.iter_raw():
                    self._chunk(piece)
                    if piece.endswith(b"\n\n"):
                        self._chunk(KEEP_ALIVE)
                self.wfile.write(b"0\r\n\r\n")

        def _chunk(self, piece: bytes) -> None:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

        def _whole(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _pass_on

        def log_message(self, format: str, *args: object) -> None:
            return

    with client, listening(Handler) as url:
        yield url
