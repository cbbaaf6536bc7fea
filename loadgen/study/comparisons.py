"""The comparisons that a claim makes among measured points, each with its own verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from loadgen.study import claims
from loadgen.study.estimate import Estimate, mean_ratio
from loadgen.study.judgement import OF_SIGN, JudgedComparison, Sign, Verdict, against, sign, within, worst
from loadgen.study.measured import MeasuredPoint
from loadgen.study.pairs import Setting, along, by_setting, described, has, names_in, selected, without
from loadgen.study.points import Point, is_at

Measured = tuple[MeasuredPoint, Estimate]


@dataclass(frozen=True, slots=True)
class Rated:
    """One measured ratio, its two points, and the setting that they share. `points`: these and those that they are best of."""

    setting: Setting
    ratio: Estimate
    above: MeasuredPoint
    below: MeasuredPoint
    points: tuple[MeasuredPoint, ...]


@dataclass(frozen=True, slots=True)
class MeasuredLine:
    """Values along an axis, in ascending order of it, and the points that they are of."""

    values: tuple[tuple[float, Estimate], ...]
    points: tuple[MeasuredPoint, ...]


def ratios(claim: claims.Claim, compare: claims.Ratio, points: Sequence[MeasuredPoint]) -> Iterator[JudgedComparison]:
    """Each pair of points against the stated range."""
    for rated in _rated(claim, compare, points):
        verdict = against(rated.ratio, compare.stated)
        yield JudgedComparison(_described(compare, rated), rated.ratio, verdict, points=rated.points)


def orderings(
    claim: claims.Claim, compare: claims.Ordering, points: Sequence[MeasuredPoint]
) -> Iterator[JudgedComparison]:
    """Each neighbouring pair of the order; of two groups, each member of the one with each of the other."""
    for first, second in pairwise(compare.points):
        upper, lower = (first, second) if compare.order == "highest_first" else (second, first)
        pair = claims.Pair(a=upper, b=lower, where=compare.where)
        for rated in _rated(claim, pair, points):
            verdict = OF_SIGN[sign(rated.ratio)]
            yield JudgedComparison(_described(pair, rated, is_named=True), rated.ratio, verdict, points=rated.points)


def trends(claim: claims.Claim, compare: claims.Trend, points: Sequence[MeasuredPoint]) -> Iterator[JudgedComparison]:
    """The direction along the axis, in each setting that has two values or more."""
    for group, line in _along(claim, compare, points).items():
        values = [value for _, value in line.values]
        whole = values[-1].over(values[0])
        verdict = _trend(compare, values, whole)
        yield JudgedComparison(described(group, besides=compare.where), whole, verdict, points=line.points)


def scalings(
    claim: claims.Claim, compare: claims.Scaling, points: Sequence[MeasuredPoint]
) -> Iterator[JudgedComparison]:
    """The growth along the axis, in each setting that has two values or more: three for a straight line."""
    for group, line in _along(claim, compare, points).items():
        of = described(group, besides=compare.where)
        if compare.growth == "straight_line":
            offs = _off_the_line(line.values)
            if offs:
                verdict = worst([within(off, compare.within_ratio) for off in offs])
                yield JudgedComparison(of, max(offs, key=lambda off: abs(off.value - 1)), verdict, points=line.points)
            continue
        (start, first), (end, last) = line.values[0], line.values[-1]
        whole = last.over(first)
        share = whole.times(start / end)  # of proportional growth
        if compare.growth == "proportional":
            verdict = within(share, compare.within_ratio)
        else:
            verdict = worst([OF_SIGN[sign(whole)], OF_SIGN[sign(share.inverse)]])
        yield JudgedComparison(of, whole, verdict, points=line.points)


def contrasts(
    claim: claims.Claim, compare: claims.Contrast, points: Sequence[MeasuredPoint]
) -> Iterator[JudgedComparison]:
    """The larger ratio over the smaller one, for each two that agree in what neither pair names."""
    named = names_in(*(where for pair in (compare.larger, compare.smaller) for where in (pair.a, pair.b, pair.where)))
    sides: list[dict[Setting, list[tuple[Estimate, Rated]]]] = []
    for pair in (compare.larger, compare.smaller):
        side: dict[Setting, list[tuple[Estimate, Rated]]] = {}
        for rated in _rated(claim, pair, selected(points, compare.where)):
            ratio = rated.ratio.inverse if compare.either_way and rated.ratio.value < 1 else rated.ratio
            side.setdefault(without(rated.setting, named), []).append((ratio, rated))
        sides.append(side)
    larger, smaller = sides
    shared = [setting for setting in larger if setting in smaller]
    if compare.over == "mean" and shared:
        upper, lower = (mean_ratio([ratio for setting in shared for ratio, _ in side[setting]]) for side in sides)
        rest = tuple(
            point for side in sides for setting in shared for _, rated in side[setting] for point in rated.points
        )
        yield JudgedComparison("the means", upper.over(lower), OF_SIGN[sign(upper.over(lower))], points=rest)
        return
    for setting in shared:
        for (upper, above), (lower, below) in product(larger[setting], smaller[setting]):
            effect, of = upper.over(lower), described(setting, besides=compare.where)
            yield JudgedComparison(of, effect, OF_SIGN[sign(effect)], points=above.points + below.points)


def peaks(claim: claims.Claim, compare: claims.Peak, points: Sequence[MeasuredPoint]) -> Iterator[JudgedComparison]:
    """The claimed best value of the axis, or its steepest step, over the best of the others."""
    chosen = [point for point in selected(points, compare.where) if compare.axis in point.coordinates]
    claimed = tuple(compare.at) if isinstance(compare.at, list) else (compare.at,)
    for group, members in by_setting(chosen, [compare.axis]).items():
        measured = _estimates(claim, members)
        if compare.of == "steepest_step":
            entries = _steps(claim, compare.axis, members)
        else:
            entries = {(point.coordinates[compare.axis],): value for point, value in measured}
            if compare.of == "lowest":
                entries = {key: value.inverse for key, value in entries.items()}
        others = [value for key, value in entries.items() if key != claimed]
        if claimed in entries and others:
            ratio = entries[claimed].over(max(others, key=lambda value: value.value))
            of, rest = described(group, besides=compare.where), tuple(point for point, _ in measured)
            yield JudgedComparison(of, ratio, OF_SIGN[sign(ratio)], points=rest)


def out_of_memory(
    compare: claims.OutOfMemory, fits: Sequence[tuple[Point, bool]]
) -> tuple[list[JudgedComparison], list[JudgedComparison]]:
    """The variants that are said not to fit and, with `only`, all others, which must."""
    claimed: dict[str, JudgedComparison] = {}
    others: dict[str, JudgedComparison] = {}
    for point, does_fit in fits:
        is_claimed = any(is_at(point.coordinates, where) for where in compare.at)
        if is_claimed or compare.only:
            verdict: Verdict = "does_not_hold" if does_fit is is_claimed else "holds"
            of = described(tuple(point.variant.settings.items()), besides={}) or point.variant.label
            (claimed if is_claimed else others)[point.variant.label] = JudgedComparison(of, None, verdict)
    return list(claimed.values()), list(others.values())


def _estimates(claim: claims.Claim, points: Sequence[MeasuredPoint]) -> list[Measured]:
    """The claim's metric at each of the points that have it."""
    found = ((point, point.estimate(claim.metric, claim.statistic)) for point in points)
    return [(point, value) for point, value in found if value is not None]


