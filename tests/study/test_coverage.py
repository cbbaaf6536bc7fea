"""A verdict rests on all that a claim is about, or says on how much of it."""

from typing import Any

import pytest

from loadgen.study.claims import Claim
from loadgen.study.judge import Evidence, Judgement, judge
from loadgen.study.measured import MeasuredPoint, PlannedPoint
from tests.study.test_judge import COMPARISON, SERIES, along, point

TREND = {"kind": "trend", "axis": "batch", "direction": "increases"}
DROP = {"kind": "ratio", "a": {"batch": 2}, "b": {"batch": 1}, "stated": {"min": 0.7, "max": 0.8}}
RATIO = {"kind": "ratio", "a": {"batch": 2}, "b": {"batch": 1}, "stated": {"min": 1.2, "max": 1.3}}
BEST = {
    "kind": "ratio",
    "a": {"model": ["a", "b", "c"]},
    "b": {"model": ["a", "b", "c"]},
    "take": {"a": "highest", "b": "lowest"},
    "stated": {"min": 2},
}


def planned(points: list[MeasuredPoint]) -> list[PlannedPoint]:
    return [PlannedPoint(each.point, each.series, ()) for each in points]


def judged(
    compare: dict[str, Any],
    measured: list[MeasuredPoint],
    missing: list[MeasuredPoint],
    *,
    too_large: tuple[MeasuredPoint, ...] = (),
) -> Judgement:
    claim = Claim(id="c", place="§1", says="A claim.", compare=COMPARISON.validate_python(compare))
    fits = [(each.point, False) for each in too_large]
    return judge(claim, Evidence(measured, fits, planned([*measured, *missing])))


@pytest.mark.parametrize(
    ("compare", "values", "on_a_part"),
    [
        (TREND, (100, 125), "inconclusive"),
        (TREND, (125, 100), "does_not_hold"),
        ({**TREND, "over": "any"}, (100, 125), "holds"),
        ({**TREND, "over": "any"}, (125, 100), "inconclusive"),
        (RATIO, (100, 125), "inconclusive"),
        (RATIO, (100, 150), "does_not_hold"),
        ({**RATIO, "over": "mean"}, (100, 125), "inconclusive"),
        ({**RATIO, "over": "mean"}, (100, 150), "inconclusive"),
        ({**RATIO, "over": "max"}, (100, 150), "does_not_hold"),  # past `up to 1.3`
        ({**RATIO, "over": "max"}, (100, 105), "inconclusive"),  # another may reach it
        ({**DROP, "over": "max"}, (100, 50), "does_not_hold"),
        ({**DROP, "over": "max"}, (100, 95), "inconclusive"),
    ],
)
def test_one_of_two_models(compare: dict[str, Any], values: tuple[float, ...], on_a_part: str) -> None:
    measured = along("batch", *values, model="a")
    judgement = judged(compare, measured, along("batch", 1, 1, model="b"))
    assert (judgement.verdict, judgement.reason) == (on_a_part, "covers 1 of 2 models, 1 of 2 comparisons")
    assert judgement.is_of_a_part
    whole = judged(compare, measured, [])
    assert whole.verdict in ("holds", "does_not_hold")
    assert (whole.reason, whole.is_of_a_part) == (None, False)


def test_a_value_of_the_axis_is_missing() -> None:
    judgement = judged(TREND, along("batch", 100, 125), [point(1, batch=4)])
    assert (judgement.verdict, judgement.reason) == ("inconclusive", "covers 2 of 3 points")


@pytest.mark.parametrize("slowest", [40, 90])
def test_the_best_and_the_worst_of_some_models_are_not_those_of_all(slowest: float) -> None:
    measured = [point(100, model="a"), point(slowest, model="b")]
    judgement = judged(BEST, measured, [point(1, model="c")])
    assert (judgement.verdict, judgement.reason) == ("inconclusive", "covers 2 of 3 models")


def test_a_better_value_denies_a_peak_whatever_else_is_missing() -> None:
    compare = {"kind": "peak", "axis": "batch", "at": 1}
    assert judged(compare, along("batch", 100, 125), [point(1, batch=4)]).verdict == "does_not_hold"
    assert judged(compare, along("batch", 125, 100), [point(1, batch=4)]).verdict == "inconclusive"


def test_a_model_that_does_not_fit_is_not_missing() -> None:
    measured, larger = along("batch", 100, 125, model="a"), along("batch", 1, 1, model="b")
    judgement = judged(TREND, measured, larger, too_large=tuple(larger))
    assert (judgement.verdict, judgement.reason) == ("holds", None)


def test_points_that_differ_in_more_than_the_claim_names_are_never_compared() -> None:
    judgement = judged(TREND, [point(100, batch=1, length=128)], [point(1, batch=2, length=256)])
    assert (judgement.verdict, judgement.reason) == (
        "not_measured",
        "no two points that can be measured differ in that alone",
    )
    judgement = judged(TREND, [point(100, batch=1)], [point(1, batch=2)])
    assert (judgement.verdict, judgement.reason) == ("not_measured", "no pair of its points is measured")


def test_an_assumed_interval_is_said_too() -> None:
    single = [MeasuredPoint(each.point, SERIES, each.runs[:1]) for each in along("batch", 100, 150, model="a")]
    judgement = judged(TREND, single, along("batch", 1, 1, model="b"))
    assert judgement.reason == "covers 1 of 2 models, 1 of 2 comparisons; an interval is assumed, not measured"
