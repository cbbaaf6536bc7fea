"""The first request for the log-likelihoods of a prompt, for which vLLM compiles code: it may take longer than lm-eval waits."""

import json

import httpx2

from loadgen.engine.wire.route import DIRECT, Route
from loadgen.errors import ServerError
from loadgen.servers.endpoint import EndpointFacts, error_text
from loadgen.servers.http_client import Headers, fetch, open_client, reason_of

_LIMIT_S = 180.0
_PROMPT = "hello there"


def log_likelihoods(facts: EndpointFacts, model: str, *, headers: Headers = (), route: Route = DIRECT) -> str | None:
    """Ask for the log-likelihoods of a prompt's tokens as lm-eval does; None if they came, else why not.

    Raises ServerError if nothing answers.
    """
    asked = {"model": model, "prompt": _PROMPT, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
    url, secrets = facts.completions_url("completions"), (*headers, *route.secrets)
    try:
        with open_client(headers, _LIMIT_S, route) as client:
            answered = fetch(client, url, json.dumps(asked).encode(), limit_s=_LIMIT_S)
    except httpx2.HTTPError as error:
        raise ServerError(f"{url} does not answer: {reason_of(error, secrets)}; look at the server's log") from error
    if answered.status != 200:
        said = error_text(answered.content, secrets)
        return f"HTTP {answered.status}: {said}" if said else f"HTTP {answered.status}"
    return None if _has_log_likelihoods(answered.json) else "its reply has none"


def _has_log_likelihoods(reply: object) -> bool:
    """Whether the prompt's tokens have theirs: all but the first, which follows nothing."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    logprobs = first.get("logprobs") if isinstance(first, dict) else None
    values = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
    return isinstance(values, list) and len(values) > 2 and all(isinstance(value, int | float) for value in values[1:])
