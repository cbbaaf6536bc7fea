"""Whether a server truly answers: a request for one token, not a health page. Some settings pass the page and die on the request."""

import json
import os
import threading

import httpx2

from loadgen.engine.wire.route import Route
from loadgen.errors import LoadgenError, ServerError, UsageError
from loadgen.load.spec import Endpoint
from loadgen.servers.endpoint import EndpointFacts, error_text, one_token_request, probe
from loadgen.servers.http_client import Headers, open_client
from loadgen.servers.proxies import proxy_for

_TRY_AGAIN_S = 0.25
_REQUEST_LIMIT_S = 120.0  # a first request may compile
_NOT_YET = {408, 425, 429, 500, 502, 503, 504}


class NotReady(LoadgenError):
    """The server does not answer yet, or not at this moment; its words say how."""


class RequestRefused(ServerError):
    """The server answers, and will not take such a request: waiting does not help."""


def ask(
    url: str, model: str, endpoint: Endpoint, headers: Headers, timeout_s: float = _REQUEST_LIMIT_S
) -> EndpointFacts:
    """Send one request for one token. Answers what the server says of itself; raises NotReady or RequestRefused.

    A proxy that the environment names for the URL is used, as by the runs.
    """
    try:
        route = Route(proxy_for(url, os.environ))
        facts = probe(url, model, headers, route=route)
    except UsageError as error:
        raise RequestRefused(str(error)) from error
    except ServerError as error:
        raise NotReady(str(error)) from error
    target = facts.completions_url(endpoint)
    try:
        with open_client(headers, timeout_s, route) as client:
            answer = client.post(target, json=one_token_request(model, endpoint))
    except (httpx2.TransportError, httpx2.DecodingError) as error:
        raise NotReady(f"{target} does not answer a request: {type(error).__name__}") from error
    if answer.status_code == 200 and _is_reply(answer.content):
        return facts
    said = f"{target} answers a request with {answer.status_code}: {error_text(answer.content, headers)}"
    raise NotReady(said) if answer.status_code in _NOT_YET else RequestRefused(said)


def _is_reply(body: bytes) -> bool:
    try:
        document = json.loads(body)
    except ValueError:
        return False
    return isinstance(document, dict) and bool(document.get("choices"))


class Asking:
    """Asks again and again in a thread of its own until the server answers or refuses."""

    def __init__(self, url: str, model: str, endpoint: Endpoint, headers: Headers) -> None:
        self.facts: EndpointFacts | None = None
        self.refusal: str | None = None
        self.problem: str = "nothing listens there yet"
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(url, model, endpoint, headers), daemon=True)
        self._thread.start()

    def _ask(self, url: str, model: str, endpoint: Endpoint, headers: Headers) -> None:
        while not self._given_up.is_set():
            try:
                self.facts = ask(url, model, endpoint, headers)
                return
            except NotReady as error:
                self.problem = str(error)
            except RequestRefused as error:
                self.refusal = str(error)
                return
            self._given_up.wait(_TRY_AGAIN_S)

    def give_up(self) -> None:
        """Ask no more; a request on its way is left to itself."""
        self._given_up.set()


def key_headers(api_key_env: str | None) -> Headers:
    """The header that carries the key of the environment variable of this name; none where there is none."""
    key = os.environ.get(api_key_env) if api_key_env else None
    return (("Authorization", f"Bearer {key}"),) if key else ()
