"""Random numbers by the seed of a run, one stream per source so that none disturbs another, and lengths drawn from them."""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loadgen.load.bulk import FileArray, spans

Source = Literal["arrivals", "input_tokens", "output_tokens", "prefix_groups", "dataset_order", "think_time"]

_STREAMS: dict[Source, int] = {
    "arrivals": 1,
    "input_tokens": 11,
    "output_tokens": 12,
    "prefix_groups": 13,
    "dataset_order": 14,
    "think_time": 15,
}


def random_stream(seed: int, source: Source) -> np.random.Generator:
    """The random numbers of one source for a run's numeric seed: the same on every server and every machine."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAMS[source],)))


def length_bounds(tokens: int, range_ratio: float) -> tuple[int, int]:
    """The shortest and the longest of lengths of `tokens` ± `range_ratio`, as `--random-range-ratio` of vllm bench has them."""
    return max(1, math.floor(tokens * (1 - range_ratio))), math.ceil(tokens * (1 + range_ratio))


def lengths(tokens: int, range_ratio: float, *, requests: int, seed: int, source: Source) -> NDArray[np.int32]:
    """`requests` lengths in tokens, int32 of shape (requests,), each whole number within the bounds equally likely."""
    shortest, longest = length_bounds(tokens, range_ratio)
    rng = random_stream(seed, source)

    def draw(number: int) -> NDArray[np.int32]:
        if shortest == longest:
            return np.full(number, tokens, dtype=np.int32)
        return rng.integers(shortest, longest + 1, size=number, dtype=np.int32)

    return FileArray.write(np.int32, (draw(end - begin) for begin, end in spans(requests)))
