"""Arrivals: when the requests of an open loop are due, drawn from a seed or as a trace has them. Pure; no clock is read here.

A process is drawn at one arrival per unit of time and then stretched: arrival x is due when the rate, integrated from
t = 0, reaches x. So every process can have a constant rate or a ramp. Offsets are integer nanoseconds from t = 0.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from loadgen.load.bulk import FileArray
from loadgen.load.sampling import random_stream
from loadgen.load.workload import notes_of_skipped

Arrivals = Literal["constant", "poisson", "gamma", "trace"]
RampStrategy = Literal["linear", "exponential"]

NS_PER_S = 1_000_000_000
_ARRIVALS_AT_ONCE = 4_096

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


class RampDocument(TypedDict):
    """A rate that changes over the run, beginning at `rate_per_s`."""

    to_per_s: float  # requests per second at its end
    over_s: float
    strategy: str  # linear or exponential


@dataclass(frozen=True, slots=True)
class Ramp:
    """A rate that goes to `to_per_s` in `over_s` seconds: by the same amount each second, or by the same factor."""

    to_per_s: float
    over_s: float
    strategy: RampStrategy = "linear"

    def mean_rate_per_s(self, start_per_s: float) -> float:
        """The mean rate over the ramp that begins at `start_per_s`."""
        if self.strategy == "linear":
            return (start_per_s + self.to_per_s) / 2
        return (self.to_per_s - start_per_s) / math.log(self.to_per_s / start_per_s)

    def times_s(self, start_per_s: float, arrivals: Float64) -> Float64:
        """The times, in seconds, at which a rate that follows the ramp from `start_per_s` has summed up to `arrivals`.

        Linear, r(t) = a + (b − a)t/T, sums up to at + (b − a)t²/2T; exponential, r(t) = a(b/a)^(t/T), to
        (r(t) − a)T/ln(b/a). Both are solved for t here. After T the rate stays at b.
        """
        within = self.mean_rate_per_s(start_per_s) * self.over_s
        on_the_ramp = np.minimum(arrivals, within)
        if self.strategy == "linear":
            # The root in the form that stays exact where the slope is small.
            slope = (self.to_per_s - start_per_s) / self.over_s
            root = np.sqrt(np.maximum(start_per_s**2 + 2 * slope * on_the_ramp, 0.0))
            times_s = 2 * on_the_ramp / (start_per_s + root)
        else:
            growth = math.log(self.to_per_s / start_per_s)
            times_s = self.over_s / growth * np.log1p(on_the_ramp * growth / (start_per_s * self.over_s))
        after: Float64 = (arrivals - on_the_ramp) / self.to_per_s
        return times_s + after


class TraceDocument(TypedDict):
    """The trace that an open loop replays."""

    name: str  # of its file, without the folder
    hash: str  # of its content
    time_scale: float  # factor on all its offsets
    skipped_rows: NotRequired[int]  # rows that asked for nothing
    first_skipped: NotRequired[Annotated[str, "words"] | None]  # why the first of them was skipped


@dataclass(frozen=True, slots=True)
class TraceSource:
    """Which trace is replayed: the name of its file, the hash of its content, and the factor on all its offsets.

    `skipped_rows` asked for nothing, the first of them for the reason in `first_skipped`.
    """

    name: str
    hash: str
    time_scale: float
    skipped_rows: int = 0
    first_skipped: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the file was not used, a sentence each."""
        return notes_of_skipped(self.name, self.skipped_rows, self.first_skipped)


@dataclass(frozen=True, slots=True)
class ArrivalProcess:
    """Arrivals at `rate_per_s`, which is where a `ramp` begins; `burstiness` is the shape of gamma arrivals alone.

    At a constant rate: constant has request i at i / rate; poisson has independent exponential gaps of mean 1 / rate, the
    first one included; gamma has gamma-distributed gaps of the same mean and of shape `burstiness`, so that their
    coefficient of variation is 1/sqrt(burstiness), and 1 is poisson.
    """

    rate_per_s: float
    arrivals: Arrivals = "poisson"
    burstiness: float | None = None
    ramp: Ramp | None = None

    @property
    def mean_rate_per_s(self) -> float:
        """Arrivals per second over the whole, on average."""
        return self.rate_per_s if self.ramp is None else self.ramp.mean_rate_per_s(self.rate_per_s)

    @property
    def peak_rate_per_s(self) -> float:
        return self.rate_per_s if self.ramp is None else max(self.rate_per_s, self.ramp.to_per_s)

    def offsets_ns(self, requests: int, seed: int) -> Int64:
        """The due times of `requests` arrivals, ascending, int64 nanoseconds from t = 0."""
        begins, chunks = range(0, requests, _ARRIVALS_AT_ONCE), self._chunks_ns(seed)
        return FileArray.write(np.int64, (next(chunks)[: requests - begin] for begin in begins))

    def requests_within(self, duration_s: float, seed: int) -> int:
        """How many arrivals with that seed fall in [0, duration_s)."""
        end_ns = round(duration_s * NS_PER_S)
        within = 0
        for chunk in self._chunks_ns(seed):
            within += int(np.searchsorted(chunk, end_ns))
            if chunk[-1] >= end_ns:
                break
        return within

    def _chunks_ns(self, seed: int) -> Iterator[Int64]:
        """Arrivals without end, chunk by chunk."""
        for units in self._at_unit_rate(seed):
            offsets_s = units / self.rate_per_s if self.ramp is None else self.ramp.times_s(self.rate_per_s, units)
            yield np.rint(offsets_s * NS_PER_S).astype(np.int64)

    def _at_unit_rate(self, seed: int) -> Iterator[Float64]:
        """Arrivals at a mean of one per unit of time, without end, equal to the last bit to a single draw of all of them."""
        rng = random_stream(seed, "arrivals")
        last = 0.0
        for first in itertools.count(0, _ARRIVALS_AT_ONCE):
            if self.arrivals == "constant":
                yield np.arange(first, first + _ARRIVALS_AT_ONCE, dtype=np.float64)
                continue
            if self.burstiness is None:
                gaps = rng.standard_exponential(_ARRIVALS_AT_ONCE)
            else:
                gaps = rng.standard_gamma(self.burstiness, _ARRIVALS_AT_ONCE) / self.burstiness
            gaps[0] += last
            units = np.cumsum(gaps)
            last = units[-1]
            yield units
