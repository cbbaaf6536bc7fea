"""Arrivals are pure functions of the shape, the number and the seed; each process has its own mark."""

import numpy as np
import pytest
from numpy.typing import NDArray

from loadgen.load.arrivals import NS_PER_S, Ramp
from loadgen.load.shapes import OpenLoop

RAMPS = [Ramp(25.0, 60.0), Ramp(25.0, 60.0, "exponential"), Ramp(1.0, 60.0), Ramp(1.0, 60.0, "exponential")]


def gaps_s(shape: OpenLoop, requests: int = 40_000, seed: int = 3) -> NDArray[np.float64]:
    gaps: NDArray[np.float64] = np.diff(shape.offsets_ns(requests, seed)) / NS_PER_S
    return gaps


def test_constant_arrivals_are_evenly_spaced() -> None:
    offsets = OpenLoop(4.0, "constant").offsets_ns(5, seed=9)
    assert offsets.tolist() == [0, 250_000_000, 500_000_000, 750_000_000, NS_PER_S]


def test_poisson_arrivals_have_the_asked_rate_and_the_mark_of_the_exponential() -> None:
    gaps = gaps_s(OpenLoop(50.0))
    assert np.all(gaps >= 0)
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


@pytest.mark.parametrize("burstiness", [0.25, 4.0])
def test_gamma_arrivals_keep_the_rate_and_vary_by_their_burstiness(burstiness: float) -> None:
    gaps = gaps_s(OpenLoop(50.0, "gamma", burstiness))
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(burstiness**-0.5, rel=0.05)


def test_a_burstiness_of_one_is_poisson() -> None:
    gamma, poisson = (shape.offsets_ns(1000, 7) for shape in (OpenLoop(8.0, "gamma", 1.0), OpenLoop(8.0)))
    assert gamma.tolist() == poisson.tolist()


@pytest.mark.parametrize(
    "shape", [OpenLoop(9.0), OpenLoop(9.0, "gamma", 0.5), OpenLoop(9.0, "poisson", None, RAMPS[0])]
)
def test_arrivals_follow_the_seed(shape: OpenLoop) -> None:
    assert shape.offsets_ns(100, 3).tolist() == shape.offsets_ns(100, 3).tolist()
    assert shape.offsets_ns(100, 3).tolist() != shape.offsets_ns(100, 4).tolist()
    assert shape.offsets_ns(50, 3).tolist() == shape.offsets_ns(100, 3)[:50].tolist()


@pytest.mark.parametrize("ramp", RAMPS)
def test_a_ramp_has_its_rate_at_both_ends_and_stays_there(ramp: Ramp) -> None:
    shape = OpenLoop(5.0, "constant", None, ramp)
    within = round(ramp.mean_rate_per_s(5.0) * ramp.over_s)
    offsets_s = shape.offsets_ns(within + 200, seed=0) / NS_PER_S
    assert 1 / (offsets_s[1] - offsets_s[0]) == pytest.approx(5.0, rel=0.1)
    assert offsets_s[within] == pytest.approx(ramp.over_s, abs=1 / ramp.to_per_s)
    assert np.diff(offsets_s[within + 1 :]) == pytest.approx(1 / ramp.to_per_s)


def test_a_linear_ramp_is_halfway_in_rate_at_half_time_and_an_exponential_one_at_the_geometric_mean() -> None:
    def rate_at_half_time(ramp: Ramp) -> float:
        offsets_s = OpenLoop(100.0, "constant", None, ramp).offsets_ns(60_000, seed=0) / NS_PER_S
        middle = int(np.searchsorted(offsets_s, 30.0))
        return float(1 / (offsets_s[middle + 1] - offsets_s[middle]))

    assert rate_at_half_time(Ramp(900.0, 60.0)) == pytest.approx(500.0, rel=0.01)
    assert rate_at_half_time(Ramp(900.0, 60.0, "exponential")) == pytest.approx(300.0, rel=0.01)


@pytest.mark.parametrize(
    "shape",
    [OpenLoop(20.0), OpenLoop(20.0, "gamma", 0.05), OpenLoop(5.0, "poisson", None, RAMPS[0]), OpenLoop(0.1)],
)
def test_a_duration_counts_exactly_the_arrivals_inside_it(shape: OpenLoop) -> None:
    requests = shape.process.requests_within(60.0, seed=5)
    offsets = shape.offsets_ns(requests + 1, seed=5)
    assert offsets[requests - 1] < 60 * NS_PER_S <= offsets[requests]


def test_a_duration_that_is_a_whole_number_of_gaps_leaves_the_last_edge_out() -> None:
    assert OpenLoop(10.0, "constant").process.requests_within(2.0, seed=0) == 20
