"""Verdicts on claims: what a judgement holds, and the rules by which a ratio with its interval agrees with a statement."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from loadgen.study.claims import Claim, Over, Stated
from loadgen.study.estimate import Estimate
from loadgen.study.measured import MeasuredPoint, PlannedPoint
from loadgen.study.points import Point

Verdict = Literal["holds", "does_not_hold", "inconclusive", "not_testable", "not_measured"]
Sign = Literal[1, 0, -1]

APPROXIMATE_RATIO = 0.2
"""How far an approximate statement may be off, as a share of the effect that it states: about 50 % is 40 to 60 %."""

LEEWAY_RATIO = 0.1
"""How far an interval may leave a range that includes no change, as a share: flat, in proportion, at most 10 % less."""


@dataclass(frozen=True, slots=True)
class JudgedComparison:
    """One comparison: what it is of, the measured ratio or None if it is of memory or of a fact, and its own verdict.

    `points` are those that it rests on.
    """

    of: str
    ratio: Estimate | None
    verdict: Verdict
    stated: str | None = None  # of a fact: what the paper has
    found: str | None = None  # of a fact: what the configuration has
    points: tuple[MeasuredPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one claim. `reason` says why there is none, or what weakens it; `compared` is what it rests on.

    `is_of_a_part`: not all that the claim is about is measured, so that it cannot be confirmed yet.
    """

    claim: Claim
    verdict: Verdict
    reason: str | None = None
    compared: tuple[JudgedComparison, ...] = ()
    is_of_a_part: bool = False

    @property
    def has_too_little(self) -> bool:
        """Whether more measurements may decide it."""
        return self.is_of_a_part and self.verdict == "inconclusive"

    @property
    def ratios(self) -> tuple[Estimate, ...]:
        return tuple(each.ratio for each in self.compared if each.ratio is not None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one series: measured points, and for each point of the study whether its model fits in memory, if known.

    `planned` are all points that the claims are about, in the place of measured ones; without them, what is measured is all.
    """

    points: Sequence[MeasuredPoint]
    fits: Sequence[tuple[Point, bool]] = ()
    planned: Sequence[PlannedPoint] = ()


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """That of a claim about every comparison."""
    for verdict in ("does_not_hold", "inconclusive"):
        if verdict in verdicts:
            return verdict
    return "holds"


def best(verdicts: Sequence[Verdict]) -> Verdict:
    """That of a claim about at least one comparison."""
    for verdict in ("holds", "inconclusive"):
        if verdict in verdicts:
            return verdict
    return "does_not_hold"


def majority(verdicts: Sequence[Verdict]) -> Verdict:
    """That of a claim about most comparisons."""
    for verdict in ("holds", "does_not_hold"):
        if verdicts.count(verdict) * 2 > len(verdicts):
            return verdict
    return "inconclusive"


def joined(verdicts: Sequence[Verdict], over: Over) -> Verdict:
    """That of a claim about several comparisons, by how it speaks of them."""
    match over:
        case "any":
            return best(verdicts)
        case "mean":
            return majority(verdicts)
    return worst(verdicts)


def against(ratio: Estimate, stated: Stated) -> Verdict:
    """Whether a measured ratio is the stated one.

    It does not hold if its whole interval lies outside of the stated range. It holds if its value lies inside and its
    interval is on the same side of 1 as the range; of a range with 1 inside, if its interval hardly leaves the range.
    """
    low, high = bounds(stated)
    if low >= 1 or high <= 1:
        is_clear = ratio.low > 1 if low >= 1 else ratio.high < 1
    else:
        is_clear = ratio.low >= low / (1 + LEEWAY_RATIO) and ratio.high <= high * (1 + LEEWAY_RATIO)
    if ratio.high < low or ratio.low > high:
        return "does_not_hold"
    return "holds" if low <= ratio.value <= high and is_clear else "inconclusive"


def within(ratio: Estimate, share: float) -> Verdict:
    """Whether a measured ratio is 1, give or take this share either way."""
    return against(ratio, Stated(min=1 / (1 + share), max=1 + share))


def bounds(stated: Stated) -> tuple[float, float]:
    """The range that a statement allows: widened where it is approximate, or a single number."""
    low = 0.0 if stated.min is None else stated.min
    high = math.inf if stated.max is None else stated.max
    if not stated.approximate and low != high:
        return low, high
    share = APPROXIMATE_RATIO
    return max(0.0, low - abs(low - 1) * share), high if math.isinf(high) else high + abs(high - 1) * share


def sign(ratio: Estimate) -> Sign:
    """1 for a ratio clearly above 1, -1 for one clearly below, 0 in between."""
    return 1 if ratio.low > 1 else -1 if ratio.high < 1 else 0


OF_SIGN: Mapping[Sign, Verdict] = {1: "holds", 0: "inconclusive", -1: "does_not_hold"}
"""The verdict on a claim that a ratio is above 1."""
