"""One stream of random numbers per source of randomness, so that none disturbs another."""

from typing import Literal

import numpy as np

Source = Literal["input_tokens", "output_tokens", "prefix_groups", "dataset_order", "think_time"]

_STREAMS: dict[Source, int] = {
    "input_tokens": 11,  # the numbers below belong to the arrivals
    "output_tokens": 12,
    "prefix_groups": 13,
    "dataset_order": 14,
    "think_time": 15,
}


def stream(seed: int, source: Source) -> np.random.Generator:
    """The random numbers of one source for a run's numeric seed: the same on every server and every machine."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAMS[source],)))
