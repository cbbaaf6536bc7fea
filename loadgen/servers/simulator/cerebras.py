"""Cerebras' API: what it asks of a request, how it refuses one, and its answers. A twin of its documentation, not of its machines.

Sources (read in November 2026): inference-docs.cerebras.ai, "Rate Limits" (token buckets that fill continuously; a request counts
with its prompt and `max_completion_tokens`, or with the longest sequence where it states none; the headers), "Chat Completions" and
"Completions" (the fields; `time_info`), "OpenAI Compatibility" (fields that are answered with 400); the form of the errors and
their codes as users report them from there. Which models take which sampling fields changes with its releases: the twin
refuses those that the compatibility page has named.

The last chunk of a response, with the `time_info` that is the truth of this server about itself, is encoded when all tokens have gone
out, so that the times in it are those that really were.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from loadgen.servers.simulator.dialect import (
    DONE,
    FINGERPRINT,
    LAST_CHUNK,
    StreamEncoder,
    encode,
    event,
    framed,
    usage_of,
)
from loadgen.servers.simulator.generation import (
    Generation,
    SimulatedRefusal,
    parse_generation,
    parse_object,
    reply_text,
)
from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.quota import Bucket, Limited, Quota
from loadgen.servers.simulator.script import Ending, Script, StreamedResponse, Write
from loadgen.servers.simulator.truth import TruthRecord

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/models")
"""All that it serves; of vLLM's own paths it has none."""

_SHARED = (
    "model",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "user",
    "n",
    "logprobs",
    "min_tokens",
)
_CHAT = (
    "messages",
    "max_completion_tokens",
    "max_tokens",
    "min_completion_tokens",
    "top_logprobs",
    "response_format",
    "tools",
    "tool_choice",
    "reasoning_effort",
    "prediction",
)
_COMPLETIONS = ("prompt", "max_tokens", "echo", "return_raw_tokens", "grammar_root")

_QUOTA_MESSAGES: dict[Limited, tuple[str, str]] = {
    "requests": ("Requests per minute limit exceeded - too many requests sent.", "request_quota_exceeded"),
    "tokens": ("Tokens per minute limit exceeded - too many tokens processed.", "token_quota_exceeded"),
}


def check_key(headers: Mapping[str, str], key: str | None) -> None:
    """Raises `SimulatedRefusal` (401) for a request without the key, where there is one."""
    if key is not None and headers.get("authorization") != f"Bearer {key}":
        raise SimulatedRefusal(
            "Wrong API Key", "api_key", status=401, kind="invalid_request_error", code="wrong_api_key"
        )


def parse(body: bytes, chat: bool, options: SimulatorOptions, ordinal: int) -> Generation:
    """What request number `ordinal` asks for, and how long its response will be. Raises `SimulatedRefusal`."""
    document = parse_object(body)
    known = _SHARED + (_CHAT if chat else _COMPLETIONS)
    strangers = [f"body.{key}" for key in document if key not in known]
    stream_options = document.get("stream_options")
    if isinstance(stream_options, dict):
        strangers += [f"body.stream_options.{key}" for key in stream_options if key != "include_usage"]
    if strangers:
        message = "\n".join(f"{name}: property '{name}' is unsupported" for name in strangers)
        raise _wrong(message, "validation_error", "wrong_api_format")
    if document.get("model") != options.model:
        message = f"Model {document.get('model')} does not exist or you do not have access to it."
        raise SimulatedRefusal(message, "model", status=404, kind="not_found_error", code="model_not_found")
    try:
        generation = parse_generation(body, chat, options)
    except SimulatedRefusal as refusal:
        raise _wrong(refusal.message, refusal.param or "validation_error", "wrong_api_format") from refusal
    room_tokens = options.max_model_len - len(generation.prompt_ids)
    is_bounded = any(document.get(key) is not None for key in ("max_completion_tokens", "max_tokens"))
    asked_tokens = generation.output_tokens if is_bounded else room_tokens
    own_end_tokens = min(_own_end(options, ordinal) or asked_tokens, room_tokens)
    return replace(
        generation,
        output_tokens=min(asked_tokens, own_end_tokens),
        finish_reason="stop" if own_end_tokens < asked_tokens else "length",
        asked_tokens=asked_tokens,
    )


def quota_of(options: SimulatorOptions) -> Quota:
    return Quota(options.rate_limits, Bucket, _too_many)


def limit_headers(quota: Quota, options: SimulatorOptions, now_ns: int) -> dict[str, str | None]:
    """The headers that tell a client of its limit of tokens, on every response. The day's limit, which it has too, we do not enforce."""
    bucket = quota.tokens
    if not isinstance(bucket, Bucket):
        return {}
    most = options.tokens_per_minute or 0
    left = max(0.0, bucket.left(now_ns))
    return {
        "x-ratelimit-limit-tokens-minute": str(most),
        "x-ratelimit-remaining-tokens-minute": str(int(left)),
        "x-ratelimit-reset-tokens-minute": f"{(1 - left / most) * options.minute_s:.6f}",
    }


def error(refusal: SimulatedRefusal) -> dict[str, object]:
    """The document of an error: flat, with a word as its code."""
    return {"message": refusal.message, "type": refusal.kind, "param": refusal.param, "code": refusal.code or "error"}


def models(options: SimulatorOptions, created_s: int, owner: str) -> dict[str, object]:
    """The document of GET /v1/models; the owner says that it is simulated."""
    entry = {"id": options.model, "object": "model", "created": created_s, "owned_by": f"{owner}/cerebras"}
    return {"object": "list", "data": [entry]}


