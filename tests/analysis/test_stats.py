"""Percentiles, their refusal, and intervals against published values."""

import numpy as np
import pytest

from loadgen.analysis.stats import distribution, mean_interval, samples_needed, student_t


def test_percentiles_interpolate_between_order_statistics() -> None:
    given = distribution(np.arange(1000, dtype=np.float64)[::-1])
    assert given["n"] == 1000
    assert (given["min"], given["mean"], given["max"]) == (0.0, 499.5, 999.0)
    assert [given[f"p{p}"] for p in (50, 90, 95, 99)] == pytest.approx([499.5, 899.1, 949.05, 989.01])


def test_of_four_values_only_the_median_is_given() -> None:
    given = distribution(np.array([4.0, 1.0, 3.0, 2.0]))
    assert given["p50"] == 2.5
    assert (given["p90"], given["p95"], given["p99"]) == (None, None, None)
    assert (given["min"], given["max"]) == (1.0, 4.0)


def test_nothing_measured_is_none_and_not_zero() -> None:
    given = distribution(np.empty(0))
    assert given.pop("n") == 0
    assert set(given.values()) == {None}


@pytest.mark.parametrize(("percentile", "needed"), [(50, 1), (90, 100), (95, 200), (99, 1000)])
def test_a_percentile_is_refused_one_sample_below_its_need(percentile: int, needed: int) -> None:
    assert samples_needed(percentile) == needed
    assert distribution(np.ones(needed))[f"p{percentile}"] == 1.0
    assert distribution(np.ones(needed - 1))[f"p{percentile}"] is None


@pytest.mark.parametrize(
    ("degrees", "confidence", "t"),
    [
        (1, 0.95, 12.7062047),
        (2, 0.95, 4.30265273),
        (3, 0.95, 3.18244631),
        (4, 0.95, 2.77644511),
        (5, 0.99, 4.03214298),
        (9, 0.95, 2.26215716),
        (10, 0.90, 1.81246112),
        (29, 0.95, 2.04522964),
        (120, 0.95, 1.97993041),
    ],
)
def test_student_t_agrees_with_the_tables(degrees: int, confidence: float, t: float) -> None:
    assert student_t(degrees, confidence) == pytest.approx(t, rel=1e-8)


def test_interval_of_three_repeats() -> None:
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval == pytest.approx((2 - 2.48413771, 2 + 2.48413771))


def test_one_repeat_has_no_interval() -> None:
    assert mean_interval([1.0]) is None
    assert mean_interval([]) is None


def test_equal_repeats_have_an_interval_of_no_width() -> None:
    assert mean_interval([2.0, 2.0]) == (2.0, 2.0)
