"""An endpoint that streams two tokens, once its `refuse` lets a body pass. Everything around it is as odd as a test wants it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.servers.http_server import QuietHandler, listening

Refusal = tuple[int, Any]  # status, and a document or bytes
Refuse = Callable[[dict[str, Any]], Refusal | None]


@dataclass(slots=True)
class OddEndpoint:
    """What it answers, and what it was asked."""

    refuse: Refuse = lambda body: None
    pages: dict[str, Refusal] = field(default_factory=dict)  # by path
    paths: tuple[str, ...] = ("/v1/chat/completions", "/v1/completions")
    headers: tuple[tuple[str, str], ...] = ()
    stream: bytes | None = None  # the body of every stream, in place of two tokens
    asked: list[dict[str, Any]] = field(default_factory=list)  # the streamed bodies
    heard: list[str] = field(default_factory=list)  # every path with its query


@contextmanager
def odd_endpoint(endpoint: OddEndpoint) -> Iterator[str]:
    """The base URL of it."""

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            endpoint.heard.append(self.path)
            self._whole(*endpoint.pages.get(self.path.partition("?")[0], (404, {"detail": "Not Found"})))

        def do_POST(self) -> None:
            endpoint.heard.append(self.path)
            body = self.read_json()
            path = self.path.partition("?")[0]
            if path not in endpoint.paths:
                self._whole(*endpoint.pages.get(path, (404, {"detail": "Not Found"})))
                return
            if body.get("stream"):
                endpoint.asked.append(body)
            refusal = endpoint.refuse(body)
            if refusal is not None:
                self._whole(*refusal)
                return
            self._stream(body)

        def _stream(self, body: dict[str, Any]) -> None:
            if endpoint.stream is not None:
                self._whole(200, endpoint.stream, "text/event-stream")
                return
            events = []
            for number in range(2):
                part: dict[str, Any] = {"delta": {"content": " a"}} if "messages" in body else {"text": " a"}
                choice = {"index": 0, **part, "finish_reason": "length" if number else None}
                events.append(json.dumps({"choices": [choice]}))
            if (body.get("stream_options") or {}).get("include_usage"):
                prompt = body["messages"][0]["content"] if "messages" in body else body["prompt"]
                prompt_tokens = len(prompt) if isinstance(prompt, list) else len(prompt.split())
                usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 2}
                events.append(json.dumps({"choices": [], "usage": usage}))
            content = b"".join(b"data: %b\n\n" % event.encode() for event in [*events, "[DONE]"])
            self._whole(200, content, "text/event-stream")

        def _whole(self, status: int, document: Any, kind: str = "application/json") -> None:
            self.respond(status, document, kind, headers=endpoint.headers if status != 200 else ())

    with listening(Handler) as url:
        yield url


def listed(*names: str, owner: str = "somebody") -> dict[str, Refusal]:
    """The page of a list of models."""
    return {"/v1/models": (200, {"object": "list", "data": [{"id": name, "owned_by": owner} for name in names]})}


def flat(body: dict[str, Any]) -> set[str]:
    """The fields of a body, `outer.inner` for those inside another."""
    inner = body.get("stream_options") or {}
    return {*body, *(f"stream_options.{name}" for name in inner)}
