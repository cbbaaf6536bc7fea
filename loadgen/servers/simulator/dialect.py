"""The documents and stream events of vLLM 0.32, byte for byte in shape, and the HTTP around them. Pure but for the date.

What does not change from one token to the next is encoded once: a middle chunk costs two lookups and one join.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus

import loadgen
from loadgen.servers.simulator.generation import REPLY_WORDS, Generation, reply_ids, reply_text
from loadgen.servers.simulator.options import SimulatorOptions

OWNER = "loadgen-simulator"
FINGERPRINT = f"loadgen-simulator-{loadgen.__version__}"
DONE = b"data: [DONE]\n\n"  # the last event of a stream
LAST_CHUNK = b"0\r\n\r\n"
EVENT_STREAM = "text/event-stream; charset=utf-8"
JSON = "application/json"


def encode(document: object) -> bytes:
    """Compact JSON, as vLLM writes it."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def framed(payload: bytes) -> bytes:
    """`payload` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def http_head(status: int, headers: Mapping[str, str | None], keep_alive: bool, version: str = "1.1") -> bytes:
    """Status line and headers; those that are None are left out."""
    lines = [
        f"HTTP/{version} {status} {HTTPStatus(status).phrase}",
        f"date: {format_datetime(datetime.now(UTC), usegmt=True)}",
        f"server: {OWNER}",
        *(f"{name}: {value}" for name, value in headers.items() if value is not None),
    ]
    if not keep_alive:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def event(document: object) -> bytes:
    """`document` as a server-sent event."""
    return b"data: " + encode(document) + b"\n\n"


def usage_of(prompt_tokens: int, output_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + output_tokens,
        "completion_tokens": output_tokens,
    }


def _choice(generation: Generation, tokens: range, index: int) -> dict[str, object]:
    """Choice `index` of a chunk that carries `tokens`, none for an empty delta."""
    text = reply_text(tokens)
    ids = reply_ids(tokens) if generation.return_token_ids else None
    last = len(tokens) > 0 and tokens.stop >= generation.output_tokens
    finish_reason = generation.finish_reason if last else None
    if not generation.chat:
        return {
            "index": index,
            "text": text,
            "logprobs": None,
            "finish_reason": finish_reason,
            "stop_reason": None,
            "prompt_token_ids": None,
            "token_ids": ids,
        }
    choice = {"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": finish_reason}
    if last:
        choice["stop_reason"] = None
    choice["token_ids"] = ids
    return choice


def _tails(chat: bool, return_token_ids: bool) -> tuple[bytes, ...]:
    """What follows `"choices":` in a middle chunk, by word, without the object's closing brace."""
    words = len(REPLY_WORDS)
    asked = Generation(chat, [], words + 1, 1, True, False, False, return_token_ids)
    return tuple(encode([_choice(asked, range(token, token + 1), 0)]) for token in range(words))


_TAILS = {(chat, ids): _tails(chat, ids) for chat in (False, True) for ids in (False, True)}


