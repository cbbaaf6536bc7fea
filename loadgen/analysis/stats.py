"""Percentiles and intervals. Knows no domain word; imports NumPy alone.

Invariants: what cannot be said is None, never 0 and never NaN. A percentile is the linear interpolation between the two
nearest order statistics (Hyndman & Fan's type 7, NumPy's default) and, above the median, is refused while fewer than ten
samples are expected beyond it.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Distribution = dict[str, float | None]

PERCENTILES = (50, 90, 95, 99)
SAMPLES_BEYOND = 10


def samples_needed(percentile: int) -> int:
    """The fewest samples with which `percentile` is given: 10/(1 − p) above the median (p90 100, p99 1,000), else one."""
    if percentile <= 50:
        return 1
    return math.ceil(SAMPLES_BEYOND * 100 / (100 - percentile))


def distribution(values: FloatArray) -> Distribution:
    """`n`, `mean`, `min`, `p50`, `p90`, `p95`, `p99`, `max` of a flat array of finite values, in the unit of `values`.

    `n` is an int. A percentile with too few samples is None; without any value all but `n` are None.
    """
    n = len(values)
    asked = [p for p in PERCENTILES if n >= samples_needed(p)]
    given = dict(zip(asked, np.percentile(values, asked).tolist(), strict=True)) if asked else {}
    return {
        "n": n,
        "mean": float(values.mean()) if n else None,
        "min": float(values.min()) if n else None,
        **{f"p{p}": given.get(p) for p in PERCENTILES},
        "max": float(values.max()) if n else None,
    }


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """The two-sided Student t interval of the mean of independent `values`, (low, high) in their unit.

    mean ± t·s/√n with s the sample standard deviation and t the quantile with n − 1 degrees of freedom.
    None under two values, which have no spread.
    """
    n = len(values)
    if n < 2:
        return None
    sample = np.asarray(values, dtype=np.float64)
    half = student_t(n - 1, confidence) * float(sample.std(ddof=1)) / math.sqrt(n)
    mean = float(sample.mean())
    return mean - half, mean + half


def student_t(degrees: int, confidence: float) -> float:
    """The t for which a Student variable with `degrees` ≥ 1 of freedom lies in ±t with probability `confidence` (0..1).

    Bisection on the angle θ = arctan(t/√degrees), which maps all t to 0..π/2.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        if _within(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(low)


def _within(theta: float, degrees: int) -> float:
    """P(|T| < √degrees·tan θ): the finite series for whole degrees of freedom, Abramowitz & Stegun 26.7.3 and 26.7.4."""
    cos, sin = math.cos(theta), math.sin(theta)
    odd = degrees % 2 == 1
    term, series = (cos, 0.0) if odd else (1.0, 0.0)
    for k in range(1 if odd else 0, degrees - 1, 2):
        series += term
        term *= cos * cos * (k + 1) / (k + 2)
    return (theta + sin * series) * 2 / math.pi if odd else sin * series
