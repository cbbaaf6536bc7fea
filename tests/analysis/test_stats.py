"""Percentiles, their refusal, and intervals against published values."""

import numpy as np
import pytest

from loadgen.analysis import stats


def test_percentiles_interpolate_between_order_statistics() -> None:
    given = stats.distribution(np.arange(1000, dtype=np.float64)[::-1])
    assert given["n"] == 1000
    assert (given["min"], given["mean"], given["max"]) == (0.0, 499.5, 999.0)
    assert [given[name] for name in stats.PERCENTILE_NAMES] == pytest.approx([499.5, 899.1, 949.05, 989.01])


def test_of_four_values_only_the_median_is_given() -> None:
    given = stats.distribution(np.array([4.0, 1.0, 3.0, 2.0]))
    assert given["p50"] == 2.5
    assert (given["p90"], given["p95"], given["p99"]) == (None, None, None)
    assert (given["min"], given["max"]) == (1.0, 4.0)


def test_nothing_measured_is_none_and_not_zero() -> None:
    given = stats.distribution(np.empty(0))
    assert given["n"] == 0
    assert {value for key, value in given.items() if key != "n"} == {None}


@pytest.mark.parametrize(("percentile", "needed"), [(50, 1), (90, 100), (95, 200), (99, 1000)])
def test_a_percentile_is_refused_one_sample_below_its_need(percentile: int, needed: int) -> None:
    name = stats.PERCENTILE_NAMES[stats.PERCENTILES.index(percentile)]
    assert stats.samples_needed(percentile) == needed
    assert stats.distribution(np.ones(needed))[name] == 1.0
    assert stats.distribution(np.ones(needed - 1))[name] is None


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
    assert stats.student_t(degrees, confidence) == pytest.approx(t, rel=1e-8)


def test_interval_of_three_repeats() -> None:
    interval = stats.mean_interval([1.0, 2.0, 3.0])
    assert interval == pytest.approx((2 - 2.48413771, 2 + 2.48413771))


def test_one_repeat_has_no_interval() -> None:
    assert stats.mean_interval([1.0]) is None
    assert stats.mean_interval([]) is None


def test_equal_repeats_have_an_interval_of_no_width() -> None:
    assert stats.mean_interval([2.0, 2.0]) == (2.0, 2.0)


def test_a_paired_change_is_the_t_interval_of_the_logarithms() -> None:
    found = stats.change([1.0, 2.0, 4.0], [2.0, 4.0, 16.0], paired=True)
    assert found is not None
    low, high = stats.mean_interval([np.log(2), np.log(2), np.log(4)]) or (0.0, 0.0)
    assert found.ratio == pytest.approx(2 * 2 ** (1 / 3) - 1)
    assert (found.low, found.high) == pytest.approx((np.expm1(low), np.expm1(high)))


def test_an_unpaired_change_is_welchs_with_whole_degrees_of_freedom() -> None:
    """By hand: variances 2/3 and 4 of the logarithms, n = 4 and 3, so 2 degrees of freedom and t(2) = 4.30265273."""
    a, b = np.exp([0.0, 1.0, 1.0, 2.0]), np.exp([2.0, 4.0, 6.0])
    error = np.sqrt((2 / 3) / 4 + 4 / 3)
    degrees = error**4 / (((2 / 3) / 4) ** 2 / 3 + (4 / 3) ** 2 / 2)
    assert int(degrees) == 2
    found = stats.change(a.tolist(), b.tolist(), paired=False)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.expm1([3 - 4.30265273 * error, 3 + 4.30265273 * error])))


def test_the_effect_size_is_hedges_g() -> None:
    found = stats.change(np.exp([0.0, 1.0, 2.0]).tolist(), np.exp([2.0, 3.0, 4.0]).tolist(), paired=False)
    assert found is not None
    assert found.effect_size == pytest.approx(2.0 * (1 - 3 / 15))


def test_a_change_of_single_values_has_no_interval() -> None:
    found = stats.change([1.0], [2.0], paired=True)
    assert found is not None
    assert found.ratio == pytest.approx(1.0)
    assert (found.low, found.high, found.effect_size) == (None, None, None)


def test_a_fall_to_zero_is_a_change_and_a_rise_from_zero_has_no_ratio() -> None:
    fallen = stats.change([5.0, 5.2, 4.8], [0.0, 0.0, 0.0], paired=False)
    assert fallen is not None
    assert fallen.ratio == pytest.approx(-1.0)
    assert fallen.high is not None
    assert fallen.high < -0.8
    assert stats.change([0.0, 0.0], [1.0, 2.0], paired=False) is None


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("n_a", "n_b"), [(3, 3), (5, 5)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_of_a_change_cover_the_truth_as_often_as_they_say(
    paired: bool, n_a: int, n_b: int, confidence: float
) -> None:
    """2,000 experiments of log-normal runs: what a seed does to both sides, and what each run has of its own."""
    random = np.random.default_rng(7)
    truth, held = 0.1, 0
    for _ in range(2_000):
        seeds = random.normal(0, 0.1, n_a) if paired else np.zeros(n_a)
        a = np.exp(seeds + random.normal(0, 0.05, n_a))
        b = (1 + truth) * np.exp(seeds[:n_b] + random.normal(0, 0.15, n_b))
        found = stats.change(a.tolist(), b.tolist(), paired=paired, confidence=confidence)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    spread = 4 * (confidence * (1 - confidence) / 2_000) ** 0.5
    assert held / 2_000 > confidence - spread
    assert held / 2_000 < confidence + (spread if paired else 0.08)