class StreamEncoder:
    """The events of one streamed response: `opening`, the `content` of each token, `closing`; `token` frames them for the wire."""

    __slots__ = ("_choices_prefix", "_head", "_named", "_prompt_tokens", "_tails", "generation")

    def __init__(self, generation: Generation, completion_id: str, created_s: int, model: str) -> None:
        kind = "chat.completion.chunk" if generation.chat else "text_completion"
        self._named = completion_id, created_s, model
        self._head: dict[str, object] = {"id": completion_id, "object": kind, "created": created_s, "model": model}
        self._choices_prefix = b"data: " + encode(self._head)[:-1] + b',"choices":'
        self._prompt_tokens = len(generation.prompt_ids)
        self._tails = _TAILS[generation.chat, generation.return_token_ids]
        self.generation = generation

    def answering(self, generation: Generation) -> "StreamEncoder":
        """The encoder of the same response, had the request asked for `generation`."""
        return StreamEncoder(generation, *self._named)

    def token(self, token: int) -> bytes:
        """All that goes out with token `token` (from 0) of every choice, as chunks; after the last, the end of the body."""
        generation = self.generation
        last = token == generation.output_tokens - 1
        if token and not last and generation.choices == 1:
            tail = self._tails[token % len(self._tails)]
            if generation.continuous_usage:
                usage = encode(usage_of(self._prompt_tokens, token + 1))
                return framed(b'%b%b,"usage":%b}\n\n' % (self._choices_prefix, tail, usage))
            return b"%x\r\n%b%b}\n\n\r\n" % (len(self._choices_prefix) + len(tail) + 3, self._choices_prefix, tail)
        parts = [framed(one) for one in self.events(token)]
        if last:
            parts.append(LAST_CHUNK)
        return b"".join(parts)

    def events(self, token: int) -> list[bytes]:
        """The events that go out with token `token`: the role before the first of a chat, usage and [DONE] after the last."""
        generation = self.generation
        found = [self.content(range(token, token + 1), index) for index in range(generation.choices)]
        if token == 0:
            found = self.opening() + found
        if token == generation.output_tokens - 1:
            found += self.closing()
        return found

    def opening(self) -> list[bytes]:
        """A chat's role, for each choice."""
        generation = self.generation
        if not generation.chat:
            return []
        found = []
        for index in range(generation.choices):
            delta = {"role": "assistant", "content": ""}
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            document = self._document([choice], 0)
            document["prompt_token_ids"] = generation.prompt_ids if generation.return_token_ids else None
            document["prompt_text"] = None
            found.append(event(document))
        return found

    def content(self, tokens: range, index: int = 0) -> bytes:
        """The event that carries `tokens` of choice `index`; an empty delta where there are none."""
        generation = self.generation
        choice = _choice(generation, tokens, index)
        if tokens.start == 0 and generation.return_token_ids and not generation.chat:
            choice["prompt_token_ids"] = generation.prompt_ids
        sent = max(0, tokens.stop - 1) * generation.choices + index + 1 if tokens else tokens.stop * generation.choices
        document = self._document([choice], sent)
        if choice["finish_reason"] and not generation.include_usage:
            document["system_fingerprint"] = FINGERPRINT
        return event(document)

    def closing(self) -> list[bytes]:
        """The usage, where it was asked for, and [DONE]."""
        found = [DONE]
        if self.generation.include_usage:
            document = {**self._head, "choices": [], "usage": self.usage(), "system_fingerprint": FINGERPRINT}
            found.insert(0, event(document))
        return found

    def usage(self) -> dict[str, int]:
        """What the whole response used, over all choices."""
        return usage_of(self._prompt_tokens, self.generation.choices * self.generation.output_tokens)

    def _document(self, choices: list[dict[str, object]], output_tokens: int) -> dict[str, object]:
        document: dict[str, object] = {**self._head, "choices": choices}
        if self.generation.continuous_usage:
            document["usage"] = usage_of(self._prompt_tokens, output_tokens)
        return document


def whole_response(generation: Generation, completion_id: str, created_s: int, model: str) -> dict[str, object]:
    """The document of a response that is not streamed."""
    prompt_ids = generation.prompt_ids if generation.return_token_ids else None
    ids = reply_ids(range(generation.output_tokens)) if generation.return_token_ids else None
    text = reply_text(range(generation.output_tokens))
    ending = {"logprobs": None, "finish_reason": "length", "stop_reason": None, "token_ids": ids}
    usage = {
        **usage_of(len(generation.prompt_ids), generation.choices * generation.output_tokens),
        "prompt_tokens_details": None,
        "completion_tokens_details": None,
    }
    shared = {"service_tier": None, "system_fingerprint": FINGERPRINT, "usage": usage}
    transfer = {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}
    kind = "chat.completion" if generation.chat else "text_completion"
    head = {"id": completion_id, "object": kind, "created": created_s, "model": model}
    if generation.chat:
        message = {
            "role": "assistant",
            "content": text,
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "reasoning": None,
        }
        return {
            **head,
            "choices": [
                {"index": index, "message": message, **ending, "routed_experts": None}
                for index in range(generation.choices)
            ],
            **shared,
            "prompt_logprobs": None,
            "prompt_token_ids": prompt_ids,
            "prompt_text": None,
            **transfer,
        }
    choice = {"text": text, **ending, "prompt_logprobs": None, "prompt_token_ids": prompt_ids, "routed_experts": None}
    return {
        **head,
        "choices": [{"index": index, **choice} for index in range(generation.choices)],
        **shared,
        **transfer,
    }


def models(options: SimulatorOptions, created_s: int) -> dict[str, object]:
    """The document of GET /v1/models."""
    model = {
        "id": options.model,
        "object": "model",
        "created": created_s,
        "owned_by": OWNER,
        "root": options.model,
        "parent": None,
        "max_model_len": options.max_model_len,
        "permission": [],
    }
    return {"object": "list", "data": [model]}


def version() -> dict[str, object]:
    return {"version": loadgen.__version__, "simulator": True}


def tokenized(ids: list[int], options: SimulatorOptions) -> dict[str, object]:
    """The document of POST /tokenize."""
    return {"count": len(ids), "max_model_len": options.max_model_len, "tokens": ids, "token_strs": None}
