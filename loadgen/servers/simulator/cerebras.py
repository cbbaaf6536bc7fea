"""What Cerebras' API asks of a request, and how it refuses one: a twin of its documentation, not of its machines. Pure.

Sources (read in November 2026): inference-docs.cerebras.ai, "Rate Limits" (token buckets that fill continuously; a request counts
with its prompt and `max_completion_tokens`, or with the longest sequence where it states none; the headers), "Chat Completions" and
"Completions" (the fields; `time_info`), "OpenAI Compatibility" (fields that are answered with 400); the form of the errors and
their codes as users report them from there. Which models take which sampling fields changes with its releases: the twin
refuses those that the compatibility page has named.
"""

import random
from collections.abc import Mapping
from dataclasses import replace

from loadgen.servers.simulator.generation import Generation, SimulatedRefusal, parse_generation, parse_object
from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.quota import Bucket, Limited, Quota

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
    """What request number `ordinal` asks for, and how long its answer will be. Raises `SimulatedRefusal`."""
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
    """Its limits per minute."""
    return Quota(options.rate_limits, Bucket, _too_many)


def limit_headers(quota: Quota, options: SimulatorOptions, now_ns: int) -> dict[str, str | None]:
    """The headers that tell a client of its limit of tokens, on every answer. The day's limit, which it has too, we do not enforce."""
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
    """After how many tokens the model would end this answer by itself."""
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
