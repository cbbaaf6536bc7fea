"""Judge claims against measured points of one series: holds, does not hold, inconclusive, or why there is no verdict."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from loadgen.study.claims import Claim, Contrast, Ordering, OutOfMemory, Over, Peak, Ratio, Stated, Trend, Where
from loadgen.study.estimate import Estimate, estimate, mean_ratio
from loadgen.study.measured import MeasuredPoint
from loadgen.study.pairs import along, by_setting, described, has, names_in, selected
from loadgen.study.points import Point, is_at

Verdict = Literal["holds", "does_not_hold", "inconclusive", "not_testable", "not_measured"]
Sign = Literal[1, 0, -1]

APPROXIMATE_RATIO = 0.2
"""How far an approximate statement may be off, as a share of the effect that it states: about 50 % is 40 to 60 %."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison: what it is of, the measured ratio or None for one of memory, and its own verdict."""

    of: str
    ratio: Estimate | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one claim. `reason` says why there is none, or what weakens it; `compared` is what it rests on."""

    claim: Claim
    verdict: Verdict
    reason: str | None = None
    compared: tuple[Compared, ...] = ()

    @property
    def ratios(self) -> tuple[Estimate, ...]:
        """The measured ratios."""
        return tuple(each.ratio for each in self.compared if each.ratio is not None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one series: measured points, and for each point of the study whether its model fits in memory, if known."""

    points: Sequence[MeasuredPoint]
    fits: Sequence[tuple[Point, bool]] = ()


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """Return the verdict on a claim. Claims about sizes of models are judged by `facts.judge_fact`."""
    if claim.not_testable is not None:
        return Judgement(claim, "not_testable", claim.not_testable)
    compare = claim.compare
    match compare:
        case Ratio():
            return _judged(claim, list(_ratios(claim, compare, evidence.points)), compare.over, stated=compare.stated)
        case Ordering():
            return _judged(claim, list(_orderings(claim, compare, evidence.points)), compare.over)
        case Trend():
            return _judged(claim, list(_trends(claim, compare, evidence.points)), compare.over)
        case Contrast():
            return _judged(claim, list(_contrasts(claim, compare, evidence.points)), compare.over)
        case Peak():
            return _judged(claim, list(_peaks(claim, compare, evidence.points)), compare.over)
        case OutOfMemory():
            return _judged(claim, list(_out_of_memory(compare, evidence.fits)), "all")
    return Judgement(claim, "not_testable", "states nothing that a measurement can show")


def _judged(claim: Claim, compared: list[Compared], over: Over, *, stated: Stated | None = None) -> Judgement:
    """Join the comparisons by how the claim quantifies over them."""
    if not compared:
        return Judgement(claim, "not_measured", "no pair of its points is measured")
    ratios = [each.ratio for each in compared if each.ratio is not None]
    if stated is not None and ratios and over in ("mean", "max"):
        joint = mean_ratio(ratios) if over == "mean" else _furthest(ratios, stated)
        verdict = _against(joint, stated)
    elif over == "any":
        verdict = _best([each.verdict for each in compared])
    elif over == "mean":
        verdict = _majority([each.verdict for each in compared])
    else:
        verdict = _worst([each.verdict for each in compared])
    reason = "an interval is assumed, not measured" if any(ratio.assumed for ratio in ratios) else None
    return Judgement(claim, verdict, reason, tuple(compared))


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    """That of a claim about every comparison."""
    for verdict in ("does_not_hold", "inconclusive"):
        if verdict in verdicts:
            return verdict
    return "holds"


def _best(verdicts: Sequence[Verdict]) -> Verdict:
    """That of a claim about at least one comparison."""
    for verdict in ("holds", "inconclusive"):
        if verdict in verdicts:
            return verdict
    return "does_not_hold"


def _majority(verdicts: Sequence[Verdict]) -> Verdict:
    """That of a claim about most comparisons."""
    for verdict in ("holds", "does_not_hold"):
        if verdicts.count(verdict) * 2 > len(verdicts):
            return verdict
    return "inconclusive"


