"""The dashboard with the service behind it: its routes, its gate and its answers to what goes wrong; and how it is started.

Without a token it is the read-only dashboard alone, on this machine alone.
"""

import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi

import loadgen
from loadgen.errors import UsageError, broken_rule
from loadgen.service import api, jobs_page
from loadgen.service.access import Access, AccessMiddleware
from loadgen.service.queue import FullError, Queue, TooLateError
from loadgen.service.submission import TooLargeError, limits_from, whole_numbers
from loadgen.service.targets import ForbiddenTargetError, Targets
from loadgen.service.tokens import Token
from loadgen.store.queue_claim import ClaimLostError
from loadgen.web.answers import document, failure
from loadgen.web.app import HEADERS, create_app, serve
from loadgen.web.connections import ConnectionLimits

CONNECTION_VARIABLES = {
    "max_connections": "LOADGEN_SERVICE_MAX_CONNECTIONS",
    "max_head_s": "LOADGEN_SERVICE_MAX_HEAD_S",
    "max_unread_s": "LOADGEN_SERVICE_MAX_UNREAD_S",
}
"""The environment variables that change what clients may take of the server."""

_STATUSES: dict[type[Exception], tuple[int, str]] = {
    TooLargeError: (413, "Too large"),
    ForbiddenTargetError: (403, "Refused"),
    api.NotServingError: (403, "Read-only"),
    TooLateError: (409, "Too late"),
    FullError: (429, "Full"),
    ClaimLostError: (503, "Not serving"),
}
_DESCRIPTION = """Send sweeps to this service, follow them, and take their results. What changes something needs the token,
as `Authorization: Bearer TOKEN`; beyond loopback, so does everything else. Failures are `{"schema_version": 1, "error": "…"}`."""


def create_service(db_url: str, access: Access, queue: Queue | None) -> FastAPI:
    """The whole application; without a `queue` it takes no jobs."""
    app = create_app(db_url)
    app.state.access, app.state.queue, app.state.followers = access, queue, 0
    app.state.database.was_there = queue is not None  # which has opened it, and made it where there was none
    app.include_router(api.router)
    app.include_router(jobs_page.router)
    for kind, (status, title) in _STATUSES.items():
        app.add_exception_handler(kind, _answer(status, title))
    app.add_exception_handler(UsageError, _cannot)
    app.add_exception_handler(RequestValidationError, _bad_query)
    app.add_middleware(AccessMiddleware, access=access, headers=HEADERS)
    described = openapi()

    @app.get(f"{api.PREFIX}/openapi.json", include_in_schema=False)
    def description() -> Response:
        return document(described)

    return app


def openapi() -> dict[str, Any]:
    """The API's description, as OpenAPI has it."""
    described = get_openapi(
        title="loadgen", version=loadgen.__version__, description=_DESCRIPTION, routes=api.router.routes
    )
    described.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    described["security"] = [{"token": []}]
    return described


def serve_service(
    db_url: str,
    host: str,
    port: int,
    *,
    token_env: str | None = None,
    allowed: Sequence[str] = (),
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until interrupted or terminated; then the jobs that are measured are ended, and what they have is saved.

    Raises UsageError for an address beyond loopback without a token, a token that is not there, and a list without one.
    """
    is_loopback = _is_loopback(host)
    environ = dict(os.environ)
    token = None if token_env is None else Token.from_environment(token_env, environ)
    if token is None and not is_loopback:
        raise UsageError(
            f"--host {host} is reached from other machines, which needs --token-env NAME with a token in that environment "
            "variable; make one with `openssl rand -hex 32`"
        )
    if token is None and allowed:
        raise UsageError(
            "--allow-target is for submissions, which need --token-env NAME; give it too, or leave this out"
        )
    if token_env is not None:
        environ.pop(token_env, None)  # no job needs it
    targets, limits = Targets.of(allowed), connection_limits(environ)
    with ExitStack() as stack:
        queue = None
        if token is not None:
            limits_from(environ)  # a variable that is no number is named now, and not to whoever submits
            # uvicorn hands SIGTERM on, which must not keep the jobs from being ended in order.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            queue = stack.enter_context(Queue(db_url, targets, tuple(allowed), environ))
        make_app = partial(create_service, access=Access(token, is_loopback), queue=queue)
        serve(db_url, host, port, on_ready, make_app, limits)


def connection_limits(environ: Mapping[str, str]) -> ConnectionLimits:
    """What clients may take of the server. Raises UsageError for a variable that is no whole number, or 0."""
    given = whole_numbers(environ, CONNECTION_VARIABLES)
    for field, value in given.items():
        if value == 0:
            raise UsageError(
                f"the environment variable {CONNECTION_VARIABLES[field]} is 0, and nobody could connect: write 1 or more"
            )
    return ConnectionLimits(**given)


def _is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach what listens at `host`. Raises UsageError when it is no address."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None, flags=socket.AI_PASSIVE)}
    except (OSError, UnicodeError) as error:
        raise UsageError(f"the dashboard cannot listen on {host!r}: {error}; pass another --host") from error
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def _answer(status: int, title: str) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        return failure(request, status, title, str(error))

    return answer


def _cannot(request: Request, error: Exception) -> Response:
    """What was asked makes no sense: of the API that is a spec, of a page its address."""
    is_spec = request.url.path.startswith(api.PREFIX)
    return failure(request, 422 if is_spec else 400, "Not understood", str(error))


def _bad_query(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return failure(request, 422, "Not understood", f"'{first['loc'][-1]}' {broken_rule(first)}")
