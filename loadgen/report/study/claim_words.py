"""Claims and verdicts in words: what a claim states, what was found, and the marks of verdicts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from loadgen.report.format import number
from loadgen.study import claims
from loadgen.study.estimate import Estimate, mean_ratio
from loadgen.study.judge import Judgement, Verdict

VERDICT_WORDS: Mapping[Verdict, str] = {
    "holds": "holds",
    "does_not_hold": "does not hold",
    "inconclusive": "inconclusive",
    "not_testable": "not testable",
    "not_measured": "not measured",
}
VERDICT_MARKS: Mapping[Verdict, str] = {
    "holds": "✓",
    "does_not_hold": "✕",
    "inconclusive": "≈",
    "not_testable": "–",
    "not_measured": "○",
}


_AND = ", "  # between the coordinates of a comparison
_MAX_LISTED = 4  # values of a coordinate; of more, the first two and their number


@dataclass(frozen=True, slots=True)
class ComparedLine:
    """One comparison behind a verdict: what it is of, what was found, and its own verdict."""

    of: str
    found: str
    stated: str  # of a fact; empty for all else
    verdict: Verdict


def stated_words(claim: claims.Claim) -> str:
    """What the claim says of the points that it compares, short."""
    match claim.compare:
        case claims.Ratio(stated=stated):
            return stated.as_written or _range(stated)
        case claims.Ordering(points=points, order=order):
            sign = " > " if order == "highest_first" else " < "
            return sign.join(", ".join(map(_listed, point.values())) for point in points)
        case claims.Trend(axis=axis, direction=direction, of=pair):
            subject = "" if pair is None else f"{_pair(pair)}: "
            return f"{subject}{direction.replace('_', ' ')} with {claims.name_words(axis)}"
        case claims.Scaling(axis=axis, growth=growth):
            words = {
                "proportional": "in proportion to",
                "sublinear": "less than in proportion to",
                "straight_line": "in a straight line over",
            }
            return f"{words[growth]} {claims.name_words(axis)}"
        case claims.Contrast(larger=larger, smaller=smaller):
            return _contrast(larger, smaller, "change" if claim.compare.either_way else "ratio")
        case claims.Peak(axis=axis, of=of, at=at):
            return f"{of.replace('_', ' ')} at {claims.name_words(axis)} {_listed(at)}"
        case claims.OutOfMemory(at=at):
            return f"no memory for {'; '.join(_where(each) for each in at)}"
        case claims.Fact(facts=facts):
            return ", ".join(f"{claims.name_words(name)} {_fact(value)}" for name, value in facts.items())
    return "–"


def over_words(claim: claims.Claim) -> str:
    """What the ratio that was found is of: `batch 128 over batch 1`; empty if nothing is measured."""
    match claim.compare:
        case claims.Ratio():
            return _pair(claim.compare)
        case claims.Ordering(order=order):
            return "each over the next" if order == "highest_first" else "each over the one before"
        case claims.Scaling(growth="straight_line"):
            return "the value furthest from the line over the line"
        case claims.Trend(of=claims.Pair()):
            return f"the ratio at the largest {claims.name_words(claim.compare.axis)} over that at the smallest"
        case claims.Trend(axis=axis) | claims.Scaling(axis=axis):
            return f"at the largest {claims.name_words(axis)} over the smallest"
        case claims.Contrast(either_way=either_way):
            return "the larger change over the smaller" if either_way else "the larger ratio over the smaller"
        case claims.Peak(of="steepest_step"):
            return "this step over the steepest of the others"
        case claims.Peak(of=of, at=at, axis=axis):
            best = f"{claims.name_words(axis)} {_listed(at)}"
            return f"{best} over the best of the others" if of == "highest" else f"the best of the others over {best}"
    return ""


def found_words(judgement: Judgement) -> str:
    """What was found, in a few words: a ratio with its interval, or the range of several."""
    ratios = judgement.ratios
    if not ratios:
        facts = [each for each in judgement.compared if each.found is not None]
        if facts:
            return f"{sum(each.verdict == 'holds' for each in facts)} of {len(facts)} agree"
        if judgement.compared:
            return (
                f"{sum(each.verdict == 'holds' for each in judgement.compared)} of {len(judgement.compared)} as stated"
            )
        return "–"
    if len(ratios) == 1:
        return ratio_words(ratios[0])
    if isinstance(judgement.claim.compare, claims.Ratio) and judgement.claim.compare.over == "mean":
        return f"{ratio_words(mean_ratio(ratios))} on average"
    low, high = min(each.value for each in ratios), max(each.value for each in ratios)
    return f"{times(low)} to {times(high)}"


def compared_lines(judgement: Judgement) -> tuple[str, tuple[ComparedLine, ...]]:
    """What the comparisons of a verdict have in common, in words, and each with what it has alone."""
    of_each = [_parts(each.of) for each in judgement.compared]
    shared = [part for part in of_each[0][1] if all(part in parts for _, parts in of_each)] if len(of_each) > 1 else []
    rests = [(pair, _AND.join(part for part in parts if part not in shared)) for pair, parts in of_each]
    alone = [f"{pair} ({rest})" if pair and rest else pair or rest for pair, rest in rests]
    if not all(alone):
        shared, alone = [], [each.of for each in judgement.compared]
    return _AND.join(shared), tuple(
        ComparedLine(
            of or "all",
            ratio_words(each.ratio) if each.ratio is not None else each.found or VERDICT_WORDS[each.verdict],
            each.stated or "",
            each.verdict,
        )
        for of, each in zip(alone, judgement.compared, strict=True)
    )


def _parts(of: str) -> tuple[str, list[str]]:
    """Of `a over b (batch 1, one wave)`: the pair, and the coordinates at which it is compared."""
    pair, opened, rest = of.rpartition(" (")
    return (pair, rest.removesuffix(")").split(_AND)) if opened and rest.endswith(")") else ("", of.split(_AND))


def ratio_words(ratio: Estimate) -> str:
    """`8.1× (7.9 to 8.3)`; an interval that is assumed has a `≈`."""
    about = "≈ " if ratio.assumed else ""
    return f"{times(ratio.value)} ({about}{number(ratio.low)} to {number(ratio.high)})"


def times(value: float) -> str:
    """`8.10×`."""
    return f"{number(value)}×"


def _range(stated: claims.Stated) -> str:
    if stated.min is None:
        return f"at most {times(stated.max or 0.0)}"
    if stated.max is None:
        return f"at least {times(stated.min)}"
    return times(stated.min) if stated.min == stated.max else f"{times(stated.min)} to {times(stated.max)}"


def _fact(value: object) -> str:
    if isinstance(value, claims.Stated):
        return value.as_written or _range(value)
    return claims.value_words(value) if isinstance(value, bool | int | float | str) else str(value)


def _pair(pair: claims.Pair) -> str:
    at = _at(pair.where)
    if pair.a == pair.b:
        return f"{pair.take.a or 'any'} over {pair.take.b or 'any'} of {_where(pair.a, ' and ')}{at}"
    return f"{_where(pair.a)} over {_where(pair.b)}{at}"


def _contrast(larger: claims.Pair, smaller: claims.Pair, noun: str) -> str:
    if (larger.a, larger.b) == (smaller.a, smaller.b) and larger.where and smaller.where:
        of = f"{_where(larger.a)} over {_where(larger.b)}"
        return f"{of}: larger {noun} with {_where(larger.where)} than with {_where(smaller.where)}"
    return f"larger {noun}: {_pair(larger)}; smaller: {_pair(smaller)}"


def _where(where: claims.Where, before_last: str = " or ") -> str:
    return ", ".join(claims.coordinate_words(key, _listed(value, before_last)) for key, value in where.items())


def _at(where: claims.Where) -> str:
    """` in one wave, at batch 64`: what follows the names of two points; empty if nothing does."""
    load = {key: value for key, value in where.items() if key == "load"}
    rest = {key: value for key, value in where.items() if key != "load"}
    return (
        (f" in {_where(load)}" if load else "")
        + ("," if load and rest else "")
        + (f" at {_where(rest)}" if rest else "")
    )


def _listed(value: object, before_last: str = " or ") -> str:
    values: Iterable[object] = value if isinstance(value, list) else [value]
    words = [_fact(each) for each in values]
    if len(words) > _MAX_LISTED:
        return f"{', '.join(words[:2])} … ({len(words)})"
    return before_last.join(filter(None, (", ".join(words[:-1]), words[-1])))