def _furthest(ratios: Sequence[Estimate], stated: Stated) -> Estimate:
    """The largest effect in the direction that is stated: `up to`."""
    bound = stated.min if stated.min is not None else stated.max
    assert bound is not None
    return max(ratios, key=lambda ratio: ratio.value if bound >= 1 else -ratio.value)


def _against(ratio: Estimate, stated: Stated) -> Verdict:
    """Whether a measured ratio is the stated one.

    It holds if its value lies in the stated range and its interval does not reach to an effect of the other sign. It does not
    hold if its whole interval lies outside.
    """
    low, high = bounds(stated)
    if ratio.high < low or ratio.low > high:
        return "does_not_hold"
    effect = 1 if low > 1 else -1 if high < 1 else 0
    is_clear = (effect == 0) or (ratio.low > 1 if effect == 1 else ratio.high < 1)
    return "holds" if low <= ratio.value <= high and is_clear else "inconclusive"


def bounds(stated: Stated) -> tuple[float, float]:
    """The range that a statement allows: widened where it is approximate, or a single number."""
    low = 0.0 if stated.min is None else stated.min
    high = math.inf if stated.max is None else stated.max
    if not stated.approximate and low != high:
        return low, high
    share = APPROXIMATE_RATIO
    return max(0.0, low - abs(low - 1) * share), high if math.isinf(high) else high + abs(high - 1) * share


def _estimate(claim: Claim, point: MeasuredPoint) -> Estimate | None:
    return estimate(point.values(claim.metric, claim.statistic), is_simulated=point.series.provenance == "simulated")


def _estimates(claim: Claim, points: Sequence[MeasuredPoint]) -> list[tuple[MeasuredPoint, Estimate]]:
    found = ((point, _estimate(claim, point)) for point in points)
    return [(point, value) for point, value in found if value is not None]


def _ratios(claim: Claim, compare: Ratio, points: Sequence[MeasuredPoint]) -> Iterator[Compared]:
    for of, ratio in _ratios_of(claim, compare.a, compare.b, where=compare.where, points=points):
        yield Compared(of, ratio, _against(ratio, compare.stated))


def _ratios_of(
    claim: Claim, a: Where, b: Where, *, where: Where, points: Sequence[MeasuredPoint]
) -> Iterator[tuple[str, Estimate]]:
    """The ratio of each point at `a` to each one at `b` that differs from it only in what these two name."""
    named = names_in(a, b)
    below = by_setting(selected(points, where, b), named)
    for chosen, above in by_setting(selected(points, where, a), named).items():
        for point, value in _estimates(claim, above):
            for other, under in _estimates(claim, below.get(chosen, [])):
                if point is not other:
                    yield described(chosen, besides=where), value.over(under)


def sign(ratio: Estimate) -> Sign:
    """1 for a ratio clearly above 1, -1 for one clearly below, 0 in between."""
    return 1 if ratio.low > 1 else -1 if ratio.high < 1 else 0


_OF_SIGN: Mapping[Sign, Verdict] = {1: "holds", 0: "inconclusive", -1: "does_not_hold"}


def _orderings(claim: Claim, compare: Ordering, points: Sequence[MeasuredPoint]) -> Iterator[Compared]:
    """Each neighbouring pair of the order."""
    for first, second in pairwise(compare.points):
        upper, lower = (first, second) if compare.order == "highest_first" else (second, first)
        for of, ratio in _ratios_of(claim, upper, lower, where=compare.where, points=points):
            pair = " over ".join(", ".join(str(value) for value in each.values()) for each in (upper, lower))
            yield Compared(f"{pair} ({of})" if of else pair, ratio, _OF_SIGN[sign(ratio)])


