"""Percentiles and intervals. Knows no domain word; imports NumPy alone.

Invariants: what cannot be said is None, never 0 and never NaN. A percentile is the linear interpolation between the two
nearest order statistics (Hyndman & Fan's type 7, NumPy's default) and, above the median, is refused while fewer than ten
samples are expected beyond it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

FloatArray = NDArray[np.float64]
PercentileName = Literal["p50", "p90", "p95", "p99"]

PERCENTILES = (50, 90, 95, 99)
PERCENTILE_NAMES: tuple[PercentileName, ...] = ("p50", "p90", "p95", "p99")
TAIL_NAMES = PERCENTILE_NAMES[1:]
SAMPLES_BEYOND = 10
LOG_FROM_RATIO = 30.0  # from this ratio of largest to smallest on, values want a logarithmic axis


class Distribution(TypedDict):
    """Values in the unit of the key that holds them. What needs more values than there are is null."""

    n: int | None  # number of values; null in results of other clients that do not report it
    mean: float | None
    min: float | None
    p50: float | None  # median
    p90: float | None  # null with fewer than 100 values
    p95: float | None  # null with fewer than 200 values
    p99: float | None  # null with fewer than 1,000 values
    max: float | None


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
    mean, least, most = (float(values.mean()), float(values.min()), float(values.max())) if n else (None, None, None)
    return distribution_by(n, mean, least, most, given.get)


def distribution_by(
    n: int | None,
    mean: float | None,
    least: float | None,
    most: float | None,
    percentile: Callable[[int], float | None],
) -> Distribution:
    """Return a distribution of figures that were made elsewhere, its percentiles as `percentile` gives each."""
    p50, p90, p95, p99 = map(percentile, PERCENTILES)
    return {"n": n, "mean": mean, "min": least, "p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": most}


def highest_percentile(
    values: Distribution | None, names: Sequence[PercentileName] = PERCENTILE_NAMES
) -> PercentileName | None:
    """Return the name of the highest percentile among `names` that is given, None if none is.

    Never the maximum, which a single outlier makes.
    """
    if values is None:
        return None
    return next((name for name in reversed(PERCENTILE_NAMES) if name in names and values[name] is not None), None)


def wants_log(values: Sequence[float]) -> bool:
    """Whether positive values span so much that a linear axis would hide the small ones."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= LOG_FROM_RATIO


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


@dataclass(frozen=True, slots=True)
class Change:
    """From one set of values to another, as a share of the first: `ratio` −0.1 is a tenth less, `low` to `high` its interval.

    `effect_size` is Hedges' g: the difference in standard deviations of a single value, corrected for few values.
    The last three are None where a side has a single value; `effect_size` also where no value differs from its side's mean.
    """

    ratio: float
    low: float | None
    high: float | None
    effect_size: float | None


def change(a: Sequence[float], b: Sequence[float], *, paired: bool, confidence: float = 0.95) -> Change | None:
    """How far the independent values `b` lie from `a`, both at least 0 and not empty; `paired`: a[i] belongs to b[i].

    A ratio is made of differences of logarithms, exp(mean(ln b) − mean(ln a)) − 1: of geometric means, so that B against A
    says what A against B does. Its interval is Student's t of the differences when paired, else Welch's with the degrees of
    freedom of Welch and Satterthwaite, rounded down, which widens it a little. With a 0 among the values, which has no
    logarithm, difference and interval are of the values themselves, divided by the mean of `a`; None when that is 0.
    """
    logarithmic = min(*a, *b) > 0
    before, after = (np.log(side) if logarithmic else np.asarray(side, np.float64) for side in (a, b))
    mean_before = float(np.mean(a))
    if mean_before == 0:
        return None

    def as_ratio(difference: float) -> float:
        return math.expm1(difference) if logarithmic else difference / mean_before

    difference = float(after.mean() - before.mean())
    interval = mean_interval((after - before).tolist(), confidence) if paired else _welch(before, after, confidence)
    return Change(
        ratio=as_ratio(difference),
        low=None if interval is None else as_ratio(interval[0]),
        high=None if interval is None else as_ratio(interval[1]),
        effect_size=None if interval is None else _hedges_g(before, after),
    )


def _welch(a: FloatArray, b: FloatArray, confidence: float) -> tuple[float, float] | None:
    """The interval of mean(b) − mean(a) for independent sides whose variances may differ. None with a single value in one."""
    if min(len(a), len(b)) < 2:
        return None
    difference = float(b.mean() - a.mean())
    part_a, part_b = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    if part_a + part_b == 0:
        return difference, difference
    degrees = (part_a + part_b) ** 2 / (part_a**2 / (len(a) - 1) + part_b**2 / (len(b) - 1))
    half = student_t(max(1, math.floor(degrees)), confidence) * math.sqrt(part_a + part_b)
    return difference - half, difference + half


def _hedges_g(a: FloatArray, b: FloatArray) -> float | None:
    """(mean(b) − mean(a))/s · (1 − 3/(4·ν − 1)), s the pooled standard deviation with ν = n_a + n_b − 2 (Hedges 1981)."""
    degrees = len(a) + len(b) - 2
    pooled = ((len(a) - 1) * float(a.var(ddof=1)) + (len(b) - 1) * float(b.var(ddof=1))) / degrees
    if pooled == 0:
        return None
    return float(b.mean() - a.mean()) / math.sqrt(pooled) * (1 - 3 / (4 * degrees - 1))


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
