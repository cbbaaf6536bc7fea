"""How the dashboard answers: a page for people, its twin in JSON for programs, an event of a stream, a sentence when it cannot.

Documents go out as they are stored; no NaN leaves the house.
"""

import json
from collections.abc import Mapping

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from loadgen.report.pages.contexts import ErrorPage, Page
from loadgen.report.pages.rendering import render

_MAX_MESSAGE_CHARACTERS = 1_000


def html(page: Page, status: int = 200) -> Response:
    return HTMLResponse(render(page), status)


def document(value: Mapping[str, object], status: int = 200) -> Response:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)
    return Response(text + "\n", status, media_type="application/json")


def sent_event(name: str, value: Mapping[str, object], number: str | None = None) -> str:
    """A server-sent event; by its `number` a client that lost the stream says where to go on."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return f"{'' if number is None else f'id: {number}' + chr(10)}event: {name}\ndata: {text}\n\n"


def failure(request: Request, status: int, title: str, message: str) -> Response:
    """What went wrong, in the form that was asked for."""
    if len(message) > _MAX_MESSAGE_CHARACTERS:  # of a value that it repeats
        message = f"{message[:_MAX_MESSAGE_CHARACTERS]}…"
    if request.url.path.startswith("/api/") or request.url.path.endswith(".json"):
        return document({"schema_version": 1, "error": message}, status)
    return html(ErrorPage(title, message), status)
