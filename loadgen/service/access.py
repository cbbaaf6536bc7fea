"""The gate in front of every page and of the API: who may read, who may ask for something, and how one says who one is.

A program shows the token with each request, as a bearer; a browser shows
it once, at /login, and gets a cookie which no script can read and which no other site can make it send. What changes
something is refused besides unless it comes from a page of ours, or from a program.
"""

import asyncio
import ipaddress
import re
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from loadgen.report.pages.job_pages import LoginPage
from loadgen.service.tokens import SESSION_S, Failures, LoginSessions, Token
from loadgen.web.answers import failure, html

COOKIE = "loadgen_session"
LOGIN, LOGOUT = "/login", "/logout"
_MAX_FORM_BYTES = 4_096
MAX_BODY_S = 30.0  # that a request's body may take to come
_READING = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z._-]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may do what. `loopback_reads`: who comes by a name of this machine itself may read without the token."""

    token: Token | None
    loopback_reads: bool
    sessions: LoginSessions = field(default_factory=LoginSessions)
    failures: Failures = field(default_factory=Failures)

    def refusal(self, request: Request) -> Response | None:
        """Why the request goes no further; None when it may."""
        path = request.scope["path"]  # of a URL, whose path a Host header may hold a part of, nothing is taken here
        reads = request.method in _READING
        if path == LOGIN or (reads and path.startswith("/static/")):
            return None
        who = self._who(request)
        if isinstance(who, Response):
            return who
        if reads:
            return None if who else self._unknown_reader(request)
        if self.token is None:
            return failure(
                request,
                403,
                "Read-only",
                "This dashboard takes no jobs: whoever runs it can start it with --token-env NAME, and then it does.",
            )
        if who is None:
            return _unauthorised(request, "This needs the token: send it as 'Authorization: Bearer TOKEN'.")
        if who == "session" and not comes_from_us(request):
            return failure(request, 403, "Refused", "This came from another site, which may not ask for anything here.")
        return None

    def log_in(self, request: Request, body: bytes) -> Response:
        """What the form at /login is answered."""
        fields = parse_qs(body.decode("utf-8", "replace"))
        goes_to = _own_path(fields.get("next", ["/"])[0])
        if self.token is None or not comes_from_us(request):
            return failure(
                request, 403, "Refused", "There is nothing to log in to here, or this came from another site."
            )
        if not self.token.matches(fields.get("token", [""])[0].strip()):
            return self._wrong_token(request, html(LoginPage(goes_to, "That is not the token."), 401))
        answer = RedirectResponse(goes_to, 303)
        answer.set_cookie(
            COOKIE,
            self.sessions.begin(),
            max_age=int(SESSION_S),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    def log_out(self, request: Request) -> Response:
        self.sessions.end(_cookie(request))
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    def has_session(self, request: Request) -> bool:
        return self.sessions.has(_cookie(request))

    def _who(self, request: Request) -> str | Response | None:
        given = request.headers.get("authorization")
        if given is not None and self.token is not None:
            scheme, _, secret = given.partition(" ")
            if scheme.lower() == "bearer" and self.token.matches(secret.strip()):
                return "bearer"  # whoever else guesses at this address, such as that of a proxy before us
            return self._wrong_token(request, _unauthorised(request, "That is not the token."))
        return "session" if self.has_session(request) else None

    def _unknown_reader(self, request: Request) -> Response | None:
        _, port = request.scope.get("server") or ("", None)
        if self.loopback_reads and _is_loopback(request.headers.get("host", ""), port):
            return None
        if self.token is None:
            return failure(
                request,
                403,
                "Refused",
                "This dashboard answers to names of its own machine alone, such as http://127.0.0.1: start it with --token-env "
                "NAME to reach it by another.",
            )
        path = request.scope["path"]
        if path.startswith("/api/") or path.endswith((".json", ".csv", "/events")):
            return _unauthorised(request, "This needs the token: send it as 'Authorization: Bearer TOKEN'.")
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{LOGIN}?next={quote(path + query, safe='')}", 303)

    def _wrong_token(self, request: Request, refusal: Response) -> Response:
        """Count it against its address, which has to wait after too many; else return the `refusal`."""
        address = "" if request.client is None else request.client.host
        wait_s = self.failures.wait_s(address)
        if wait_s <= 0:
            self.failures.add(address)
            return refusal
        answer = failure(request, 429, "Wait", f"Too many wrong tokens: try again in {wait_s:.0f} s.")
        answer.headers["Retry-After"] = f"{wait_s:.0f}"
        return answer


class AccessMiddleware:
    """The middleware that asks `Access` first. What is refused has the headers that every answer has."""

    def __init__(self, app: ASGIApp, access: Access, headers: dict[str, str]) -> None:
        self._app = app
        self._access = access
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        hosts = len(request.headers.getlist("host"))
        if hosts > 1 or (hosts == 0 and scope["http_version"] == "1.1"):
            count = "more than one" if hosts else "no"
            answer: Response | None = failure(request, 400, "Not understood", f"The request has {count} Host header.")
        elif scope["path"] == LOGIN and scope["method"] == "POST":
            answer = await self._log_in(request)
        else:
            answer = self._access.refusal(request)
        if answer is None:
            await self._app(scope, receive, send)
            return
        for name, value in {**self._headers, "Cache-Control": "no-store"}.items():
            answer.headers.setdefault(name, value)
        await answer(scope, receive, send)

    async def _log_in(self, request: Request) -> Response:
        try:
            body = await read_body(request, _MAX_FORM_BYTES)
        except HTTPException as slow:  # the application's own answers to errors are behind this gate
            return failure(request, slow.status_code, "Too slow", str(slow.detail))
        if body is None:
            return failure(request, 413, "Too large", "The form is too large.")
        return self._access.log_in(request, body)


def comes_from_us(request: Request) -> bool:
    """Whether a page of ours asked for it, by what the browser says of that, which no page can make up."""
    if request.headers.get("sec-fetch-site") == "same-origin":
        return True
    origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
    return bool(host) and urlsplit(origin).netloc.lower() == host.lower()


def _unauthorised(request: Request, message: str) -> Response:
    answer = failure(request, 401, "Not allowed", message)
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _own_path(path: str) -> str:
    """A path of ours to go to; anything that a browser could take for another site's is the start page."""
    return (
        path if path.startswith("/") and "\\" not in path and not path.startswith("//") and path.isprintable() else "/"
    )


def _cookie(request: Request) -> str | None:
    try:
        cookies = SimpleCookie(request.headers.get("cookie", ""))
    except CookieError:
        return None
    return cookies[COOKIE].value if COOKIE in cookies else None


def _is_loopback(host: str, port: int | None) -> bool:
    """Whether a Host header, as a whole, names this machine by a name that cannot stand for another, and this very port if any."""
    found = _HOST.fullmatch(host.strip(" \t"))
    if found is None:
        return False
    if found["port"] and port is not None and int(found["port"]) != port:
        return False
    name = (found["address"] or found["name"]).lower().removesuffix(".")
    try:
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def read_body(request: Request, most_bytes: int) -> bytes | None:
    """The body; None when it has more than `most_bytes`, of which the rest is not read. Raises HTTPException(408)."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most_bytes:
        return None
    body = bytearray()
    try:
        async with asyncio.timeout(MAX_BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    return None
    except ClientDisconnect:  # nobody is there to read what this says
        raise HTTPException(400, "The connection ended before the request did.") from None
    except TimeoutError:
        raise HTTPException(408, f"The request did not come to its end within {MAX_BODY_S:g} s.") from None
    return bytes(body)
