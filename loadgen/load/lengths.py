"""How long each prompt and each answer is to be."""

import math

import numpy as np
from numpy.typing import NDArray

from loadgen.load.bulk import FileArray, spans
from loadgen.load.seeds import Source, stream


def bounds(tokens: int, range_ratio: float) -> tuple[int, int]:
    """The shortest and the longest of lengths of `tokens` ± `range_ratio`, as `--random-range-ratio` of vllm bench has them."""
    return max(1, math.floor(tokens * (1 - range_ratio))), math.ceil(tokens * (1 + range_ratio))


def lengths(tokens: int, range_ratio: float, requests: int, seed: int, source: Source) -> NDArray[np.int32]:
    """`requests` lengths in tokens, int32 of shape (requests,), each whole number within the bounds equally likely."""
    shortest, longest = bounds(tokens, range_ratio)
    rng = stream(seed, source)

    def draw(number: int) -> NDArray[np.int32]:
        if shortest == longest:
            return np.full(number, tokens, dtype=np.int32)
        return rng.integers(shortest, longest + 1, size=number, dtype=np.int32)

    return FileArray.write(np.int32, (draw(end - begin) for begin, end in spans(requests)))
