"""Judge claims against measured points of one series: holds, does not hold, inconclusive, or why there is no verdict."""

from collections.abc import Sequence

from loadgen.study import claims
from loadgen.study.comparisons import contrasts, orderings, out_of_memory, peaks, ratios, scalings, trends
from loadgen.study.estimate import SHORT_WAVE_S, Estimate, mean_ratio
from loadgen.study.facts import judge_fact
from loadgen.study.judgement import Evidence, JudgedComparison, Judgement, Verdict, against, bounds, joined, worst
from loadgen.study.measured import MeasuredPoint

__all__ = ["Evidence", "JudgedComparison", "Judgement", "Verdict", "bounds", "judge"]

Measurable = claims.Ratio | claims.Ordering | claims.Trend | claims.Scaling | claims.Contrast | claims.Peak


def judge(claim: claims.Claim, evidence: Evidence) -> Judgement:
    """Return the verdict on a claim. One about sizes of models needs no evidence."""
    if claim.not_testable is not None:
        return Judgement(claim, "not_testable", claim.not_testable)
    compare = claim.compare
    match compare:
        case claims.OutOfMemory():
            return _judged_of_memory(claim, compare, evidence)
        case claims.Fact():
            return judge_fact(claim)
        case claims.Incomparable():
            return Judgement(claim, "not_testable", "states nothing that a measurement can show")
    return _judged(claim, compare, evidence)


def _compared(claim: claims.Claim, compare: Measurable, points: Sequence[MeasuredPoint]) -> list[JudgedComparison]:
    match compare:
        case claims.Ratio():
            return list(ratios(claim, compare, points))
        case claims.Ordering():
            return list(orderings(claim, compare, points))
        case claims.Trend():
            return list(trends(claim, compare, points))
        case claims.Scaling():
            return list(scalings(claim, compare, points))
        case claims.Contrast():
            return list(contrasts(claim, compare, points))
    return list(peaks(claim, compare, points))


def _judged(claim: claims.Claim, compare: Measurable, evidence: Evidence) -> Judgement:
    """Join the comparisons by how the claim quantifies over them."""
    compared = _compared(claim, compare, evidence.points)
    planned = _compared(claim, compare, _to_measure(evidence))
    if not compared:
        is_open = planned or not evidence.planned
        reason = (
            "no pair of its points is measured"
            if is_open
            else "no two points that can be measured differ in that alone"
        )
        return Judgement(claim, "not_measured", reason)
    measured = [each.ratio for each in compared if each.ratio is not None]
    is_beyond = False
    if isinstance(compare, claims.Ratio) and compare.over in ("mean", "max"):
        ratio = mean_ratio(measured) if compare.over == "mean" else _furthest(measured, compare.stated)
        verdict = against(ratio, compare.stated)
        may_be_beyond = compare.over == "max" and verdict == "does_not_hold" and not _needs_every_point(compare)
        is_beyond = may_be_beyond and _is_beyond(ratio, compare.stated)
    else:
        verdict = joined([each.verdict for each in compared], compare.over)
    part = part_of(compared, planned)
    if part is not None and not is_beyond and not stands_for_all(verdict, compare):
        verdict = "inconclusive"
    lone = None
    if verdict == "does_not_hold" and compare.over == "all" and _rests_on_one_short_wave(compared):
        verdict, lone = "inconclusive", f"one wave of less than {SHORT_WAVE_S:g} s alone denies it"
    assumed = "an interval is assumed, not measured" if any(ratio.assumed for ratio in measured) else None
    weakens = "; ".join(each for each in (part, lone, assumed) if each is not None)
    return Judgement(claim, verdict, weakens or None, tuple(compared), is_of_a_part=part is not None)


def _rests_on_one_short_wave(compared: Sequence[JudgedComparison]) -> bool:
    """Whether one of several comparisons denies, or several that share a point, and the point is a single short wave."""
    denying = [
        {id(point) for point in each.points if point.is_short_wave}
        for each in compared
        if each.verdict == "does_not_hold"
    ]
    return len(compared) > len(denying) > 0 and bool(set.intersection(*denying))


def _to_measure(evidence: Evidence) -> list[MeasuredPoint]:
    """The points that the claims are about, without those whose model is known not to fit in memory."""
    too_large = {point.variant.label for point, does_fit in evidence.fits if not does_fit}
    return [each for each in evidence.planned if each.point.variant.label not in too_large]


def _judged_of_memory(claim: claims.Claim, compare: claims.OutOfMemory, evidence: Evidence) -> Judgement:
    claimed, others = out_of_memory(compare, evidence.fits)
    if not claimed:
        return Judgement(claim, "not_measured", "whether its variants fit in memory is not known")
    verdict = worst([joined([each.verdict for each in claimed], compare.over), *(each.verdict for each in others)])
    return Judgement(claim, verdict, None, (*claimed, *others))


def _furthest(measured: Sequence[Estimate], stated: claims.Stated) -> Estimate:
    """The largest effect in the direction that is stated: `up to`."""
    bound = stated.min if stated.min is not None else stated.max
    assert bound is not None
    return max(measured, key=lambda ratio: ratio.value if bound >= 1 else -ratio.value)


def _is_beyond(ratio: Estimate, stated: claims.Stated) -> bool:
    """Whether a ratio is past the end of `up to`, so that no other comparison can mend it."""
    if stated.max is not None and (stated.min or stated.max) >= 1:
        return ratio.value > stated.max
    return stated.min is not None and stated.min < 1 and ratio.value < stated.min


def part_of(made: Sequence[JudgedComparison], planned: Sequence[JudgedComparison]) -> str | None:
    """Return `covers 1 of 2 models, 4 of 10 comparisons`, what was compared of what is planned; None if it is all."""
    counts: list[str] = []
    for noun, have, of in (
        ("models", len(_models(made)), len(_models(planned))),
        ("comparisons", len(made), len(planned)),
        ("points", len(_points(made)), len(_points(planned))),
    ):
        if have < of and not (noun == "points" and counts):
            counts.append(f"{have} of {of} {noun}")
    return f"covers {', '.join(counts)}" if counts else None


def stands_for_all(verdict: Verdict, compare: Measurable) -> bool:
    """Whether the verdict on a part is that on all: one comparison denies a claim about every one, or confirms one about any.

    It does not where a comparison itself needs all of its points: the best of several models, the steepest step.
    """
    if _needs_every_point(compare):
        return False
    return (compare.over, verdict) in (("all", "does_not_hold"), ("any", "holds"))


def _needs_every_point(compare: Measurable) -> bool:
    match compare:
        case claims.Peak(of=of):
            return of == "steepest_step"
        case claims.Trend(direction=direction):
            return direction == "not_monotonic" and compare.over != "any"
        case claims.Ratio():
            return compare.take.a is not None or compare.take.b is not None
        case claims.Contrast(larger=larger, smaller=smaller):
            return any(pick is not None for pair in (larger, smaller) for pick in (pair.take.a, pair.take.b))
    return False


def _models(compared: Sequence[JudgedComparison]) -> set[object]:
    return {point.coordinates.get("model") for each in compared for point in each.points}


def _points(compared: Sequence[JudgedComparison]) -> set[frozenset[tuple[str, object]]]:
    return {frozenset(point.coordinates.items()) for each in compared for point in each.points}