def _rated(claim: claims.Claim, pair: claims.Pair, points: Sequence[MeasuredPoint]) -> Iterator[Rated]:
    """The ratio of each point at `a` to each one at `b` that differs from it only in what these two name."""
    named = names_in(pair.a, pair.b)
    below = by_setting(selected(points, pair.where, pair.b), named)
    for setting, above in by_setting(selected(points, pair.where, pair.a), named).items():
        tops, bottoms = _estimates(claim, above), _estimates(claim, below.get(setting, []))
        for (point, value), (other, under) in product(_taken(tops, pair.take.a), _taken(bottoms, pair.take.b)):
            if point is not other:
                upper = [(point, value)] if pair.take.a is None else tops
                lower = [(other, under)] if pair.take.b is None else bottoms
                yield Rated(setting, value.over(under), point, other, tuple(each for each, _ in (*upper, *lower)))


def _taken(entries: list[Measured], pick: claims.Pick | None) -> list[Measured]:
    """The highest or the lowest of them, or all."""
    if pick is None or not entries:
        return entries
    ordered = sorted(entries, key=lambda entry: entry[1].value)
    return [ordered[-1] if pick == "highest" else ordered[0]]


def _described(pair: claims.Pair, rated: Rated, *, is_named: bool = False) -> str:
    """The setting in words and, if the pair is of several points, which two of them it is."""
    of = described(rated.setting, besides=pair.where)
    if not is_named and not any(isinstance(value, list) for where in (pair.a, pair.b) for value in where.values()):
        return of
    names = list(dict.fromkeys((*pair.a, *pair.b)))
    sides = (
        ", ".join(claims.value_words(side.coordinates[name]) for name in names if name in side.coordinates)
        for side in (rated.above, rated.below)
    )
    pair_in_words = " over ".join(sides)
    return f"{pair_in_words} ({of})" if of else pair_in_words


