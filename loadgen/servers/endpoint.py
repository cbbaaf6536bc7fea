"""One server's HTTP face: where it is, what it serves, which dialect it speaks. The control plane: nothing here is ever timed.

Imports `load`, `engine`'s route, `errors` and its neighbour `secrets`. Secrets come in as headers and in the route's proxy, stay
in memory, and appear in no message, also when the server repeats them. Questions take the same way as the measured requests.
"""

import json
import re
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx2

from loadgen.engine.route import DIRECT, Route
from loadgen.errors import ServerError, UsageError
from loadgen.load.spec import Endpoint
from loadgen.load.workload import ChunkCounts, Dialect
from loadgen.servers.pinned import PinnedTransport
from loadgen.servers.secrets import redact

Headers = tuple[tuple[str, str], ...]

_GATEWAY_ERRORS = (502, 503, 504)
_PROXY_WANTS_CREDENTIALS = 407

PATHS: dict[Endpoint, str] = {"completions": "/completions", "chat": "/chat/completions"}

SIMULATOR_OWNER = "loadgen-simulator"  # alone, or before a slash and the provider that is imitated
_OWNERS = {"vllm": "vLLM", SIMULATOR_OWNER: "loadgen simulator"}
_CEREBRAS = "cerebras"


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """What a server says of itself. `models` is empty when it does not say; lengths are in tokens.

    `base_url` has no trailing slash and no `/v1`; `api_url` is what the endpoints' paths are appended to.
    """

    base_url: str
    api_url: str
    dialect: Dialect
    name: str
    version: str | None
    models: tuple[str, ...]
    max_model_len: int | None
    simulated: bool
    has_tokenize: bool
    has_metrics: bool
    chunk_counts: tuple[ChunkCounts, ...] = ()  # how it tells the tokens of each chunk: `counting` finds out
    template_tokens: int | None = None  # what it adds to a prompt: `counting` finds out

    @property
    def metrics_url(self) -> str:
        """Where Prometheus would scrape."""
        return f"{self.base_url}/metrics"

    def completions_url(self, endpoint: Endpoint) -> str:
        """Where the measured requests go."""
        return self.api_url + PATHS[endpoint]

    def to_json(self, model: str) -> dict[str, Any]:
        """The run document's `server`."""
        return {
            "url": self.base_url,
            "model": model,
            "dialect": self.dialect,
            "name": self.name,
            "version": self.version,
            "simulated": self.simulated,
            "max_model_len": self.max_model_len,
            "chunk_counts": list(self.chunk_counts),
        }


