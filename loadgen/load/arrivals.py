"""When requests are meant to arrive: pure functions from (seed, rate, how many) to offsets.

An offset is an integer count of nanoseconds from t = 0. Nothing here looks at a clock.
"""

import math

import numpy as np
from numpy.typing import NDArray

from loadgen.load.spec import Arrivals

NS_PER_S = 1_000_000_000
_ARRIVALS_STREAM = 1  # each source of randomness has its own stream of the seed; prompts never disturb arrivals


def offsets_ns(process: Arrivals, rate_per_s: float, requests: int, seed: int) -> NDArray[np.int64]:
    """Intended send times of `requests` arrivals, ascending, int64 nanoseconds from t = 0.

    constant: request i at i / rate. poisson: independent exponential gaps of mean 1 / rate, the first one included.
    """
    if process == "constant":
        offsets_s = np.arange(requests) / rate_per_s
    else:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ARRIVALS_STREAM,)))
        offsets_s = np.cumsum(rng.exponential(1.0 / rate_per_s, requests))
    return np.rint(offsets_s * NS_PER_S).astype(np.int64)


def requests_within(process: Arrivals, rate_per_s: float, duration_s: float, seed: int) -> int:
    """How many arrivals of the same process and seed fall in [0, duration_s)."""
    expected = rate_per_s * duration_s
    ample = math.ceil(expected + 10 * math.sqrt(expected) + 10)  # ten standard deviations
    return int(np.searchsorted(offsets_ns(process, rate_per_s, ample, seed), round(duration_s * NS_PER_S)))