def _own_end(options: SimulatorOptions, ordinal: int) -> int | None:
    """After how many tokens the model would end this response by itself."""
    if options.answer_tokens is None:
        return None
    half = options.answer_tokens // 2
    return max(
        1,
        random.Random(f"{options.seed}:{ordinal}:end").randint(
            options.answer_tokens - half, options.answer_tokens + half
        ),
    )


def _too_many(retry_after_s: int, limited: Limited) -> SimulatedRefusal:
    message, code = _QUOTA_MESSAGES[limited]
    return SimulatedRefusal(
        message, "quota", status=429, kind="too_many_requests_error", retry_after_s=retry_after_s, code=code
    )


def _wrong(message: str, param: str, code: str) -> SimulatedRefusal:
    return SimulatedRefusal(message, param, kind="invalid_request_error", code=code)


HttpResponse = Callable[[bytes], bytes]
"""A body as the whole response."""


class CerebrasEncoder(StreamEncoder):
    """The events of one response. The finishing chunk has no content; one of usage and `time_info` alone follows it."""

    __slots__ = ("_record",)

    def __init__(
        self, generation: Generation, completion_id: str, created_s: int, model: str, record: TruthRecord
    ) -> None:
        super().__init__(generation, completion_id, created_s, model)
        self._record = record

    def answering(self, generation: Generation) -> "CerebrasEncoder":
        return CerebrasEncoder(generation, *self._named, self._record)

    def token(self, token: int) -> bytes:
        """Token `token` of every choice, framed; the end of the response is not in it."""
        generation = self.generation
        events = [self.content(range(token, token + 1), index) for index in range(generation.choices)]
        if token == 0:
            events = self.opening() + events
        return b"".join(framed(one) for one in events)

    def opening(self) -> list[bytes]:
        if not self.generation.chat:
            return []
        return [self._event(index, {"role": "assistant"}, "", None) for index in range(self.generation.choices)]

    def content(self, tokens: range, index: int = 0) -> bytes:
        text = reply_text(tokens)
        return self._event(index, {"content": text}, text, None)

    def closing(self) -> list[bytes]:
        generation = self.generation
        found = [self._event(index, {}, "", generation.finish_reason) for index in range(generation.choices)]
        record = self._record
        sent_ns = record.sent_ns
        start_ns = record.arrival_ns if record.start_ns is None else record.start_ns
        first_ns, last_ns = (sent_ns[0], sent_ns[-1]) if sent_ns else (start_ns, start_ns)
        ending = {
            **self._head,
            "choices": [],
            "system_fingerprint": FINGERPRINT,
            "usage": self.usage(),
            "time_info": time_info(record, first_ns, last_ns, self._named[1]),
        }
        return [*found, event(ending), DONE]

    def _event(self, index: int, delta: dict[str, str], text: str, finish_reason: str | None) -> bytes:
        choice: dict[str, object] = {"delta": delta} if self.generation.chat else {"text": text}
        if finish_reason is not None:
            choice["finish_reason"] = finish_reason
        return event({**self._head, "choices": [{**choice, "index": index}], "system_fingerprint": FINGERPRINT})


def streamed(response: StreamedResponse) -> Script:
    """Each token in a chunk of its own, when it is due, and the end right after the last."""
    encoder, choices = response.encoder, response.encoder.generation.choices
    before = response.head()
    for token in range(response.output_tokens):
        yield Write(token, before + encoder.token(token), choices)
        before = b""
    ending = b"".join(framed(one) for one in encoder.closing()) + LAST_CHUNK
    yield Write(response.output_tokens - 1, ending, 0, Ending.ANSWERED)


def whole(
    generation: Generation, completion_id: str, created_s: int, model: str, record: TruthRecord, response: HttpResponse
) -> Script:
    """A response that is not streamed, encoded when its last token would be due."""
    last = generation.output_tokens - 1
    yield Write(0, b"", 0)
    first_ns = time.monotonic_ns()
    yield Write(last, b"", 0)
    text = reply_text(range(generation.output_tokens))
    said: dict[str, object] = {"message": {"role": "assistant", "content": text}} if generation.chat else {"text": text}
    document = {
        "id": completion_id,
        "choices": [
            {"finish_reason": generation.finish_reason, "index": index, **said} for index in range(generation.choices)
        ],
        "created": created_s,
        "model": model,
        "system_fingerprint": FINGERPRINT,
        "object": "chat.completion" if generation.chat else "text_completion",
        "usage": usage_of(len(generation.prompt_ids), generation.choices * generation.output_tokens),
        "time_info": time_info(record, first_ns, time.monotonic_ns(), created_s),
    }
    yield Write(last, response(encode(document)), record.output_tokens, Ending.ANSWERED)


def time_info(record: TruthRecord, first_ns: int, last_ns: int, created_s: int) -> dict[str, float]:
    """Where the time of a request went, in seconds: it waited, its prompt was read, its tokens were made."""
    start_ns = record.arrival_ns if record.start_ns is None else record.start_ns
    return {
        "queue_time": (start_ns - record.arrival_ns) / 1e9,
        "prompt_time": (first_ns - start_ns) / 1e9,
        "completion_time": (last_ns - first_ns) / 1e9,
        "total_time": (last_ns - record.arrival_ns) / 1e9,
        "created": created_s,
    }
