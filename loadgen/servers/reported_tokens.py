"""How many tokens a server counts for a prompt: by its `/tokenize`, or by the usage of one short request. Nothing here is timed."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2

from loadgen.engine.capture.token_counts import read_usage, usage_of
from loadgen.engine.wire.route import DIRECT, Route
from loadgen.errors import ServerError
from loadgen.load.body import RequestForm, encode_body
from loadgen.load.spec import Endpoint
from loadgen.servers.asking import MAX_SHORT_REPLY_BYTES
from loadgen.servers.endpoint import EndpointFacts, error_text
from loadgen.servers.http_client import Headers, fetch, open_client, reason_of
from loadgen.servers.refusals import REFUSED_STATUSES, documents_of

_TOKENIZE_TIMEOUT_S = 30.0
_OUTPUT_TOKENS = (2, 16)  # the second where the first is refused as too few


@contextmanager
def token_counter(
    facts: EndpointFacts, model: str, endpoint: Endpoint, headers: Headers, *, route: Route = DIRECT
) -> Iterator[Callable[[str], int]]:
    """Yield what counts the tokens of a prompt by the server's own `/tokenize`, chat template included. It raises ServerError."""
    url, secrets = f"{facts.base_url}/tokenize", (*headers, *route.secrets)

    def count(text: str) -> int:
        body: dict[str, object] = {"model": model}
        if endpoint == "chat":
            body |= {"messages": [{"role": "user", "content": text}], "add_generation_prompt": True}
        else:
            body |= {"prompt": text, "add_special_tokens": True}
        try:
            fetched = fetch(client, url, json.dumps(body).encode())
        except httpx2.TransportError as error:
            raise ServerError(f"{url} stopped answering: {reason_of(error, secrets)}") from error
        tokens = fetched.object.get("count")
        if fetched.status != 200 or not isinstance(tokens, int):
            said = error_text(fetched.content, secrets)
            raise ServerError(f"{url} answered {fetched.status} instead of a token count: {said}")
        return tokens

    with open_client(headers, _TOKENIZE_TIMEOUT_S, route) as client:
        yield count


def reported_tokens(
    text: str,
    *,
    facts: EndpointFacts,
    model: str,
    endpoint: Endpoint,
    headers: Headers,
    timeout_s: float,
    route: Route = DIRECT,
) -> int | None:
    """The prompt tokens that the server reports for `text`, asked for a few output tokens; None where the reply does not say."""
    form = RequestForm(facts.dialect, (), facts.adaptation)
    with open_client(headers, timeout_s, route) as client:
        for output_tokens in _OUTPUT_TOKENS:
            body = encode_body(form, endpoint=endpoint, model=model, prompt=text, output_tokens=output_tokens)
            try:
                fetched = fetch(
                    client,
                    facts.completions_url(endpoint),
                    body,
                    limit_s=timeout_s,
                    max_bytes=MAX_SHORT_REPLY_BYTES,
                )
            except httpx2.HTTPError:
                return None
            if fetched.status not in REFUSED_STATUSES:
                return prompt_tokens_in(fetched.content) if fetched.status == 200 else None
    return None


def prompt_tokens_in(content: bytes) -> int | None:
    """The last count of prompt tokens above 0 in the usage of a reply; None if there is none."""
    documents = [document for document in documents_of(content) if isinstance(document, dict)]
    usages = [
        usage_of(document, choices if isinstance(choices := document.get("choices"), list) else [])
        for document in documents
    ]
    counts = [read_usage(usage).prompt_tokens for usage in usages if usage is not None]
    return next((count for count in reversed(counts) if count), None)
