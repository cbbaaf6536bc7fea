"""Judge claims against measured points of one series: holds, does not hold, inconclusive, or why there is no verdict."""

from collections.abc import Sequence

from loadgen.study.claims import (
    Claim,
    Contrast,
    Fact,
    Ordering,
    OutOfMemory,
    Over,
    Peak,
    Ratio,
    Scaling,
    Stated,
    Trend,
)
from loadgen.study.comparisons import contrasts, orderings, out_of_memory, peaks, ratios, scalings, trends
from loadgen.study.estimate import Estimate, mean_ratio
from loadgen.study.facts import judge_fact
from loadgen.study.judgement import Compared, Evidence, Judgement, Verdict, against, bounds, joined, worst

__all__ = ["Compared", "Evidence", "Judgement", "Verdict", "bounds", "judge"]


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """Return the verdict on a claim. One about sizes of models needs no evidence."""
    if claim.not_testable is not None:
        return Judgement(claim, "not_testable", claim.not_testable)
    compare, points = claim.compare, evidence.points
    match compare:
        case Ratio():
            return _judged(claim, list(ratios(claim, compare, points)), compare.over, stated=compare.stated)
        case Ordering():
            return _judged(claim, list(orderings(claim, compare, points)), compare.over)
        case Trend():
            return _judged(claim, list(trends(claim, compare, points)), compare.over)
        case Scaling():
            return _judged(claim, list(scalings(claim, compare, points)), compare.over)
        case Contrast():
            return _judged(claim, list(contrasts(claim, compare, points)), compare.over)
        case Peak():
            return _judged(claim, list(peaks(claim, compare, points)), compare.over)
        case OutOfMemory():
            return _judged_of_memory(claim, compare, evidence)
        case Fact():
            return judge_fact(claim)
    return Judgement(claim, "not_testable", "states nothing that a measurement can show")


def _judged(claim: Claim, compared: list[Compared], over: Over, *, stated: Stated | None = None) -> Judgement:
    """Join the comparisons by how the claim quantifies over them."""
    if not compared:
        return Judgement(claim, "not_measured", "no pair of its points is measured")
    measured = [each.ratio for each in compared if each.ratio is not None]
    if stated is not None and over in ("mean", "max"):
        verdict = against(mean_ratio(measured) if over == "mean" else _furthest(measured, stated), stated)
    else:
        verdict = joined([each.verdict for each in compared], over)
    reason = "an interval is assumed, not measured" if any(ratio.assumed for ratio in measured) else None
    return Judgement(claim, verdict, reason, tuple(compared))


def _judged_of_memory(claim: Claim, compare: OutOfMemory, evidence: Evidence) -> Judgement:
    claimed, others = out_of_memory(compare, evidence.fits)
    if not claimed:
        return Judgement(claim, "not_measured", "whether its variants fit in memory is not known")
    verdict = worst([joined([each.verdict for each in claimed], compare.over), *(each.verdict for each in others)])
    return Judgement(claim, verdict, None, (*claimed, *others))


def _furthest(measured: Sequence[Estimate], stated: Stated) -> Estimate:
    """The largest effect in the direction that is stated: `up to`."""
    bound = stated.min if stated.min is not None else stated.max
    assert bound is not None
    return max(measured, key=lambda ratio: ratio.value if bound >= 1 else -ratio.value)
