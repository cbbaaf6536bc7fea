"""What is asked: prompts of a stated length in tokens, each unlike all others, and the JSON bodies that carry them.

Prompts are drawn from a seed of their own (a string, unique to a run), so that two runs never share a prefix which the
server may have cached, while arrivals and lengths stay the same for the same numeric seed.
"""

import hashlib
import json
import string
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from loadgen.load.adaptation import Adaptation, adapt
from loadgen.load.spec import Endpoint
from loadgen.load.words import WORDS

Dialect = Literal["vllm", "openai", "cerebras"]
"""What the server understands: `vllm` takes token ids as prompt, and `ignore_eos`; `openai` neither. `cerebras` is as `openai`,
refuses every field that it does not know, and calls the longest answer of a chat `max_completion_tokens` alone."""

ChunkCounts = Literal["token_ids", "usage"]
"""A means by which a server tells the tokens of each chunk: `return_token_ids`, or `continuous_usage_stats`."""

Prompt = str | list[int] | list[dict[str, Any]]
"""A text, token ids (completions), or messages (chat, where a text becomes the one message of a user)."""

CountTokens = Callable[[str], int | None]
"""How many prompt tokens the server makes of a text, its chat template included; None: it is not asked any more."""

# Every vocabulary in use has ordinary tokens here: special and byte tokens sit below 300 or at the far end.
FIRST_SAFE_TOKEN_ID = 300
LAST_SAFE_TOKEN_ID = 1999

NO_FIELDS: Mapping[str, Any] = MappingProxyType({})

_FIT_ATTEMPTS = 16


def generator(prompt_seed: str) -> np.random.Generator:
    """The random source of a run's prompts: any string, different strings give unrelated streams."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(prompt_seed.encode()).digest(), "big"))


def token_prompt(length: int, rng: np.random.Generator) -> list[int]:
    """A prompt of exactly `length` token ids, uniform over the safe range."""
    ids: list[int] = rng.integers(FIRST_SAFE_TOKEN_ID, LAST_SAFE_TOKEN_ID + 1, size=length).tolist()
    return ids


def text_prompt(
    length: int, rng: np.random.Generator, count_tokens: CountTokens | None = None, prefix: str | None = None
) -> str:
    """Plain words of about `length` tokens; with `count_tokens`, of exactly that length where the tokenizer allows it.

    `prefix` stands before them and counts. A length below the template's own, or the prefix's, gives a single word. The
    closest text of a bounded number of attempts is returned.
    """
    before = prefix.split() if prefix else []

    def text() -> str:
        return " ".join([*before, *words])

    words = [str(word) for word in rng.choice(WORDS, max(1, length - len(before)))]
    if count_tokens is None:
        return text()
    closest, closest_miss = words, None
    for _ in range(_FIT_ATTEMPTS):
        counted = count_tokens(text())
        if counted is None:
            return text()
        miss = counted - length
        if closest_miss is None or abs(miss) < abs(closest_miss):
            closest, closest_miss = words, miss
        if miss == 0 or (miss > 0 and len(words) == 1):
            break
        if miss > 0:
            tokens_per_word = max(1.0, counted / (len(before) + len(words)))
            words = words[: max(1, len(words) - max(1, int(miss / tokens_per_word)))]
        else:
            # Letters are nearly always one token each, so they close a small gap without overshooting it.
            letters = list(string.ascii_lowercase)
            words = [*words, *(str(word) for word in rng.choice(letters, -miss))]
    words = closest
    return text()


def encode_body(
    endpoint: Endpoint,
    dialect: Dialect,
    model: str,
    prompt: Prompt,
    output_tokens: int,
    chunk_counts: tuple[ChunkCounts, ...],
    choices: int = 1,
    adaptation: Adaptation = (),
    fields: Mapping[str, Any] = NO_FIELDS,
) -> bytes:
    """The JSON body of one streaming request, greedy, of exactly `output_tokens` where the dialect can ask for it.

    `chunk_counts` are the means by which the server is asked to tell the tokens of each chunk. Several `choices`, each of
    `output_tokens`, are sampled: greedy ones would be the same, and vLLM refuses them. `adaptation` is what the endpoint refused
    to take in that form.
    `fields` are sent as they are, instead of loadgen's own where both have one.
    """
    longest = "max_completion_tokens" if dialect == "cerebras" and endpoint == "chat" else "max_tokens"
    body: dict[str, Any] = {
        "model": model,
        longest: output_tokens,
        "temperature": 0 if choices == 1 else 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if choices > 1:
        body["n"] = choices
    if dialect == "vllm":
        body["ignore_eos"] = True
    if "token_ids" in chunk_counts:
        body["return_token_ids"] = True
    if "usage" in chunk_counts:
        body["stream_options"]["continuous_usage_stats"] = True
    body |= fields
    adapt(body, adaptation)
    if endpoint == "completions":
        body["prompt"] = prompt
    else:
        # Last, where `conversation` puts in what was said before.
        body["messages"] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