def normalise_url(url: str) -> str:
    """The base URL of a server from whatever a user pastes: without `/v1`, trailing slash or endpoint, base path kept.

    Raises UsageError for anything that is not an absolute http or https URL, and for one that carries a password or a query.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        is_legal = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_legal = False
    if "@" in (parts.netloc if is_legal else url):  # also where a strange password keeps the URL from being one
        raise UsageError(
            "the URL must not carry a user name or password; put the key into an environment variable and name it with "
            "--api-key-env, or send it with --header NAME=VALUE"
        )
    if not is_legal:
        shown = url.partition("?")[0]  # behind which there may be a key
        raise UsageError(f"'{shown}' is not a URL of a server; write it like http://127.0.0.1:8000")
    if parts.query or parts.fragment:
        bare = f"{parts.scheme}://{parts.netloc}{parts.path}"
        raise UsageError(f"the URL must end with its path, without '?' or '#': {bare}")
    path = parts.path.rstrip("/")
    for suffix in sorted(PATHS.values(), key=len, reverse=True):
        path = path.removesuffix(suffix)
    path = path.removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def probe(base_url: str, model: str, headers: Headers, timeout_s: float = 10.0, route: Route = DIRECT) -> EndpointFacts:
    """Ask a server what it is and whether it serves `model`.

    Raises ServerError when nothing answers or the answers are errors, UsageError for a wrong model, a refused key, or a path
    under which nothing is served.
    """
    secrets = (*headers, *route.secrets)
    with open_client(headers, timeout_s, route) as client:
        api_url, listing = _models(client, base_url, model, secrets)
        models = [entry for entry in listing if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
        names = tuple(entry["id"] for entry in models)
        if names and model not in names:
            served = redact(_listed(names), secrets)
            raise UsageError(f"{base_url} does not serve the model '{model}'; it serves {served}")
        chosen = next((entry for entry in models if entry["id"] == model), {})
        owner, _, imitated = redact(str(chosen.get("owned_by", "")), secrets).partition("/")
        if is_cerebras := _CEREBRAS in (imitated, owner.lower()) or _is_host_of(base_url, "cerebras.ai"):
            version: dict[str, Any] = {}  # it has none of vLLM's own paths, and each question counts in its limits
        else:
            version = _json(client, f"{base_url}/version")
        simulated = owner == SIMULATOR_OWNER or version.get("simulator") is True
        is_vllm = not is_cerebras and (owner in _OWNERS or simulated or set(version) == {"version"})
        max_model_len = chosen.get("max_model_len")
        return EndpointFacts(
            base_url=base_url,
            api_url=api_url,
            dialect="vllm" if is_vllm else "cerebras" if is_cerebras else "openai",
            name=_name(owner, simulated, is_vllm, is_cerebras),
            version=redact(str(version["version"]), secrets) if "version" in version else None,
            models=names,
            max_model_len=max_model_len if isinstance(max_model_len, int) else None,
            simulated=simulated,
            has_tokenize=is_vllm and "count" in _json(client, f"{base_url}/tokenize", {"model": model, "prompt": "a"}),
            has_metrics=not is_cerebras and _answers(client, f"{base_url}/metrics"),
        )


def is_alive(base_url: str, headers: Headers, timeout_s: float = 5.0, route: Route = DIRECT) -> bool:
    """Whether anything at all still answers HTTP there; a proxy that says that nothing does is not the server."""
    try:
        with open_client(headers, timeout_s, route) as client, client.stream("GET", f"{base_url}/v1/models") as answer:
            return route.proxy is None or answer.status_code not in _GATEWAY_ERRORS  # whatever the body is
    except httpx2.TimeoutException:
        return True  # it holds the connection: busy, not gone
    except httpx2.TransportError:
        return False


def check_lengths(facts: EndpointFacts, input_tokens: int, output_tokens: int) -> None:
    """Refuse what does not fit the model: a server may cut the output silently instead of answering an error."""
    asked = input_tokens + output_tokens
    if facts.max_model_len is not None and asked > facts.max_model_len:
        raise UsageError(
            f"{input_tokens} input + {output_tokens} output tokens are {asked}, more than the {facts.max_model_len} "
            f"that the model takes (max_model_len); lower --input-tokens or --output-tokens"
        )


class TokenCounter:
    """Counts the tokens of a prompt by the server's own `/tokenize`. Callable: text -> tokens; a context manager."""

    def __init__(
        self,
        facts: EndpointFacts,
        model: str,
        endpoint: Endpoint,
        headers: Headers,
        timeout_s: float = 30.0,
        route: Route = DIRECT,
    ):
        self._client = open_client(headers, timeout_s, route)
        self._url = f"{facts.base_url}/tokenize"
        self._model = model
        self._endpoint = endpoint
        self._headers = (*headers, *route.secrets)

    def __call__(self, text: str) -> int:
        """Tokens that the server will see for this prompt, chat template included. Raises ServerError."""
        body: dict[str, Any] = {"model": self._model}
        if self._endpoint == "chat":
            body |= {"messages": [{"role": "user", "content": text}], "add_generation_prompt": True}
        else:
            body |= {"prompt": text, "add_special_tokens": True}
        try:
            answer = self._client.post(self._url, json=body)
        except httpx2.TransportError as error:
            raise ServerError(f"{self._url} stopped answering: {_reason(error, self._headers)}") from error
        count = _object(answer).get("count")
        if answer.status_code != 200 or not isinstance(count, int):
            said = error_text(answer.content, self._headers)
            raise ServerError(f"{self._url} answered {answer.status_code} instead of a token count: {said}")
        return count

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> "TokenCounter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def error_text(body: bytes, headers: Headers = ()) -> str:
    """What a server's error body says, in at most 300 characters: its `message`, its `detail`, or its text.

    The values of `headers`, those that were sent, are hidden, before the text is cut and so could be cut as well.
    """
    text = body.decode("utf-8", "replace")
    match = re.search(r'"(?:message|detail)"\s*:\s*("(?:[^"\\]|\\.)*")', text)
    if match:
        text = str(json.loads(match.group(1)))
    text = " ".join(redact(text, headers).split())
    return text if len(text) <= 300 else text[:299] + "…"


