"""What a server can tell of the tokens in each chunk, and of its prompts: found out by asking it for two tokens, before anything is
measured.

Imports load, engine's reader of event streams and its route, and its neighbour `endpoint`. A field that a server refuses is met here and
not in the run.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

from loadgen.engine.route import DIRECT, Route
from loadgen.engine.sse import SseParser
from loadgen.load.spec import Endpoint
from loadgen.load.workload import ChunkCounts, encode_body
from loadgen.servers.endpoint import EndpointFacts, Headers, open_client

LONG_PROMPT_TOKENS = 1024
"""From here on `usage` is asked for rather than `token_ids`: vLLM sends the ids of the whole prompt along with its first chunk."""

_ASKS: tuple[tuple[ChunkCounts, ...], ...] = (("token_ids", "usage"), ("usage",), ("token_ids",))
_PROMPT = "Hello"  # one token in every vocabulary that we know of
_TOKENS = 2
_MOST_ANSWER_BYTES = 1 << 20  # a thousand times what two tokens need
_REFUSED = (400, 422)  # the statuses by which servers refuse a field


@dataclass(frozen=True, slots=True)
class Enquiry:
    """What a server told: by which means it counts the tokens of each chunk, and how many tokens it adds to a prompt of ours.

    The latter, of a chat template or the mark of a beginning, is None where it did not say how long the prompt was.
    """

    chunk_counts: tuple[ChunkCounts, ...]
    template_tokens: int | None = None


def enquire(
    facts: EndpointFacts,
    model: str,
    endpoint: Endpoint,
    headers: Headers,
    timeout_s: float = 60.0,
    route: Route = DIRECT,
) -> Enquiry:
    """Ask the server for two tokens, and for every means that it has not refused.

    One short request; more only where fields are refused. Of Cerebras, whose fields are documented, none is tried: a refusal
    would count in its limits. A server that answers with another error, or not in time, is taken for what its dialect
    promises: the warm-up will say what is wrong.
    """
    until_s = time.monotonic() + timeout_s
    promised: tuple[ChunkCounts, ...] = ("token_ids",) if facts.dialect == "vllm" else ()
    with open_client(headers, timeout_s, route) as client:
        for asks in ((),) if facts.dialect == "cerebras" else _ASKS:
            body = encode_body(endpoint, facts.dialect, model, _PROMPT, _TOKENS, asks)
            try:
                status, content = _ask(client, facts.completions_url(endpoint), body, until_s)
            except (httpx2.HTTPError, TimeoutError):
                break
            if status == 200:
                return Enquiry(_told(content), _template_tokens(content))
            if status not in _REFUSED:
                break
    return Enquiry(promised)


def chunk_counts_told(
    facts: EndpointFacts, model: str, endpoint: Endpoint, headers: Headers, timeout_s: float = 60.0
) -> tuple[ChunkCounts, ...]:
    """The `chunk_counts` of `enquire`."""
    return enquire(facts, model, endpoint, headers, timeout_s).chunk_counts


def chunk_counts_to_ask(told: tuple[ChunkCounts, ...], prompt_tokens: int | None) -> tuple[ChunkCounts, ...]:
    """What to ask for with prompts of at most `prompt_tokens`, None where nobody can tell.

    The best means that costs nothing that could be measured.
    """
    may_be_long = prompt_tokens is None or prompt_tokens > LONG_PROMPT_TOKENS
    if "usage" in told and (may_be_long or "token_ids" not in told):
        return ("usage",)
    return told[:1]


def _ask(client: httpx2.Client, url: str, body: bytes, until_s: float) -> tuple[int, bytes]:
    """(status, answer) of one request. Raises httpx2.HTTPError, or TimeoutError for an answer that does not come to its end."""
    content = b""
    with client.stream("POST", url, content=body, headers={"Content-Type": "application/json"}) as answer:
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > _MOST_ANSWER_BYTES or time.monotonic() > until_s:
                raise TimeoutError
    return answer.status_code, content


def _told(stream: bytes) -> tuple[ChunkCounts, ...]:
    """The means that the chunks of an answer show."""
    chunks = [document for document in _documents(stream) if document.get("choices")]
    choices = [choice for document in chunks for choice in document["choices"] if isinstance(choice, dict)]
    told: list[ChunkCounts] = []
    if any(isinstance(choice.get("token_ids"), list) for choice in choices):
        told.append("token_ids")
    if chunks and all(isinstance(document.get("usage"), dict) for document in chunks):
        told.append("usage")
    return tuple(told)


def _template_tokens(stream: bytes) -> int | None:
    """By how much the prompt was longer than the one token that we sent."""
    told = [document["usage"] for document in _documents(stream) if isinstance(document.get("usage"), dict)]
    counts = [usage.get("prompt_tokens") for usage in told]
    return next((count - 1 for count in reversed(counts) if isinstance(count, int) and count > 0), None)


def _documents(stream: bytes) -> Iterator[dict[str, Any]]:
    for event in SseParser().feed(stream + b"\n\n"):
        try:
            document = json.loads(event.data)
        except (ValueError, RecursionError):
            continue  # [DONE], and whatever the run will call a bad response
        if isinstance(document, dict) and isinstance(document.get("choices"), list):
            yield document
