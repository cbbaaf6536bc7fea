"""What a verdict may say if not all that the claim is about is measured."""

from collections.abc import Sequence

from loadgen.study.claims import Contrast, Ordering, Peak, Ratio, Scaling, Trend
from loadgen.study.judgement import Compared, Verdict

Measurable = Ratio | Ordering | Trend | Scaling | Contrast | Peak


def part_of(made: Sequence[Compared], planned: Sequence[Compared]) -> str | None:
    """Return `1 of 2 models, 4 of 10 comparisons`, what was compared of what is planned; None if it is all."""
    counts: list[str] = []
    for noun, have, of in (
        ("models", len(_models(made)), len(_models(planned))),
        ("comparisons", len(made), len(planned)),
        ("points", len(_points(made)), len(_points(planned))),
    ):
        if have < of and not (noun == "points" and counts):
            counts.append(f"{have} of {of} {noun}")
    return ", ".join(counts) or None


def stands_for_all(verdict: Verdict, compare: Measurable) -> bool:
    """Whether the verdict on a part is that on all: one comparison denies a claim about every one, or confirms one about any.

    It does not where a comparison itself needs all of its points: the best of several models, the steepest step.
    """
    if _needs_every_point(compare):
        return False
    return (compare.over, verdict) in (("all", "does_not_hold"), ("any", "holds"))


def _needs_every_point(compare: Measurable) -> bool:
    match compare:
        case Peak(of=of):
            return of == "steepest_step"
        case Trend(direction=direction):
            return direction == "not_monotonic" and compare.over != "any"
        case Ratio():
            return compare.take.a is not None or compare.take.b is not None
        case Contrast(larger=larger, smaller=smaller):
            return any(pick is not None for pair in (larger, smaller) for pick in (pair.take.a, pair.take.b))
    return False


def _models(compared: Sequence[Compared]) -> set[object]:
    return {point.coordinates.get("model") for each in compared for point in each.points}


def _points(compared: Sequence[Compared]) -> set[frozenset[tuple[str, object]]]:
    return {frozenset(point.coordinates.items()) for each in compared for point in each.points}