def _along(
    claim: claims.Claim, compare: claims.Trend | claims.Scaling, points: Sequence[MeasuredPoint]
) -> dict[Setting, MeasuredLine]:
    """The metric by the axis in ascending order, or the ratio that a trend is of; settings with one value are left out."""
    found: dict[Setting, dict[float, list[tuple[Estimate, tuple[MeasuredPoint, ...]]]]] = {}
    chosen = [point for point in selected(points, compare.where) if has(point.coordinates, compare.axis)]
    if isinstance(compare, claims.Trend) and compare.of is not None:
        for rated in _rated(claim, compare.of, chosen):
            group, place = without(rated.setting, [compare.axis]), float(dict(rated.setting)[compare.axis])
            found.setdefault(group, {}).setdefault(place, []).append((rated.ratio, rated.points))
    else:
        for group, members in by_setting(chosen, [compare.axis]).items():
            for point, value in _estimates(claim, members):
                place = float(point.coordinates[compare.axis])
                found.setdefault(group, {}).setdefault(place, []).append((value, (point,)))
    return {group: _line(entries) for group, entries in found.items() if len(entries) > 1}


def _line(entries: Mapping[float, Sequence[tuple[Estimate, tuple[MeasuredPoint, ...]]]]) -> MeasuredLine:
    values = tuple((place, mean_ratio([value for value, _ in entries[place]])) for place in sorted(entries))
    return MeasuredLine(values, tuple(point for each in entries.values() for _, points in each for point in points))


def _trend(compare: claims.Trend, values: list[Estimate], whole: Estimate) -> Verdict:
    steps: list[Sign] = [sign(after.over(before)) for before, after in pairwise(values)]
    match compare.direction:
        case "not_monotonic":
            return "holds" if {1, -1} <= set(steps) else "inconclusive" if 0 in steps else "does_not_hold"
        case "flat":
            lowest, highest = min(values, key=lambda each: each.value), max(values, key=lambda each: each.value)
            return within(highest.over(lowest), compare.flat_within_ratio)
    wanted: Sign = 1 if compare.direction == "increases" else -1
    if -wanted in steps:
        return "does_not_hold"
    return OF_SIGN[1 if sign(whole) == wanted else 0 if sign(whole) == 0 else -1]


def _off_the_line(members: Sequence[tuple[float, Estimate]]) -> list[Estimate]:
    """Each value between the two ends, over that of the straight line from end to end."""
    (start, first), (end, last) = members[0], members[-1]
    slope = (last.value - first.value) / (end - start)
    return [value.times(1 / (first.value + slope * (place - start))) for place, value in members[1:-1]]


def _steps(claim: claims.Claim, axis: str, members: list[MeasuredPoint]) -> dict[tuple[object, ...], Estimate]:
    """The change of each step along the axis, as a ratio above 1."""
    ordered = _estimates(claim, along([point for point in members if has(point.coordinates, axis)], axis))
    found: dict[tuple[object, ...], Estimate] = {}
    for (before, low), (after, high) in pairwise(ordered):
        change = high.over(low)
        found[before.coordinates[axis], after.coordinates[axis]] = change if change.value >= 1 else change.inverse
    return found
