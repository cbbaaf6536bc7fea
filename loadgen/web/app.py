"""The application: its routes together, its headers, its errors, and the server that runs it.

Every answer forbids the browser to fetch anything from elsewhere
and to run any script but ours; FastAPI's own documentation pages, which load theirs from a network, are left out.
"""

import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable
from functools import partial

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from loadgen.errors import LoadgenError, NotFoundError, UsageError
from loadgen.report.pages import assets
from loadgen.report.study.library import StudyLibrary
from loadgen.web import comparison, live, results, studies
from loadgen.web.answers import failure
from loadgen.web.connections import DEFAULT_LIMITS, BoundedProtocol, ConnectionLimits
from loadgen.web.dashboard_store import DashboardStore

_CLOSING_S = 4  # more than connections get for their responses

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


_static = APIRouter(prefix="/static")


@_static.get("/{name}")
def static(name: str, request: Request) -> Response:
    """The stylesheet or a script; 304 for who has this text already. Its URL changes with its text, so browsers keep it for ever."""
    try:
        asset = assets.vega() if name == assets.VEGA else assets.static(name)
    except KeyError:
        raise HTTPException(404) from None
    tag = f'"{asset.tag}"'
    headers = {"ETag": tag, "Cache-Control": "public, max-age=31536000, immutable"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(asset.text, media_type=asset.media_type, headers=headers)


def create_app(db_url: str) -> FastAPI:
    """The dashboard over the database at `db_url`, which need not exist yet."""
    app = FastAPI(title="loadgen", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.database = DashboardStore(db_url)
    app.state.studies = StudyLibrary()
    app.state.looks, app.state.watchers = live.Looks(app.state.database), 0
    for group in (live.router, results.router, comparison.router, studies.router, _static):
        app.include_router(group)

    # Streams of events are left as they are. A third of Vega's bundle is sent; a level above 5 costs more than it saves.
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-cache")
        return response

    @app.exception_handler(LoadgenError)
    def named_error(request: Request, error: Exception) -> Response:
        if isinstance(error, UsageError):
            return failure(request, 400, "Not understood", str(error))
        found = not isinstance(error, NotFoundError)
        return failure(request, 503 if found else 404, "Not readable" if found else "Not found", str(error))

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 404:
            return failure(request, 404, "Not found", f"There is no page {request.url.path}.")
        return failure(request, status, f"Error {status}", str(getattr(error, "detail", error)))

    return app


def serve(
    db_url: str,
    host: str,
    port: int,
    on_ready: Callable[[str], None] = lambda url: None,
    make_app: Callable[[str], FastAPI] = create_app,
    limits: ConnectionLimits = DEFAULT_LIMITS,
) -> None:
    """Serve the dashboard until interrupted or terminated; `on_ready` is told its URL once a browser can be sent there.

    Port 0 takes any free one. Raises `UsageError` when the address cannot be listened on.
    """
    listener = _listen(host, port)
    try:
        threading.Thread(target=assets.vega, daemon=True).start()  # made in a second, while nobody waits for it
        shown = f"[{host}]" if ":" in host else host
        on_ready(f"http://{shown}:{listener.getsockname()[1]}/")
        config = uvicorn.Config(
            make_app(db_url),
            http=partial(BoundedProtocol, limits),  # type: ignore[arg-type]
            loop="asyncio",  # wherever another is installed
            ws="none",
            log_level="error",  # what a client sends wrong is its own affair
            access_log=False,
            lifespan="off",
            timeout_keep_alive=limits.max_idle_s,
            timeout_graceful_shutdown=_CLOSING_S,
        )
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn hands it on once everything is closed
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, OverflowError) as error:
        raise UsageError(f"the dashboard cannot listen on {host!r}: {error}; pass another --host") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # from now on a browser waits instead of being refused while the application starts
    except OSError as error:
        listener.close()
        raise UsageError(
            f"the dashboard cannot listen on {host}:{port}: {error.strerror}; pass another --port, or --port 0 for a free one"
        ) from error
    return listener
