"""When requests are meant to arrive: pure functions from (shape, how many, seed) to offsets.

An offset is an integer count of nanoseconds from t = 0. Nothing here looks at a clock.

A process is drawn at one arrival per unit of time and then stretched: arrival number x of it happens at the moment at which
the rate, summed from t = 0, has come to x. So every process can have a constant rate or a ramp.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from loadgen.load.bulk import FileArray
from loadgen.load.spec import OpenLoop, Ramp

NS_PER_S = 1_000_000_000
_ARRIVALS_STREAM = 1  # each source of randomness has its own stream of the seed; prompts never disturb arrivals
_ARRIVALS_AT_ONCE = 4_096

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


def offsets_ns(shape: OpenLoop, requests: int, seed: int) -> NDArray[np.int64]:
    """Intended send times of `requests` arrivals, ascending, int64 nanoseconds from t = 0.

    At a constant rate: constant has request i at i / rate; poisson has independent exponential gaps of mean 1 / rate, the
    first one included; gamma has gamma-distributed gaps of the same mean and of shape `burstiness`, so that their
    coefficient of variation is 1/sqrt(burstiness), and 1 is poisson.
    """
    return FileArray.write(np.int64, _first(requests, _pieces_ns(shape, seed)))


def requests_within(shape: OpenLoop, duration_s: float, seed: int) -> int:
    """How many arrivals of the same shape and seed fall in [0, duration_s)."""
    end_ns = round(duration_s * NS_PER_S)
    within = 0
    for piece in _pieces_ns(shape, seed):
        within += int(np.searchsorted(piece, end_ns))
        if piece[-1] >= end_ns:
            break
    return within


def _first(requests: int, pieces: Iterator[Int64]) -> Iterator[Int64]:
    for begin in range(0, requests, _ARRIVALS_AT_ONCE):
        yield next(pieces)[: requests - begin]


def _pieces_ns(shape: OpenLoop, seed: int) -> Iterator[Int64]:
    """Arrivals without end, some after the other."""
    for units in _at_unit_rate(shape, seed):
        offsets_s = units / shape.rate_per_s if shape.ramp is None else _along(shape.ramp, shape.rate_per_s, units)
        yield np.rint(offsets_s * NS_PER_S).astype(np.int64)


def _at_unit_rate(shape: OpenLoop, seed: int) -> Iterator[Float64]:
    """Arrivals at a mean of one per unit of time, without end: as one draw of all of them would have them, to the last bit."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ARRIVALS_STREAM,)))
    last = 0.0
    for first in itertools.count(0, _ARRIVALS_AT_ONCE):
        if shape.arrivals == "constant":
            yield np.arange(first, first + _ARRIVALS_AT_ONCE, dtype=np.float64)
            continue
        if shape.burstiness is None:
            gaps = rng.standard_exponential(_ARRIVALS_AT_ONCE)
        else:
            gaps = rng.standard_gamma(shape.burstiness, _ARRIVALS_AT_ONCE) / shape.burstiness
        gaps[0] += last
        units = np.cumsum(gaps)
        last = units[-1]
        yield units


def _along(ramp: Ramp, start_per_s: float, arrivals: Float64) -> Float64:
    """The moments, in seconds, at which a rate that follows `ramp` from `start_per_s` has summed up to `arrivals`.

    Linear, r(t) = a + (b − a)t/T, sums up to at + (b − a)t²/2T; exponential, r(t) = a(b/a)^(t/T), to
    (r(t) − a)T/ln(b/a). Both are solved for t here. After T the rate stays at b.
    """
    end_per_s, over_s = ramp.to_per_s, ramp.over_s
    within = ramp.mean_rate_per_s(start_per_s) * over_s
    on_the_ramp = np.minimum(arrivals, within)
    if ramp.strategy == "linear":
        # The root in the form that stays exact where the slope is small.
        slope = (end_per_s - start_per_s) / over_s
        root = np.sqrt(np.maximum(start_per_s**2 + 2 * slope * on_the_ramp, 0.0))
        moments_s = 2 * on_the_ramp / (start_per_s + root)
    else:
        growth = math.log(end_per_s / start_per_s)
        moments_s = over_s / growth * np.log1p(on_the_ramp * growth / (start_per_s * over_s))
    after: Float64 = (arrivals - on_the_ramp) / end_per_s
    return moments_s + after
