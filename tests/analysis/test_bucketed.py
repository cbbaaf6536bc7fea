"""What buckets allow to be said: two bounds of each percentile, between which the true one always lies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analysis.bucketed import Bucketed, between
from loadgen.analysis.stats import PERCENTILE_NAMES, PERCENTILES, distribution

UPPER = (0.01, 0.1, 1.0, math.inf)


def bucketed(values: list[float]) -> Bucketed:
    counts, seen = [], 0
    for bound in UPPER:
        below = sum(value <= bound for value in values)
        counts.append(below - seen)
        seen = below
    return Bucketed(UPPER, tuple(counts), sum(values))


@given(st.lists(st.one_of(st.floats(0, 3), st.sampled_from([0.0, 0.01, 0.1, 1.0])), max_size=1500))
def test_the_bounds_hold_the_percentile_of_the_values(values: list[float]) -> None:
    told, true = bucketed(values), distribution(np.array(values))
    assert told.n == true["n"]
    for percentile, name in zip(PERCENTILES, PERCENTILE_NAMES, strict=True):
        bounds, exact = told.bounds(percentile), true[name]
        assert (bounds is None) == (exact is None)
        if bounds is not None and exact is not None:
            low, high = bounds[0] or 0.0, bounds[1]
            assert low - 1e-12 <= exact <= (math.inf if high is None else high) + 1e-12


def test_of_two_values_in_two_buckets_the_median_may_lie_in_either() -> None:
    assert bucketed([0.005, 0.5]).bounds(50) == [0.0, 1.0]


def test_a_bucket_without_an_end_has_no_upper_bound() -> None:
    told = bucketed([2.0, 4.0]).to_json()
    assert told["p50"] == [1.0, None]
    assert told["p99"] is None
    assert told["upper"] == [0.01, 0.1, 1.0, None]
    assert (told["n"], told["mean"], told["counts"]) == (2, 3.0, [0, 0, 0, 2])


def test_without_a_value_there_is_neither_mean_nor_percentile() -> None:
    told = bucketed([])
    assert told.mean is None
    assert told.bounds(50) is None


BEFORE = {
    't_bucket{le="0.1"}': 3.0,
    't_bucket{le="1.0"}': 4.0,
    't_bucket{le="+Inf"}': 5.0,
    "t_sum": 9.0,
    "t_count": 5.0,
}
AFTER = {
    't_bucket{le="0.1"}': 5.0,
    't_bucket{le="1.0"}': 9.0,
    't_bucket{le="+Inf"}': 10.0,
    "t_sum": 12.0,
    "t_count": 10.0,
}


def test_what_lies_between_two_readings_is_the_difference_of_their_buckets() -> None:
    assert between(BEFORE, AFTER, "t") == Bucketed((0.1, 1.0, math.inf), (2, 3, 0), 3.0)
    assert between({}, AFTER, "t") == Bucketed((0.1, 1.0, math.inf), (5, 4, 1), 12.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [(AFTER, BEFORE), (BEFORE, {}), ({}, {'t_bucket{le="0.1"}': 1.0})],
    ids=["back", "none", "no end"],
)
def test_a_histogram_that_went_back_or_is_not_whole_says_nothing(
    before: dict[str, float], after: dict[str, float]
) -> None:
    assert between(before, after, "t") is None
