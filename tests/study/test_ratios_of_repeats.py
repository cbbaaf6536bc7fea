"""Figures with intervals, and their ratios."""

import math

import pytest

from loadgen.study.estimate import estimate, mean_ratio


def test_repeats_have_the_interval_of_their_mean() -> None:
    found = estimate([99.0, 100.0, 101.0])
    assert found is not None
    assert found.value == 100
    half = 4.302653 * 1 / math.sqrt(3)  # Student's t with two degrees of freedom
    assert (found.low, found.high) == pytest.approx((100 - half, 100 + half), rel=1e-5)
    assert (found.runs, found.assumed) == (3, False)


def test_a_single_run_and_a_prediction_have_stated_intervals() -> None:
    single, predicted = estimate([100.0]), estimate([100.0, 100.0], is_simulated=True)
    assert single is not None
    assert predicted is not None
    assert (single.low, single.high) == pytest.approx((95.238, 105), abs=1e-3)
    assert (predicted.low, predicted.high) == pytest.approx((90.909, 110), abs=1e-3)
    assert single.assumed
    assert predicted.assumed


@pytest.mark.parametrize("values", [[], [0.0, 1.0], [-1.0]])
def test_what_has_no_ratio_has_no_estimate(values: list[float]) -> None:
    assert estimate(values) is None


def test_a_ratio_is_as_uncertain_as_both_sides_together() -> None:
    a, b = estimate([200.0]), estimate([100.0])
    assert a is not None
    assert b is not None
    ratio = a.over(b)
    spread = math.exp(math.hypot(math.log(1.05), math.log(1.05)))
    assert ratio.value == 2
    assert (ratio.low, ratio.high) == pytest.approx((2 / spread, 2 * spread))
    assert ratio.inverse.value == 0.5
    mean = mean_ratio([ratio, ratio.inverse])
    assert mean.value == pytest.approx(1)
    assert mean.high < ratio.high / ratio.value
