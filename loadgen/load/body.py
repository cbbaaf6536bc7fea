"""The JSON body of a request: encoding, the fields that an endpoint refuses, and the messages of earlier turns. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from loadgen.load.spec import Endpoint

Dialect = Literal["vllm", "openai", "cerebras"]
"""What the server understands: `vllm` takes token ids as prompt, and `ignore_eos`; `openai` neither. `cerebras` is as `openai`,
refuses every field that it does not know, and calls the longest answer of a chat `max_completion_tokens` alone."""

ChunkCounts = Literal["token_ids", "usage"]
"""A means by which a server tells the tokens of each chunk: `return_token_ids`, or `continuous_usage_stats`."""

Prompt = str | list[int] | list[dict[str, Any]]
"""A text, token ids (completions), or messages (chat, where a text becomes the one message of a user)."""

NO_FIELDS: Mapping[str, Any] = MappingProxyType({})

# First met as the key itself: within a JSON text each quote would have a backslash before it.
_MESSAGES = b'"messages":['
_END = b"]}"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that is sent under another name, or left out."""

    field: str
    sent_as: str | None = None  # None: left out

    def to_json(self) -> dict[str, object]:
        """One entry of `server.adapted_fields` in the run document."""
        return {"field": self.field, "sent_as": self.sent_as}


Adaptation = tuple[FieldChange, ...]
"""The changes to every body; empty where the endpoint takes the usual one."""


def adapt(body: dict[str, Any], adaptation: Iterable[FieldChange]) -> None:
    """Change `body` in place. A change of a field that it does not have does nothing."""
    for change in adaptation:
        outer, _, inner = change.field.rpartition(".")
        holder = body.get(outer, {}) if outer else body
        if inner not in holder:
            continue
        value = holder.pop(inner)
        if change.sent_as is not None:
            holder[change.sent_as] = value
        if outer and not holder:
            del body[outer]


def is_sent(field: str, adaptation: Iterable[FieldChange]) -> bool:
    """Whether `field` is sent at all, under whatever name."""
    outer = field.rpartition(".")[0]
    return not any(change.sent_as is None and change.field in (field, outer) for change in adaptation)


@dataclass(frozen=True, slots=True)
class RequestForm:
    """How requests are written for a server.

    `chunk_counts` are the means by which the server is asked to report the tokens of each chunk; `adaptation` changes every
    body alike, where the endpoint refuses a field. `prompt_ids` are what prompts of token ids are drawn from, if not the usual.
    """

    dialect: Dialect
    chunk_counts: tuple[ChunkCounts, ...] = ()
    adaptation: Adaptation = ()
    prompt_ids: tuple[int, ...] = ()


def encode_body(
    form: RequestForm,
    *,
    endpoint: Endpoint,
    model: str,
    prompt: Prompt,
    output_tokens: int,
    choices: int = 1,
    fields: Mapping[str, Any] = NO_FIELDS,
) -> bytes:
    """Return the JSON body of one streaming request, greedy, of exactly `output_tokens` where the dialect can ask for it.

    Several `choices`, each of `output_tokens`, are sampled: greedy ones would be the same, and vLLM refuses them.
    `fields` are sent as they are, instead of loadgen's own where both have one.
    """
    longest = "max_completion_tokens" if form.dialect == "cerebras" and endpoint == "chat" else "max_tokens"
    body: dict[str, Any] = {
        "model": model,
        longest: output_tokens,
        "temperature": 0 if choices == 1 else 1,
        "stream": True,
        "stream_options": {"include_usage": True}
        | ({"continuous_usage_stats": True} if "usage" in form.chunk_counts else {}),
        **({"n": choices} if choices > 1 else {}),
        **({"ignore_eos": True} if form.dialect == "vllm" else {}),
        **({"return_token_ids": True} if "token_ids" in form.chunk_counts else {}),
        **fields,
    }
    adapt(body, form.adaptation)
    if endpoint == "completions":
        body["prompt"] = prompt
    else:
        # Last, where `conversation` puts in what was said before.
        body["messages"] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def with_history(body: bytes, history: bytes) -> bytes:
    """The `body` of a turn behind the messages before it, which are as `history_after` gives them."""
    place = body.index(_MESSAGES) + len(_MESSAGES)
    return b"%b%b%b" % (body[:place], history, body[place:])


def history_after(body: bytes, reply: str) -> bytes:
    """All messages of `body`, as it was sent, and the `reply` to it; ends with a comma, for the message that is to follow.

    Half a character, which a server may send as a lone surrogate, becomes a question mark: no server reads it back.
    """
    place = body.index(_MESSAGES) + len(_MESSAGES)
    answer = json.dumps({"role": "assistant", "content": reply}, separators=(",", ":"), ensure_ascii=False)
    return b"%b,%b," % (body[place : -len(_END)], answer.encode("utf-8", "replace"))
