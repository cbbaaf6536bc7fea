"""One server's HTTP face: where it is, what it serves, which dialect it speaks. The control plane: nothing here is ever timed.

Secrets come in as headers and in the route, stay in memory, and
appear in no message, also when the server repeats them. The endpoint is what is judged: a list of models that is missing, refused or
odd is a note, and only an endpoint that nothing answers is an error.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from loadgen.engine.capture.server_message import message_of
from loadgen.engine.wire.route import DIRECT, Route
from loadgen.errors import ServerError, UsageError
from loadgen.load.body import Adaptation, ChunkCounts, Dialect, is_sent
from loadgen.load.length_fit import WORDS
from loadgen.load.prompts import ordinary_ids
from loadgen.load.spec import Endpoint
from loadgen.servers.http_client import Fetched, Headers, fetch, open_client, reason_of
from loadgen.servers.model_list import ListedModel, names_shown, read_models
from loadgen.servers.redaction import redact
from loadgen.servers.server_url import PATHS, api_urls, is_host_of

_GATEWAY_ERRORS = (502, 503, 504)
_PROXY_WANTS_CREDENTIALS = 407
_MAX_VERSION_CHARACTERS = 100
_TIMEOUT_S = 10.0
_RESET_TRIES, _RESET_PAUSE_S = 5, 0.1  # blocks of a reply that has just ended are released a little after its last byte

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
    model_list_problem: str | None = None  # why the list of models does not confirm the model
    adaptation: Adaptation = ()  # the fields that it refused: `counting` finds out
    first_question_problem: str | None = None  # why `counting` could not find out
    # What prompts of token ids are drawn from, where the vocabulary is too small for the usual.
    prompt_ids: tuple[int, ...] = ()

    @property
    def metrics_url(self) -> str:
        return f"{self.base_url}/metrics"

    def completions_url(self, endpoint: Endpoint) -> str:
        """Where the measured requests go."""
        return self.api_url + PATHS[endpoint]

    @property
    def takes_lengths(self) -> bool:
        """Whether it can be asked for replies of an exact length."""
        return self.dialect == "vllm" and all(is_sent(field, self.adaptation) for field in ("max_tokens", "ignore_eos"))

    def to_json(self, model: str) -> dict[str, object]:
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
            "model_list_problem": self.model_list_problem,
            "adapted_fields": [change.to_json() for change in self.adaptation],
            "first_question_problem": self.first_question_problem,
        }


def probe(
    base_url: str,
    model: str,
    headers: Headers,
    timeout_s: float = 10.0,
    route: Route = DIRECT,
    endpoint: Endpoint | None = None,
) -> EndpointFacts:
    """Ask a server what it is. `endpoint` is the one to be measured, None for either.

    Raise ServerError when nothing answers, UsageError for a refused key and for a path under which nothing is served. That the model
    is not listed is no error: whether it is served, the endpoint itself says.
    """
    secrets = (*headers, *route.secrets)
    with open_client(headers, timeout_s, route) as client:
        api_url, models, problem = _find_api(client, base_url, model, endpoint, timeout_s, secrets, _proxy_of(route))
        names = tuple(listed.name for listed in models)
        chosen = next((listed for listed in models if listed.name == model), None)
        if models and chosen is None:
            problem = f"it lists {redact(names_shown(names), secrets)}"
        owner, _, imitated = redact(_owner(models, chosen), secrets).partition("/")
        if is_cerebras := _CEREBRAS in (imitated, owner.lower()) or is_host_of(base_url, "cerebras.ai"):
            version: dict[str, object] = {}  # it has none of vLLM's own paths, and each question counts in its limits
            metrics = None
        else:
            version = _optional(client, f"{base_url}/version", timeout_s).object
            metrics = _optional(client, f"{base_url}/metrics", timeout_s)
        simulated = owner == SIMULATOR_OWNER or version.get("simulator") is True
        tokenize: dict[str, object] = {}
        if not is_cerebras and (owner in _OWNERS or simulated or (not owner and version)):
            asked = json.dumps({"model": model, "prompt": " ".join(WORDS), "add_special_tokens": False}).encode()
            tokenize = _optional(client, f"{base_url}/tokenize", timeout_s, asked).object
        # Other engines have a /version and a /tokenize too: without an owner both are asked to be as vLLM's.
        is_vllm = not is_cerebras and (
            owner in _OWNERS or simulated or (not owner and set(version) == {"version"} and _is_vllm(tokenize, metrics))
        )
        return EndpointFacts(
            base_url=base_url,
            api_url=api_url,
            dialect="vllm" if is_vllm else "cerebras" if is_cerebras else "openai",
            name=_name(owner, simulated, is_vllm, is_cerebras),
            version=_version(version, secrets),
            models=names,
            max_model_len=None if chosen is None else chosen.max_model_len,
            simulated=simulated,
            has_tokenize=is_vllm and _is_count(tokenize.get("count")),
            has_metrics=metrics is not None and metrics.status == 200,
            model_list_problem=problem,
            prompt_ids=_prompt_ids(tokenize) if is_vllm else (),
        )


def list_models(base_url: str, headers: Headers, route: Route = DIRECT) -> tuple[str, ...]:
    """The models that a server lists. Raise ServerError when nothing answers, UsageError when it has no list."""
    problem: str | None = None
    with open_client(headers, _TIMEOUT_S, route) as client:
        for api_url in api_urls(base_url):
            fetched = _get(
                client, base_url, f"{api_url}/models", _TIMEOUT_S, (*headers, *route.secrets), _proxy_of(route)
            )
            if fetched.status == 200 and (models := read_models(fetched.json)):
                return tuple(listed.name for listed in models)
            if problem is None or fetched.status != 404:
                problem = _list_problem(api_url, fetched)
    raise UsageError(f"--model is missing and {problem}; say which model with --model NAME")


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


def reset_prefix_cache(facts: EndpointFacts, headers: Headers = (), route: Route = DIRECT) -> bool | None:
    """Empty the server's prefix cache: True when it says that it is empty, False when it would not be, None when that cannot be asked for.

    vLLM has POST /reset_prefix_cache only when it was started with VLLM_SERVER_DEV_MODE=1 (entrypoints/serve/dev/cache/api_router.py
    in 0.32), and answers 404 otherwise. It says `{"success": false}` while running requests hold blocks.
    """
    if facts.dialect != "vllm":
        return None
    with open_client(headers, _TIMEOUT_S, route) as client:
        for again in range(_RESET_TRIES):
            if again:
                time.sleep(_RESET_PAUSE_S)
            try:
                answer = client.post(f"{facts.base_url}/reset_prefix_cache")
            except httpx2.HTTPError:
                return None
            if answer.status_code != 200:
                return None
            try:
                success = answer.json()["success"]
            except (ValueError, KeyError, TypeError):
                return None  # something else lives at that path
            if success is True:
                return True
    return False


def one_token_request(model: str, endpoint: Endpoint) -> dict[str, object]:
    prompt = {"prompt": "Hello"} if endpoint == "completions" else {"messages": [{"role": "user", "content": "Hello"}]}
    return {"model": model, "max_tokens": 1, **prompt}


def error_text(body: bytes, headers: Headers = ()) -> str:
    """The server's own sentence in the body of a failing reply, in at most 300 characters.

    The values of `headers`, those that were sent, are hidden, before the text is cut and so could be cut as well.
    """
    text = " ".join(redact(message_of(body) or "", headers).split())
    return text if len(text) <= 300 else text[:299] + "…"


def _prompt_ids(tokenize: Mapping[str, object]) -> tuple[int, ...]:
    """What to draw prompts of token ids from, by what `/tokenize` made of our words."""
    tokens = tokenize.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(each, int) for each in tokens):
        return ()
    return ordinary_ids(tokens)


def _find_api(
    client: httpx2.Client,
    base_url: str,
    model: str,
    endpoint: Endpoint | None,
    timeout_s: float,
    secrets: Headers,
    proxy: str | None,
) -> tuple[str, tuple[ListedModel, ...], str | None]:
    """The API's URL, its models, and what is wrong with the list: where a list is, else where an endpoint answers.

    Raise UsageError when there is neither, ServerError when nothing answers at all.
    """
    problem: str | None = None
    failure: ServerError | None = None
    status = 404
    urls = api_urls(base_url)
    for api_url in urls:
        try:
            fetched = _get(client, base_url, f"{api_url}/models", timeout_s, secrets, proxy)
        except _NoReplyError as error:
            failure, problem = error, f"the list of models at {api_url}/models does not answer"
            break  # a second question would take as long
        models = read_models(fetched.json) if fetched.status == 200 else None
        if models is not None:
            empty = f"the list of models at {api_url}/models is empty"
            return api_url, models, None if models else empty
        if problem is None or fetched.status != 404:
            problem, status = _list_problem(api_url, fetched), fetched.status
    asked = tuple(PATHS) if endpoint is None else (endpoint,)
    places = [(_endpoint_rank(client, api_url, each, model, timeout_s), api_url) for api_url in urls for each in asked]
    best_rank, best = max(places, key=lambda place: place[0])
    is_denied = status in (401, 403) and best_rank <= _DENIED
    if best_rank > (_NONE if failure is None else _MAYBE) and not is_denied:
        return best, (), problem
    if failure is not None:
        raise failure
    if is_denied:
        raise UsageError(
            f"{base_url} refused the key (HTTP {status}); name the environment variable that holds it with --api-key-env"
        )
    if status == 404:
        raise UsageError(f"nothing OpenAI-compatible at {urls[0]}/models: HTTP 404; check the path in --url")
    return urls[0], (), problem


def _proxy_of(route: Route) -> str | None:
    return None if route.proxy is None else route.proxy.name


class _NoReplyError(ServerError):
    """A connection was made, and no response came."""


def _get(
    client: httpx2.Client, base_url: str, url: str, timeout_s: float, secrets: Headers, proxy: str | None = None
) -> Fetched:
    try:
        fetched = fetch(client, url, limit_s=timeout_s)
    except (httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise ServerError(f"nothing answers at {base_url} in time; is the server still loading its model?") from error
    except httpx2.TimeoutException as error:
        raise _NoReplyError(f"nothing answers at {base_url} in time; is the server still loading its model?") from error
    except httpx2.ProxyError as error:
        raise ServerError(
            f"the proxy on the way to {base_url} does not let us through: {reason_of(error, secrets)}; "
            "look at HTTP_PROXY and HTTPS_PROXY, or list the server in NO_PROXY"
        ) from error
    except (httpx2.ProtocolError, httpx2.ReadError, httpx2.WriteError, httpx2.DecodingError) as error:
        raise _NoReplyError(
            f"nothing answers at {base_url}: {reason_of(error, secrets)}; is the server running?"
        ) from error
    except httpx2.TransportError as error:
        reason = reason_of(error, secrets)
        if isinstance(error, httpx2.ConnectError) and proxy is not None:
            raise ServerError(
                f"the proxy {proxy} on the way to {base_url} cannot be reached: {reason}; "
                "look at HTTP_PROXY and HTTPS_PROXY, or list the server in NO_PROXY"
            ) from error
        if "certificate verify failed" in reason:
            hint = "name its authority with --ca-file FILE, or measure without knowing whom with --insecure"
        else:
            hint = "is the server running?"
        raise ServerError(f"nothing answers at {base_url}: {reason}; {hint}") from error
    except httpx2.InvalidURL as error:
        raise UsageError(f"'{base_url}' is not a URL of a server: {error}") from error
    if fetched.status == _PROXY_WANTS_CREDENTIALS:
        raise UsageError(
            f"the proxy on the way to {base_url} wants a user and password, or others (HTTP 407): put them into the URL in "
            "HTTP_PROXY, like http://USER:PASSWORD@proxy.example:3128"
        )
    return fetched


def _list_problem(api_url: str, fetched: Fetched) -> str:
    """What is wrong with a list of models that cannot be read."""
    if fetched.status != 200:
        return f"there is no list of models at {api_url}/models (HTTP {fetched.status})"
    return f"what is at {api_url}/models is no list of models"


_REPLIED, _COMPLAINED, _DENIED, _MAYBE, _NONE = 4, 3, 2, 1, 0


def _endpoint_rank(client: httpx2.Client, api_url: str, endpoint: Endpoint, model: str, timeout_s: float) -> int:
    """How surely there is an endpoint.

    It is asked for one token in earnest, since some drop a connection over a body that lacks something.
    """
    body = json.dumps(one_token_request(model, endpoint)).encode()
    try:
        fetched = fetch(client, api_url + PATHS[endpoint], body, limit_s=timeout_s)
    except httpx2.TimeoutException:
        return _MAYBE  # it may be busy
    except httpx2.TransportError:
        return _NONE
    if fetched.status == 200:
        is_reply = "choices" in fetched.object or b"data:" in fetched.content
        return _REPLIED if is_reply else _COMPLAINED if fetched.object else _NONE
    if fetched.status in (404, 405):
        said = error_text(fetched.content).lower()
        return _MAYBE if fetched.object and ("model" in said or "deployment" in said) else _NONE
    if fetched.status in (401, 403):
        return _DENIED
    return _NONE if 300 <= fetched.status < 400 else _COMPLAINED


def _owner(models: tuple[ListedModel, ...], chosen: ListedModel | None) -> str:
    """Who owns the chosen model; of one that is not listed, who owns every other."""
    if chosen is not None:
        return chosen.owner
    owners = {listed.owner for listed in models}
    return owners.pop() if len(owners) == 1 else ""


def _is_vllm(tokenize: dict[str, object], metrics: Fetched | None) -> bool:
    """Whether the paths that vLLM has for itself are as vLLM's."""
    if metrics is not None and metrics.status == 200:
        return b"vllm:" in metrics.content
    return _is_count(tokenize.get("count")) and _is_count(tokenize.get("max_model_len"))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _version(document: dict[str, object], secrets: Headers) -> str | None:
    version = document.get("version")
    if not isinstance(version, str | int | float) or isinstance(version, bool):
        return None
    return redact(str(version), secrets)[:_MAX_VERSION_CHARACTERS]


def _name(owner: str, simulated: bool, is_vllm: bool, is_cerebras: bool) -> str:
    """What a server is called: by what it is, else by who owns the model."""
    if simulated:
        return _OWNERS[SIMULATOR_OWNER] + (" of Cerebras" if is_cerebras else "")
    if is_cerebras:
        return "Cerebras"
    return "vLLM" if is_vllm else owner or "OpenAI-compatible server"


def _optional(client: httpx2.Client, url: str, timeout_s: float, body: bytes | None = None) -> Fetched:
    """What is at `url`; status 0 without content where nothing is, or an error: these questions are optional."""
    try:
        fetched = fetch(client, url, body, limit_s=timeout_s)
    except httpx2.HTTPError:
        return _NOTHING
    return fetched if fetched.status == 200 else _NOTHING


_NOTHING = Fetched(0, b"")