def open_client(headers: Headers, timeout_s: float, route: Route = DIRECT) -> httpx2.Client:
    """A client for questions beside the measurement, with these headers on each request. It follows no redirect."""
    if route.addresses:
        return httpx2.Client(
            headers=dict(headers),
            timeout=timeout_s,
            trust_env=False,
            transport=PinnedTransport(route.addresses, route.tls_context()),
        )
    proxy = None
    if route.proxy is not None:
        auth = None if route.proxy.user is None else (route.proxy.user, route.proxy.password)
        proxy = httpx2.Proxy(f"http://{route.proxy.name}", auth=auth)
    # The proxy variables have been read, for the measured requests too, where the route was made; here they are left alone.
    return httpx2.Client(
        headers=dict(headers), timeout=timeout_s, trust_env=False, verify=route.tls_context(), proxy=proxy
    )


def _models(client: httpx2.Client, base_url: str, model: str, headers: Headers) -> tuple[str, list[Any]]:
    """The API's URL and its list of models: under /v1, or without it where a gateway has another version in its base path.

    The list is empty where only the endpoints are served. Raises UsageError when not even they are.
    """
    first = _get(client, base_url, f"{base_url}/v1/models", headers)
    answer, api_url = first, f"{base_url}/v1"
    if first.status_code == 404:
        second = _get(client, base_url, f"{base_url}/models", headers)
        if second.status_code == 200 and "data" in _object(second):
            answer, api_url = second, base_url
        elif not any(_serves(client, api_url + path, model) for path in PATHS.values()):
            raise UsageError(f"nothing OpenAI-compatible at {api_url}/models: HTTP 404; check the path in --url")
    if answer.status_code in (401, 403):
        raise UsageError(
            f"{base_url} refused the key (HTTP {answer.status_code}); name the environment variable that holds it with --api-key-env"
        )
    listing = _object(answer).get("data")
    return api_url, listing if isinstance(listing, list) else []


def _get(client: httpx2.Client, base_url: str, url: str, headers: Headers) -> httpx2.Response:
    try:
        answer = client.get(url)
        if answer.status_code == _PROXY_WANTS_CREDENTIALS:
            raise UsageError(
                f"the proxy on the way to {base_url} wants a user and password, or others (HTTP 407): put them into the URL in "
                "HTTP_PROXY, like http://USER:PASSWORD@proxy.example:3128"
            )
        return answer
    except httpx2.TimeoutException as error:
        raise ServerError(f"nothing answers at {base_url} in time; is the server still loading its model?") from error
    except httpx2.ProxyError as error:
        raise ServerError(
            f"the proxy on the way to {base_url} does not let us through: {_reason(error, headers)}; "
            "look at HTTP_PROXY and HTTPS_PROXY, or list the server in NO_PROXY"
        ) from error
    except httpx2.TransportError as error:
        reason = _reason(error, headers)
        if "certificate verify failed" in reason:
            hint = "name its authority with --ca-file FILE, or measure without knowing whom with --insecure"
        else:
            hint = "is the server running?"
        raise ServerError(f"nothing answers at {base_url}: {reason}; {hint}") from error
    except httpx2.InvalidURL as error:
        raise UsageError(f"'{base_url}' is not a URL of a server: {error}") from error


def _is_host_of(base_url: str, domain: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    return host == domain or host.endswith(f".{domain}")


def _name(owner: str, simulated: bool, is_vllm: bool, is_cerebras: bool) -> str:
    """What a server is called: by what it is, else by who owns the model."""
    if simulated:
        return _OWNERS[SIMULATOR_OWNER] + (" of Cerebras" if is_cerebras else "")
    if is_cerebras:
        return "Cerebras"
    return "vLLM" if is_vllm else owner or "OpenAI-compatible server"


def _json(client: httpx2.Client, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON object at `url`, or an empty one for anything else: these questions are optional."""
    try:
        answer = client.get(url) if body is None else client.post(url, json=body)
    except httpx2.TransportError:
        return {}
    return _object(answer) if answer.status_code == 200 else {}


def _serves(client: httpx2.Client, url: str, model: str) -> bool:
    """Whether there is an endpoint at `url`: it is asked for nothing, and any complaint but for the path will do."""
    try:
        return client.post(url, json={"model": model, "max_tokens": 1}).status_code not in (404, 405)
    except httpx2.TransportError:
        return False


def _answers(client: httpx2.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx2.TransportError:
        return False


def _object(answer: httpx2.Response) -> dict[str, Any]:
    try:
        value = answer.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _reason(error: BaseException, headers: Headers) -> str:
    """The innermost cause in words: `connection refused`, `name or service not known`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or cause})".lower().replace("tls", "TLS", 1).replace("_", " ")
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror[0].lower() + cause.strerror[1:]
        cause = cause.__cause__ or cause.__context__
    text = redact(str(error).removeprefix("[Errno 111] "), headers)
    return text[0].lower() + text[1:] if text else type(error).__name__


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
