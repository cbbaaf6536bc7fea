"""Verdicts by kind of claim: what holds, does not hold, is inconclusive, and is not measured."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import TypeAdapter

from loadgen.study.claims import Claim, Comparison, Stated
from loadgen.study.estimate import Estimate
from loadgen.study.judge import Evidence, Judgement, judge
from loadgen.study.judgement import against, bounds, joined
from loadgen.study.measured import MeasuredPoint, Series
from loadgen.study.points import Point

SERIES = Series("H100", "measured")
COMPARISON: TypeAdapter[Comparison] = TypeAdapter(Comparison)
SPREAD = 0.001  # between repeats, as a share: an interval of about 0.25 % either way


def point(value: float | None, *, spread: float = SPREAD, **coordinates: Any) -> MeasuredPoint:
    """A measured point with three repeats around a throughput; None: no run has it."""
    values = [None] * 3 if value is None else [value * (1 - spread), value, value * (1 + spread)]
    variant = SimpleNamespace(settings={"scheme": ""}, label=str(coordinates))
    planned = cast(Point, SimpleNamespace(variant=variant, coordinates={"model": "m", **coordinates}))
    runs = tuple(cast(Any, {"paper": {"throughput_tokens_per_s": each}}) for each in values)
    return MeasuredPoint(planned, SERIES, runs)


def single(value: float, *, wave_s: float, **coordinates: Any) -> MeasuredPoint:
    """A point with one run: a wave that took so long."""
    run = cast(Any, {"paper": {"throughput_tokens_per_s": value}, "elapsed_s": wave_s})
    measured = point(value, load="wave", **coordinates)
    return MeasuredPoint(measured.point, SERIES, (run,))


def judged(
    compare: dict[str, Any], points: list[MeasuredPoint], fits: list[tuple[MeasuredPoint, bool]] | None = None
) -> Judgement:
    claim = Claim(id="c", place="§1", says="A claim.", compare=COMPARISON.validate_python(compare))
    return judge(claim, Evidence(points, [(each.point, does_fit) for each, does_fit in fits or []]))


def along(axis: str, *values: float | None, spread: float = SPREAD, **coordinates: Any) -> list[MeasuredPoint]:
    """Points at 1, 2, 4, 8 … along an axis."""
    return [point(value, spread=spread, **{axis: 2**at}, **coordinates) for at, value in enumerate(values)]


RATIO = {"kind": "ratio", "a": {"batch": 2}, "b": {"batch": 1}, "stated": {"min": 1.2, "max": 1.3}}
ORDER = {"kind": "ordering", "points": [{"batch": 4}, {"batch": [1, 2]}]}
INCREASES = {"kind": "trend", "axis": "batch", "direction": "increases"}
FLAT = {"kind": "trend", "axis": "batch", "direction": "flat"}
UP_AND_DOWN = {"kind": "trend", "axis": "batch", "direction": "not_monotonic"}
PEAK = {"kind": "peak", "axis": "batch", "at": 2}
LOWEST = {"kind": "peak", "axis": "batch", "of": "lowest", "at": 2}
STEEPEST = {"kind": "peak", "axis": "batch", "of": "steepest_step", "at": [1, 2]}
PROPORTIONAL = {"kind": "scaling", "axis": "batch", "growth": "proportional"}
SUBLINEAR = {"kind": "scaling", "axis": "batch", "growth": "sublinear"}
LINE = {"kind": "scaling", "axis": "batch", "growth": "straight_line", "within_ratio": 0.1}


@pytest.mark.parametrize(
    ("compare", "values", "verdict"),
    [
        (RATIO, (100, 125), "holds"),
        (RATIO, (100, 150), "does_not_hold"),
        (RATIO, (100, 90), "does_not_hold"),
        (RATIO, (100, None), "not_measured"),
        (RATIO, (100,), "not_measured"),
        (ORDER, (100, 110, 120), "holds"),
        (ORDER, (100, 130, 120), "does_not_hold"),
        (ORDER, (100, 120, 120), "inconclusive"),
        (ORDER, (100, 110), "not_measured"),
        (INCREASES, (100, 110, 120), "holds"),
        (INCREASES, (100, 110, 105, 120), "does_not_hold"),
        (INCREASES, (100, 100, 100), "inconclusive"),
        (INCREASES, (100,), "not_measured"),
        (FLAT, (100, 105, 102), "holds"),
        (FLAT, (100, 130, 102), "does_not_hold"),
        (FLAT, (100, 110.3), "inconclusive"),
        (UP_AND_DOWN, (100, 120, 110), "holds"),
        (UP_AND_DOWN, (100, 110, 120), "does_not_hold"),
        (UP_AND_DOWN, (100, 120, 120), "inconclusive"),
        (PEAK, (100, 120, 110), "holds"),
        (PEAK, (100, 110, 120), "does_not_hold"),
        (PEAK, (100, 120, 120), "inconclusive"),
        (PEAK, (100, None, 120), "not_measured"),
        (LOWEST, (100, 90, 110), "holds"),
        (LOWEST, (80, 90, 110), "does_not_hold"),
        (STEEPEST, (100, 50, 40), "holds"),
        (STEEPEST, (100, 90, 40), "does_not_hold"),
        (STEEPEST, (100, 50, 25), "inconclusive"),
        (STEEPEST, (100, 50), "not_measured"),  # there is no other step
        (PROPORTIONAL, (100, 200, 380), "holds"),
        (PROPORTIONAL, (100, 150, 200), "does_not_hold"),
        (PROPORTIONAL, (100, 333), "does_not_hold"),
        (PROPORTIONAL, (100, 166.4), "inconclusive"),
        (SUBLINEAR, (100, 150, 200), "holds"),
        (SUBLINEAR, (100, 200, 450), "does_not_hold"),
        (SUBLINEAR, (100, 90), "does_not_hold"),
        (SUBLINEAR, (100, 200), "inconclusive"),
        (LINE, (100, 90, 70), "holds"),
        (LINE, (100, 50, 40), "does_not_hold"),
        (LINE, (100, 90), "not_measured"),  # two values always lie on a line
    ],
)
def test_one_setting(compare: dict[str, Any], values: tuple[float | None, ...], verdict: str) -> None:
    assert judged(compare, along("batch", *values)).verdict == verdict


def test_repeats_far_apart_decide_nothing() -> None:
    assert judged(RATIO, along("batch", 100, 125, spread=0.2)).verdict == "inconclusive"
    assert judged(INCREASES, along("batch", 100, 125, spread=0.2)).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("over", "second", "verdict"),
    [
        ("all", 1.25, "holds"),
        ("all", 1.5, "does_not_hold"),
        ("any", 1.5, "holds"),
        ("mean", 1.25, "holds"),
        ("mean", 1.28, "holds"),
        ("mean", 1.9, "does_not_hold"),
        ("max", 1.05, "holds"),
        ("max", 1.5, "does_not_hold"),
    ],
)
def test_several_settings_of_a_ratio(over: str, second: float, verdict: str) -> None:
    points = [
        *along("batch", 100, 125, length=128),
        *along("batch", 100, 100 * second, length=256),
    ]
    assert judged({**RATIO, "over": over}, points).verdict == verdict


def test_a_comparison_is_within_one_setting() -> None:
    points = [point(100, batch=1, length=128), point(125, batch=2, length=256)]
    assert judged(RATIO, points).verdict == "not_measured"


def test_the_best_of_several_points_may_be_meant() -> None:
    compare = {
        "kind": "ratio",
        "a": {"model": "a"},
        "b": {"model": ["b", "c"]},
        "take": {"b": "highest"},
        "stated": {"min": 1.4},
    }
    points = [point(150, model="a"), point(50, model="b"), point(100, model="c")]
    judgement = judged(compare, points)
    assert judgement.verdict == "holds"
    assert [round(ratio.value, 2) for ratio in judgement.ratios] == [1.5]
    assert (
        judged(compare, [point(150, model="a"), point(120, model="b"), point(100, model="c")]).verdict
        == "does_not_hold"
    )


CONTRAST = {
    "kind": "contrast",
    "larger": {"a": {"batch": 2}, "b": {"batch": 1}, "where": {"model": "a"}},
    "smaller": {"a": {"batch": 2}, "b": {"batch": 1}, "where": {"model": "b"}},
}


@pytest.mark.parametrize(
    ("larger", "smaller", "either_way", "verdict"),
    [
        (150, 120, False, "holds"),
        (120, 150, False, "does_not_hold"),
        (120, 120, False, "inconclusive"),
        (120, 50, False, "holds"),
        (120, 50, True, "does_not_hold"),  # a halving is the larger change
        (None, 120, False, "not_measured"),
    ],
)
def test_contrast(larger: float | None, smaller: float, either_way: bool, verdict: str) -> None:
    points = [*along("batch", 100, larger, model="a"), *along("batch", 100, smaller, model="b")]
    assert judged({**CONTRAST, "either_way": either_way}, points).verdict == verdict


@pytest.mark.parametrize(("over", "verdict"), [("all", "does_not_hold"), ("mean", "holds"), ("any", "holds")])
def test_contrast_of_several_settings(over: str, verdict: str) -> None:
    points = [
        *along("batch", 100, 190, model="a", length=128),
        *along("batch", 100, 110, model="b", length=128),
        *along("batch", 100, 110, model="a", length=256),
        *along("batch", 100, 120, model="b", length=256),
    ]
    assert judged({**CONTRAST, "over": over}, points).verdict == verdict


@pytest.mark.parametrize(
    ("fp8", "verdict"),
    [((110, 120, 130), "holds"), ((130, 120, 110), "does_not_hold"), ((120, 120, 120), "inconclusive")],
)
def test_the_trend_of_a_ratio(fp8: tuple[float, ...], verdict: str) -> None:
    compare = {**INCREASES, "of": {"a": {"model": "fp8"}, "b": {"model": "fp16"}}}
    points = [*along("batch", *fp8, model="fp8"), *along("batch", 100, 100, 100, model="fp16")]
    assert judged(compare, points).verdict == verdict


@pytest.mark.parametrize(
    ("fits", "more", "verdict"),
    [
        ((True, True, False, False), {}, "holds"),
        ((True, True, True, False), {}, "does_not_hold"),
        ((True, True, True, False), {"over": "any"}, "holds"),
        ((True, False, False, False), {}, "holds"),
        ((True, False, False, False), {"only": True}, "does_not_hold"),
        ((True, True, True, False), {"over": "any", "only": True}, "holds"),
        ((), {}, "not_measured"),
    ],
)
def test_out_of_memory(fits: tuple[bool, ...], more: dict[str, Any], verdict: str) -> None:
    known = list(zip(along("experts", 1, 1, 1, 1), fits, strict=False))
    assert judged({"kind": "oom", "at": [{"experts": [4, 8]}], **more}, [], known).verdict == verdict


def test_what_cannot_be_tested_says_why() -> None:
    claim = Claim(
        id="c", place="§1", says="A claim.", compare=COMPARISON.validate_python(RATIO), not_testable="no such GPU"
    )
    judgement = judge(claim, Evidence(along("batch", 100, 125)))
    assert (judgement.verdict, judgement.reason) == ("not_testable", "no such GPU")
    assert judged({"kind": "none"}, []).verdict == "not_testable"


@pytest.mark.parametrize(
    ("stated", "low", "high"),
    [
        (Stated(min=1.2, max=1.3), 1.2, 1.3),
        (Stated(min=1.2, max=1.3, approximate=True), 1.16, 1.36),
        (Stated(min=1.5, max=1.5), 1.4, 1.6),
        (Stated(min=0.5, max=0.5), 0.4, 0.6),
        (Stated(max=0.7, approximate=True), 0.0, 0.76),
    ],
)
def test_bounds(stated: Stated, low: float, high: float) -> None:
    found = bounds(stated)
    assert found == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("stated", "ratio", "verdict"),
    [
        (Stated(min=1.2, max=1.3), Estimate(1.25, 1.2, 1.3), "holds"),
        (Stated(min=1.2, max=1.3), Estimate(1.25, 0.9, 1.6), "inconclusive"),  # may be no gain at all
        (Stated(min=1.2, max=1.3), Estimate(1.1, 1.05, 1.25), "inconclusive"),  # outside, but its interval reaches in
        (Stated(min=1.2, max=1.3), Estimate(1.1, 1.05, 1.15), "does_not_hold"),
        (Stated(min=0.9), Estimate(1.0, 0.95, 1.05), "holds"),
        (Stated(min=0.9), Estimate(1.0, 0.5, 2.0), "inconclusive"),  # may be half
        (Stated(max=1), Estimate(0.95, 0.92, 0.98), "holds"),
        (Stated(max=1), Estimate(0.99, 0.95, 1.03), "inconclusive"),  # no clear loss
        (Stated(min=1), Estimate(0.95, 0.92, 0.98), "does_not_hold"),
    ],
)
def test_against_a_stated_range(stated: Stated, ratio: Estimate, verdict: str) -> None:
    assert against(ratio, stated) == verdict


@pytest.mark.parametrize(
    ("compare", "labels"),
    [
        (RATIO, ["length 128, m"]),
        ({**RATIO, "where": {"length": 128, "model": "m"}}, [""]),
        ({**RATIO, "a": {"batch": [2, 4]}}, ["2 over 1 (length 128, m)", "4 over 1 (length 128, m)"]),
        (ORDER, ["4 over 1 (length 128, m)", "4 over 2 (length 128, m)"]),
        (INCREASES, ["length 128, m"]),
    ],
)
def test_a_comparison_says_what_it_is_of(compare: dict[str, Any], labels: list[str]) -> None:
    points = along("batch", 100, 110, 120, length=128, input_tokens=128, output_tokens=128)
    assert [each.of for each in judged(compare, points).compared] == labels


@pytest.mark.parametrize(
    ("first", "wave_s", "verdict"),
    [
        (2_081, 0.5, "holds"),  # 12 % less than it should be
        (2_081, 5.0, "does_not_hold"),
        (1_500, 0.5, "inconclusive"),  # far too low, and still one run
        (1_500, 5.0, "does_not_hold"),
    ],
)
def test_one_short_wave_alone_does_not_deny_what_all_others_show(first: float, wave_s: float, verdict: str) -> None:
    decreases = {"kind": "trend", "axis": "length", "direction": "decreases"}
    others = [
        single(value * batch, wave_s=1.0, length=length, batch=batch)
        for batch in (1, 4)
        for length, value in ((128, 400), (256, 320), (512, 250))
    ]
    slow = [
        single(value, wave_s=of, length=length, batch=8)
        for length, value, of in ((128, first, wave_s), (256, 2_338, max(1.0, wave_s)), (512, 1_800, 5.0))
    ]
    assert judged(decreases, others).verdict == "holds"
    judgement = judged(decreases, [*others, *slow])
    assert judgement.verdict == verdict
    is_told = "one wave of less than 2 s alone denies it" in str(judgement.reason)
    assert is_told is (verdict == "inconclusive")
    again = [MeasuredPoint(each.point, SERIES, each.runs * 3) for each in slow]
    assert judged(decreases, [*others, *again]).verdict == "does_not_hold"  # three runs say the same


def test_two_short_waves_that_agree_deny() -> None:
    decreases = {"kind": "trend", "axis": "length", "direction": "decreases"}
    lines = [
        single(value, wave_s=1.0, length=length, batch=batch)
        for batch, values in ((1, (400, 320)), (4, (100, 320)), (8, (100, 320)))
        for length, value in zip((128, 256), values, strict=True)
    ]
    assert judged(decreases, lines).verdict == "does_not_hold"
    assert judged(decreases, lines[:4]).verdict == "inconclusive"
    assert judged(decreases, lines[2:4]).verdict == "does_not_hold", "without another comparison, its interval decides"


def test_most_comparisons_decide_a_claim_about_the_mean() -> None:
    assert joined(["holds", "holds", "does_not_hold"], "mean") == "holds"
    assert joined(["holds", "inconclusive"], "mean") == "inconclusive"
    assert joined(["does_not_hold", "inconclusive"], "all") == "does_not_hold"
    assert joined(["does_not_hold", "inconclusive"], "any") == "inconclusive"
