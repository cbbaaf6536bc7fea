"""The documents and stream chunks of vLLM 0.32, byte for byte in shape, and the framing of chunked HTTP around them. Pure.

What does not change from one token to the next is encoded once: a middle chunk costs two lookups and one join.
"""

import json
from typing import Any

import loadgen
from loadgen.servers.simulator.generation import Generation
from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.vocabulary import ANSWER_IDS, ANSWER_WORDS, answer_ids, answer_text

OWNER = "loadgen-simulator"
_FINGERPRINT = f"loadgen-simulator-{loadgen.__version__}"
_LAST_CHUNK = b"0\r\n\r\n"


def encode(document: object) -> bytes:
    """Compact JSON, as vLLM writes it."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def framed(payload: bytes) -> bytes:
    """`payload` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def _event(document: object) -> bytes:
    return framed(b"data: " + encode(document) + b"\n\n")


def _usage(prompt_tokens: int, output_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + output_tokens,
        "completion_tokens": output_tokens,
    }


def _choice(chat: bool, token: int, return_token_ids: bool, last: bool) -> dict[str, Any]:
    """The one entry of `choices` that carries token `token`."""
    word = ANSWER_WORDS[token % len(ANSWER_WORDS)]
    ids = [ANSWER_IDS[token % len(ANSWER_IDS)]] if return_token_ids else None
    finish_reason = "length" if last else None
    if not chat:
        return {
            "index": 0,
            "text": word,
            "logprobs": None,
            "finish_reason": finish_reason,
            "stop_reason": None,
            "prompt_token_ids": None,
            "token_ids": ids,
        }
    choice = {"index": 0, "delta": {"content": word}, "logprobs": None, "finish_reason": finish_reason}
    if last:
        choice["stop_reason"] = None
    choice["token_ids"] = ids
    return choice


def _tails(chat: bool, return_token_ids: bool) -> tuple[bytes, ...]:
    """What follows `"choices":` in a middle chunk, by word, without the object's closing brace."""
    return tuple(encode([_choice(chat, token, return_token_ids, False)]) for token in range(len(ANSWER_WORDS)))


_TAILS = {(chat, ids): _tails(chat, ids) for chat in (False, True) for ids in (False, True)}


class StreamEncoder:
    """The chunks of one streamed answer, each ready for the wire."""

    __slots__ = ("_choices_prefix", "_generation", "_head", "_prompt_tokens", "_tails")

    def __init__(self, generation: Generation, completion_id: str, created_s: int, model: str) -> None:
        kind = "chat.completion.chunk" if generation.chat else "text_completion"
        self._head = {"id": completion_id, "object": kind, "created": created_s, "model": model}
        self._choices_prefix = b"data: " + encode(self._head)[:-1] + b',"choices":'
        self._generation = generation
        self._prompt_tokens = len(generation.prompt_ids)
        self._tails = _TAILS[generation.chat, generation.return_token_ids]

    def token(self, token: int) -> bytes:
        """The chunk of token `token` (from 0). Before the first of a chat goes the role; after the last, usage and the end."""
        generation = self._generation
        last = token == generation.output_tokens - 1
        if token and not last:
            tail = self._tails[token % len(self._tails)]
            if generation.continuous_usage:
                payload = b'%b%b,"usage":%b}\n\n' % (
                    self._choices_prefix,
                    tail,
                    encode(_usage(self._prompt_tokens, token + 1)),
                )
                return framed(payload)
            return b"%x\r\n%b%b}\n\n\r\n" % (len(self._choices_prefix) + len(tail) + 3, self._choices_prefix, tail)
        parts: list[bytes] = []
        choice = _choice(generation.chat, token, generation.return_token_ids, last)
        if token == 0:
            if generation.chat:
                parts.append(_event(self._role()))
            elif generation.return_token_ids:
                choice["prompt_token_ids"] = generation.prompt_ids
        document = self._document([choice], token + 1)
        if last and not generation.include_usage:
            document["system_fingerprint"] = _FINGERPRINT
        parts.append(_event(document))
        if last:
            parts.append(self._end())
        return b"".join(parts)

    def _document(self, choices: list[dict[str, Any]], output_tokens: int) -> dict[str, Any]:
        document: dict[str, Any] = {**self._head, "choices": choices}
        if self._generation.continuous_usage:
            document["usage"] = _usage(self._prompt_tokens, output_tokens)
        return document

    def _role(self) -> dict[str, Any]:
        delta = {"role": "assistant", "content": ""}
        document = self._document([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}], 0)
        generation = self._generation
        document["prompt_token_ids"] = generation.prompt_ids if generation.return_token_ids else None
        document["prompt_text"] = None
        return document

    def _end(self) -> bytes:
        parts = [framed(b"data: [DONE]\n\n"), _LAST_CHUNK]
        generation = self._generation
        if generation.include_usage:
            usage = _usage(self._prompt_tokens, generation.output_tokens)
            document = {**self._head, "choices": [], "usage": usage, "system_fingerprint": _FINGERPRINT}
            parts.insert(0, _event(document))
        return b"".join(parts)


def whole_answer(generation: Generation, completion_id: str, created_s: int, model: str) -> dict[str, Any]:
    """The document of an answer that is not streamed."""
    prompt_ids = generation.prompt_ids if generation.return_token_ids else None
    ids = answer_ids(generation.output_tokens) if generation.return_token_ids else None
    text = answer_text(generation.output_tokens)
    ending = {"logprobs": None, "finish_reason": "length", "stop_reason": None, "token_ids": ids}
    usage = {
        **_usage(len(generation.prompt_ids), generation.output_tokens),
        "prompt_tokens_details": None,
        "completion_tokens_details": None,
    }
    shared = {"service_tier": None, "system_fingerprint": _FINGERPRINT, "usage": usage}
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
            "choices": [{"index": 0, "message": message, **ending, "routed_experts": None}],
            **shared,
            "prompt_logprobs": None,
            "prompt_token_ids": prompt_ids,
            "prompt_text": None,
            **transfer,
        }
    choice = {"index": 0, "text": text, **ending, "prompt_logprobs": None, "prompt_token_ids": prompt_ids}
    return {
        **head,
        "choices": [{**choice, "routed_experts": None}],
        **shared,
        **transfer,
    }


def models(options: SimulatorOptions, created_s: int) -> dict[str, Any]:
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


def version() -> dict[str, Any]:
    """The document of GET /version."""
    return {"version": loadgen.__version__, "simulator": True}


def tokenized(ids: list[int], options: SimulatorOptions) -> dict[str, Any]:
    """The document of POST /tokenize."""
    return {"count": len(ids), "max_model_len": options.max_model_len, "tokens": ids, "token_strs": None}
