"""The prompts of a run, one after the other, as its workload says: of the lengths asked, with shared beginnings, with images.

All text depends on the prompt seed, and who shares which prefix on the
numeric one.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.load.bulk import items
from loadgen.load.content import Images, SharedPrefix
from loadgen.load.fitted_text import FittedTexts
from loadgen.load.images import data_url
from loadgen.load.length_fit import LengthFit
from loadgen.load.seeds import stream
from loadgen.load.spec import RunSpec
from loadgen.load.workload import CountTokens, Dialect, Prompt, generator, text_prompt, token_prompt

Counts = CountTokens | LengthFit | None
"""What tells the tokens of a text: the server's tokenizer, a fit of what it reported, or nothing."""


def prompts(
    spec: RunSpec,
    input_tokens: NDArray[np.int32],
    prompt_seed: str,
    dialect: Dialect,
    counts: Counts = None,
) -> Iterator[Prompt]:
    """One prompt for each of `input_tokens`, which is int32 of shape (n,), fitted by `counts` where it is a text.

    Of a conversation, what a user adds at each turn; its first turn alone begins with a shared prefix.
    """
    rng = generator(prompt_seed)
    prefix, images = spec.workload.prefix, spec.workload.images
    as_ids = spec.endpoint == "completions" and dialect == "vllm"
    turns = spec.workload.turns
    groups = _groups(prefix, -(-len(input_tokens) // turns), spec.seed)
    shared_ids, shared_texts = [], []
    if prefix is not None:
        sources = [generator(f"{prompt_seed}/prefix/{group}") for group in range(prefix.groups)]
        if as_ids:
            shared_ids = [token_prompt(prefix.tokens, source) for source in sources]
        else:
            shared_texts = [_texts(counts, source)(prefix.tokens, None) for source in sources]
    text_of = _texts(counts, rng)
    for place, length in enumerate(items(input_tokens)):
        group, begins = groups[place // turns], place % turns == 0
        if as_ids:
            before = shared_ids[group] if shared_ids and begins else []
            yield before + token_prompt(length - len(before), rng)
            continue
        text = text_of(length, shared_texts[group] if shared_texts and begins else None)
        yield text if images is None else _with_images(text, images, rng)


def _texts(counts: Counts, rng: np.random.Generator) -> Callable[[int, str | None], str]:
    """What makes a text of a length in tokens, after a prefix."""
    if isinstance(counts, LengthFit):
        return FittedTexts(counts, rng).text
    return lambda length, prefix: text_prompt(length, rng, counts, prefix)


def _groups(prefix: SharedPrefix | None, sessions: int, seed: int) -> NDArray[np.int32]:
    """The group of each conversation, which may be a single request: all as large as each other, or one larger, in an order of chance."""
    if prefix is None or prefix.groups == 1:
        return np.broadcast_to(np.int32(0), sessions)
    return stream(seed, "prefix_groups").permutation(np.arange(sessions, dtype=np.int32) % np.int32(prefix.groups))


def _with_images(text: str, images: Images, rng: np.random.Generator) -> list[dict[str, Any]]:
    """A user's message of images and the text that asks about them, in the parts that OpenAI's chat endpoint defines."""
    parts = [
        {"type": "image_url", "image_url": {"url": data_url(images.width, images.height, rng)}}
        for _ in range(images.per_request)
    ]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]
