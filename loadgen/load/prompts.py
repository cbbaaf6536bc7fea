"""The prompts of a run as its workload asks: of the lengths asked, with shared prefixes, with images.

All text depends on the prompt seed, a string unique to a run, so that no two runs share a prefix that the server may have
cached; which prompts share a prefix depends on the numeric seed, as arrivals and lengths do.
"""

import base64
import hashlib
import string
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.load.body import Dialect, Prompt
from loadgen.load.bulk import items
from loadgen.load.length_fit import WORDS, FittedTexts, LengthFit
from loadgen.load.sampling import random_stream
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Images, SharedPrefix

CountTokens = Callable[[str], int | None]
"""Counts the prompt tokens of a text as the server does, its chat template included; None once it no longer asks."""

Counts = CountTokens | LengthFit | None
"""How the tokens of a text are known: the server's tokenizer, a fit of what it reported, or not at all."""

# Every vocabulary in use has ordinary tokens here: special and byte tokens sit below 300 or at the far end.
FIRST_SAFE_TOKEN_ID = 300
LAST_SAFE_TOKEN_ID = 1999

_SMALLEST_ALPHABET = 16

_FIT_ATTEMPTS = 16

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_URL_PREFIX = "data:image/png;base64,"
_BITS_PER_CHANNEL, _RGB = 8, 2
_BYTES_AROUND_PIXELS = len(_SIGNATURE) + 3 * 12 + 13 + 11  # three chunks, the header's content, zlib's own bytes
_STORED_RATIO = 1.0005  # deflate's stored blocks: five more bytes to each of 16 KiB or more


def generator(prompt_seed: str) -> np.random.Generator:
    """Return the random source of a run's prompts; different strings give unrelated ones."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(prompt_seed.encode()).digest(), "big"))


def ordinary_ids(seen: Sequence[int]) -> tuple[int, ...]:
    """The ids to draw prompts from, given those that a tokenizer `seen` made of English words; empty for the safe range.

    A vocabulary of characters has no ids in the safe range: its prompts are drawn from the ids that were seen.
    """
    ids = tuple(sorted(set(seen)))
    return ids if len(ids) >= _SMALLEST_ALPHABET and ids[-1] < FIRST_SAFE_TOKEN_ID else ()


def token_prompt(length: int, rng: np.random.Generator, ids: Sequence[int] = ()) -> list[int]:
    """Return a prompt of exactly `length` token ids, uniform over `ids`, or over the safe range without any."""
    drawn: NDArray[np.int64]
    if ids:
        drawn = rng.choice(np.asarray(ids), size=length)
    else:
        drawn = rng.integers(FIRST_SAFE_TOKEN_ID, LAST_SAFE_TOKEN_ID + 1, size=length)
    found: list[int] = drawn.tolist()
    return found


def text_prompt(
    length: int, rng: np.random.Generator, count_tokens: CountTokens | None = None, prefix: str | None = None
) -> str:
    """Return plain words of about `length` tokens; with `count_tokens`, of exactly that length if the tokenizer allows it.

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


def prompts(
    spec: RunSpec,
    input_tokens: NDArray[np.int32],
    *,
    prompt_seed: str,
    dialect: Dialect,
    counts: Counts = None,
    ids: Sequence[int] = (),
) -> Iterator[Prompt]:
    """Yield one prompt for each of `input_tokens`, int32 of shape (n,); texts are fitted by `counts`.

    Token ids are drawn from `ids`, or from the safe range without any.

    Of a conversation, a prompt is what the user adds at each turn; only the first turn begins with a shared prefix.
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
            shared_ids = [token_prompt(prefix.tokens, source, ids) for source in sources]
        else:
            shared_texts = [_texts(counts, source)(prefix.tokens, None) for source in sources]
    text_of = _texts(counts, rng)
    for place, length in enumerate(items(input_tokens)):
        group, begins = groups[place // turns], place % turns == 0
        if as_ids:
            before = shared_ids[group] if shared_ids and begins else []
            yield before + token_prompt(length - len(before), rng, ids)
            continue
        text = text_of(length, shared_texts[group] if shared_texts and begins else None)
        yield text if images is None else _with_images(text, images, rng)


def _texts(counts: Counts, rng: np.random.Generator) -> Callable[[int, str | None], str]:
    """Return what makes a text of a length in tokens, after a prefix."""
    if isinstance(counts, LengthFit):
        return FittedTexts(counts, rng).text
    return lambda length, prefix: text_prompt(length, rng, counts, prefix)


def _groups(prefix: SharedPrefix | None, sessions: int, seed: int) -> NDArray[np.int32]:
    """The group of each conversation, which may be a single request, in random order; sizes differ by at most one."""
    if prefix is None or prefix.groups == 1:
        return np.broadcast_to(np.int32(0), sessions)
    return random_stream(seed, "prefix_groups").permutation(
        np.arange(sessions, dtype=np.int32) % np.int32(prefix.groups)
    )


def _with_images(text: str, images: Images, rng: np.random.Generator) -> list[dict[str, Any]]:
    """A user's message of images and the text that asks about them, in the parts that OpenAI's chat endpoint defines."""
    parts = [
        {"type": "image_url", "image_url": {"url": data_url(images.width, images.height, rng)}}
        for _ in range(images.per_request)
    ]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def png(width: int, height: int, rng: np.random.Generator) -> bytes:
    """An RGB file of `width` × `height` pixels of noise, after the PNG specification (ISO/IEC 15948).

    Noise, so that no server can have it in its cache. It does not compress, so it is stored as it is, which makes its size known.
    """
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = rng.integers(0, 256, size=(height, 3 * width), dtype=np.uint8)
    header = struct.pack(">IIBBBBB", width, height, _BITS_PER_CHANNEL, _RGB, 0, 0, 0)
    pixels = zlib.compress(rows.tobytes(), level=0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def data_url(width: int, height: int, rng: np.random.Generator) -> str:
    """A new image as a `data:` URL."""
    return _URL_PREFIX + base64.b64encode(png(width, height, rng)).decode("ascii")


def url_bytes(width: int, height: int) -> int:
    """How long such a URL is, to a thousandth."""
    file_bytes = _BYTES_AROUND_PIXELS + height * (1 + 3 * width) * _STORED_RATIO
    return len(_URL_PREFIX) + round(file_bytes * 4 / 3)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
