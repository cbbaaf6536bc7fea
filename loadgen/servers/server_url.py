"""The URL of a server as users paste it: its base, its query, and the endpoint that its path names.

The value of a query parameter may be a key: `redacted_url` gives the text that may be shown and stored.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote_plus, urlsplit

from loadgen.errors import UsageError
from loadgen.load.spec import Endpoint
from loadgen.servers.redaction import REDACTED, is_secret_parameter

PATHS: dict[Endpoint, str] = {"completions": "/completions", "chat": "/chat/completions"}

_OTHER_ENDPOINTS = ("/responses", "/embeddings", "/messages")
_API_VERSION = re.compile(r"/v\d+[a-z0-9.]*(/|$)|/deployments/[^/]+$")  # a base path that is the API's own


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A server's URL in parts. `base` has no query, trailing slash, `/v1` or endpoint; `query` is as it was written."""

    base: str
    query: str = field(default="", repr=False)
    endpoint: Endpoint | None = None  # named by the path, if it names one

    @property
    def secrets(self) -> tuple[tuple[str, str], ...]:
        """The query parameters that must not be repeated, as pairs of name and value, like headers."""
        return query_secrets(self.query)

    def __str__(self) -> str:
        return f"{self.base}?{self.query}" if self.query else self.base


def parse_url(url: str) -> ServerUrl:
    """The parts of `url`. Raise UsageError for anything but an absolute http or https URL, and for one with a password."""
    parts = _split(url.strip())
    path, named = parts.path.rstrip("/"), None
    for other in _OTHER_ENDPOINTS:
        if path.lower().endswith(other):
            raise UsageError(f"--url names the endpoint {other}; loadgen measures {' and '.join(PATHS.values())}")
    for endpoint, suffix in sorted(PATHS.items(), key=lambda each: len(each[1]), reverse=True):
        if path.lower().endswith(suffix):
            path, named = path[: -len(suffix)], endpoint
            break
    else:
        path = path.removesuffix("/models")
    path = path.rstrip("/").removesuffix("/v1").rstrip("/")
    return ServerUrl(f"{parts.scheme}://{parts.netloc.lower()}{path}", parts.query, named)


def normalise_url(url: str) -> str:
    """The base URL and query of a server from whatever a user pastes. Raise UsageError as `parse_url` does."""
    return str(parse_url(url))


def endpoint_named(url: str) -> Endpoint | None:
    """The endpoint that the path of `url` ends with, None for a base URL and for what is no URL."""
    try:
        return parse_url(url).endpoint
    except UsageError:
        return None


def redacted_url(url: str) -> str:
    """`url` with the values of query parameters that may be secrets hidden; everything else as it is."""
    base, mark, query = url.partition("?")
    return base + mark + "&".join(_redacted_parameter(each) for each in query.split("&")) if query else url


def query_secrets(query: str) -> tuple[tuple[str, str], ...]:
    """The parameters of a query that may be secrets, as they are written and as they are meant."""
    written = [each.partition("=")[::2] for each in query.split("&")]
    pairs = [*written, *((unquote_plus(name), unquote_plus(value)) for name, value in written)]
    return tuple(dict.fromkeys((name, value) for name, value in pairs if value and is_secret_parameter(name, value)))


def api_urls(base_url: str) -> tuple[str, str]:
    """Where the API may be under a base URL, the likelier first: at `/v1`, or at a base path with a version of its own."""
    with_v1 = f"{base_url}/v1"
    return (base_url, with_v1) if _API_VERSION.search(urlsplit(base_url).path) else (with_v1, base_url)


def is_host_of(base_url: str, domain: str) -> bool:
    """Whether the URL's host is `domain` or below it."""
    host = urlsplit(base_url).hostname or ""
    return host == domain or host.endswith(f".{domain}")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_legal = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_legal = is_legal and url.isprintable() and " " not in url
    except ValueError:
        is_legal = False
    if "@" in (parts.netloc if is_legal else url):  # also where a strange password keeps the URL from being one
        raise UsageError(
            "the URL must not carry a user name or password; put the key into an environment variable and name it with "
            "--api-key-env, or send it with --header NAME=VALUE"
        )
    if not is_legal or not parts.query.isascii():
        shown = url.partition("?")[0].partition("#")[0]  # behind which there may be a key
        raise UsageError(f"'{shown}' is not a URL of a server; write it like http://127.0.0.1:8000")
    if parts.fragment:
        bare = f"{parts.scheme}://{parts.netloc}{parts.path}"
        raise UsageError(f"the URL must not have a '#': write {bare}")
    return parts


def _redacted_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    return f"{name}{equals}{REDACTED}" if value and is_secret_parameter(name, value) else parameter