def _trends(claim: Claim, compare: Trend, points: Sequence[MeasuredPoint]) -> Iterator[Compared]:
    chosen = [point for point in selected(points, compare.where) if has(point.coordinates, compare.axis)]
    for group, members in by_setting(chosen, [compare.axis]).items():
        values = [value for _, value in _estimates(claim, along(members, compare.axis))]
        if len(values) < 2:
            continue
        whole = values[-1].over(values[0])
        steps = [sign(after.over(before)) for before, after in pairwise(values)]
        yield Compared(described(group, besides=compare.where), whole, _trend(compare, values, whole, steps))


def _trend(compare: Trend, values: list[Estimate], whole: Estimate, steps: list[Sign]) -> Verdict:
    match compare.direction:
        case "not_monotonic":
            return "holds" if {1, -1} <= set(steps) else "inconclusive" if 0 in steps else "does_not_hold"
        case "flat":
            lowest, highest = min(values, key=lambda each: each.value), max(values, key=lambda each: each.value)
            range_ = highest.over(lowest)
            if range_.value <= 1 + compare.flat_within_ratio:
                return "holds"
            return "does_not_hold" if range_.low > 1 + compare.flat_within_ratio else "inconclusive"
    wanted = 1 if compare.direction == "increases" else -1
    if -wanted in steps:
        return "does_not_hold"
    return _OF_SIGN[1 if sign(whole) == wanted else 0 if sign(whole) == 0 else -1]


def _contrasts(claim: Claim, compare: Contrast, points: Sequence[MeasuredPoint]) -> Iterator[Compared]:
    """The larger effect against the smaller one, as a ratio of ratios that both are above 1."""
    sides = [
        dict(_ratios_of(claim, pair.a, pair.b, where=compare.where, points=points))
        for pair in (compare.larger, compare.smaller)
    ]
    larger, smaller = sides
    for of, ratio in larger.items():
        for other in [smaller[of]] if of in smaller else smaller.values():
            effect = (ratio if ratio.value >= 1 else ratio.inverse).over(other if other.value >= 1 else other.inverse)
            yield Compared(of, effect, _OF_SIGN[sign(effect)])


def _peaks(claim: Claim, compare: Peak, points: Sequence[MeasuredPoint]) -> Iterator[Compared]:
    chosen = [point for point in selected(points, compare.where) if compare.axis in point.coordinates]
    claimed = compare.at if isinstance(compare.at, list) else [compare.at]
    for group, members in by_setting(chosen, [compare.axis]).items():
        if compare.of == "steepest_step":
            entries = _steps(claim, compare.axis, members)
        else:
            entries = {(point.coordinates[compare.axis],): value for point, value in _estimates(claim, members)}
            if compare.of == "lowest":
                entries = {key: value.inverse for key, value in entries.items()}
        ours = entries.get(tuple(claimed))
        others = [value for key, value in entries.items() if key != tuple(claimed)]
        if ours is None or not others:
            continue
        best = max(others, key=lambda value: value.value)
        ratio = ours.over(best)
        yield Compared(described(group, besides=compare.where), ratio, _OF_SIGN[sign(ratio)])


def _steps(claim: Claim, axis: str, members: list[MeasuredPoint]) -> dict[tuple[object, ...], Estimate]:
    """The change of each step along the axis, as a ratio above 1."""
    ordered = _estimates(claim, along([point for point in members if has(point.coordinates, axis)], axis))
    found: dict[tuple[object, ...], Estimate] = {}
    for (before, low), (after, high) in pairwise(ordered):
        change = high.over(low)
        found[before.coordinates[axis], after.coordinates[axis]] = change if change.value >= 1 else change.inverse
    return found


def _out_of_memory(compare: OutOfMemory, fits: Sequence[tuple[Point, bool]]) -> Iterator[Compared]:
    """Each point that is said not to fit; with `only`, every other one as well."""
    for point, does_fit in fits:
        is_claimed = any(is_at(point.coordinates, where) for where in compare.at)
        if is_claimed or compare.only:
            verdict: Verdict = "does_not_hold" if does_fit is is_claimed else "holds"
            yield Compared(point.variant.label, None, verdict)
