"""A figure of a point with how far it may be off, and ratios of such figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from loadgen.analysis.stats import mean_interval

SINGLE_RUN_RATIO = 0.05
"""How far the value of a single run is taken to be off, as a share: half of the spread from which repeats are found to differ."""

SHORT_WAVE_S = 2.0
SHORT_WAVE_RATIO = 0.11
WAVE_TTFT_RATIO = 0.60
SHORT_WAVE_TTFT_RATIO = 1.15
"""The same of a single wave that takes less than `SHORT_WAVE_S`, of TTFT in any single wave, and of TTFT in such a short one.

In results/2026-11-30-h200-deepseek-v2-lite-dummy-waves-{128,256,512}, each of 21 waves was sent twice. The two differ by at most
10.0 % in throughput and 10.1 % in E2E latency, and by a factor of up to 2.13 in TTFT, if they take less than 2 s (15 waves); by
3.4 % and by a factor of up to 1.59 if they take 2 to 4 s (6 waves). TPOT and ITL of all differ by 4.3 % at most.
"""

PREDICTION_RATIO = 0.10
"""The same of a predicted value, which has no spread of its own: the error that predictions are to stay within."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A positive value with its interval, low to high, in its own unit. `runs`: how many values it is the mean of."""

    value: float
    low: float
    high: float
    runs: int = 1
    assumed: bool = False  # the interval was not measured

    def over(self, other: "Estimate") -> "Estimate":
        """Return self / other. Both are taken to be independent: relative half-widths add as the root of their squares."""
        value = self.value / other.value
        spread = math.exp(math.hypot(self.log_half_width, other.log_half_width))
        return Estimate(
            value, value / spread, value * spread, min(self.runs, other.runs), assumed=self.assumed or other.assumed
        )

    def times(self, factor: float) -> "Estimate":
        return replace(self, value=self.value * factor, low=self.low * factor, high=self.high * factor)

    @property
    def log_half_width(self) -> float:
        """Half of the interval on a logarithmic scale: about the relative half-width."""
        return math.log(self.high / self.low) / 2

    @property
    def inverse(self) -> "Estimate":
        return Estimate(1 / self.value, 1 / self.high, 1 / self.low, self.runs, assumed=self.assumed)


def single_run_ratio(metric: str, wave_s: float | None) -> float:
    """Return how far a figure of a single run is taken to be off, as a share; `wave_s`: seconds of a wave, None for another load."""
    is_ttft, is_per_token = metric.endswith("ttft_s"), metric.endswith(("tpot_s", "itl_s"))
    if wave_s is None or is_per_token:
        return SINGLE_RUN_RATIO
    if wave_s < SHORT_WAVE_S:
        return SHORT_WAVE_TTFT_RATIO if is_ttft else SHORT_WAVE_RATIO
    return WAVE_TTFT_RATIO if is_ttft else SINGLE_RUN_RATIO


def estimate(
    values: Sequence[float], *, is_simulated: bool = False, single_ratio: float = SINGLE_RUN_RATIO
) -> Estimate | None:
    """Return the mean of repeats with its 95 % interval (Student's t); None without values, or if any is not positive.

    A single value has the interval that `single_ratio` states, a predicted one that of `PREDICTION_RATIO`.
    """
    if not values or min(values) <= 0:
        return None
    mean = sum(values) / len(values)
    interval = None if is_simulated else mean_interval(values)
    if interval is None:
        share = PREDICTION_RATIO if is_simulated else single_ratio
        return Estimate(mean, mean / (1 + share), mean * (1 + share), len(values), assumed=True)
    low = max(interval[0], mean / 100)  # two repeats that differ much have an interval below 0
    return Estimate(mean, low, mean * mean / low if interval[0] <= 0 else interval[1], len(values))


def mean_ratio(ratios: Sequence[Estimate]) -> Estimate:
    """Return the geometric mean of ratios that are independent of each other."""
    count = len(ratios)
    value = math.exp(sum(math.log(ratio.value) for ratio in ratios) / count)
    spread = math.exp(math.sqrt(sum(ratio.log_half_width**2 for ratio in ratios)) / count)
    return Estimate(
        value, value / spread, value * spread, min(ratio.runs for ratio in ratios), any(r.assumed for r in ratios)
    )
