"""The client's error against the truth, on sightings that a person can check by hand."""

from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest

from loadgen.analysis.client_error import PROMISE, ClientError, Sighting, broken_promises, client_error

MS = 1_000_000


def sighting(begun_ms: float, *content_ms: float) -> Sighting:
    return Sighting(round(begun_ms * MS), np.array([round(each * MS) for each in content_ms], np.int64))


def test_the_error_of_ttft_is_that_of_the_same_request() -> None:
    seen = {0: sighting(0, 50.3, 60.3), 1: sighting(100, 150.1, 160.1)}
    truth = {0: sighting(0.1, 50, 60), 1: sighting(100, 150, 160)}
    error = client_error(seen, truth)
    assert error.requests == 2
    assert error.ttft_error_p50_s == pytest.approx(0.00025)  # of 0.4 ms (sent before it arrived) and 0.1 ms
    assert error.ttft_error_p99_s is None


def test_an_error_is_as_bad_below_the_truth_as_above() -> None:
    assert client_error({0: sighting(0, 49)}, {0: sighting(0, 50)}).ttft_error_p50_s == pytest.approx(0.001)


def test_the_gaps_error_compares_the_p99s() -> None:
    truth = {0: sighting(0, *(10 * k for k in range(1, 1002)))}
    late = {0: sighting(0, *(10 * k + (5 if k % 20 == 0 else 0) for k in range(1, 1002)))}
    assert client_error(truth, truth).gap_p99_error_s == 0
    assert client_error(late, truth).gap_p99_error_s == pytest.approx(0.005)


def test_joined_counts_what_the_server_had_sent_apart() -> None:
    seen = {0: sighting(0, 10, 20, 20, 20)}
    truth = {0: sighting(0, 10, 18, 19.99, 20)}  # the last two left the server together
    assert client_error(seen, truth).joined_ratio == 0.25


def test_requests_that_one_side_did_not_see_whole_are_left_out() -> None:
    seen = {0: sighting(0, 10, 20), 1: sighting(0, 10), 2: sighting(0, 10, 20), 3: sighting(0)}
    truth = {0: sighting(0, 10, 20), 1: sighting(0, 10, 20), 3: sighting(0)}
    assert client_error(seen, truth).requests == 1
    assert client_error({}, truth) == ClientError(0, None, None, None, None)


KEPT = ClientError(1000, 0.01e-3, 0.1e-3, -0.1e-3, 0.001)


def test_a_promise_that_is_kept_says_nothing() -> None:
    assert broken_promises(KEPT) == []
    assert broken_promises(ClientError(1, *astuple(PROMISE))) == []
    assert broken_promises(replace(KEPT, ttft_error_p99_s=None, gap_p99_error_s=None)) == []


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("ttft_error_p50_s", 0.06e-3, "median TTFT error 0.06 ms, promised 0.05 ms"),
        ("ttft_error_p99_s", 0.3e-3, "TTFT error p99 0.3 ms, promised 0.2 ms"),
        ("gap_p99_error_s", -0.6e-3, "gap p99 error -0.6 ms, promised 0.5 ms"),
        ("joined_ratio", 0.02, "2.0% of the contents joined, promised 1%"),
    ],
)
def test_each_promise_that_is_broken_is_told(field: str, value: Any, said: str) -> None:
    assert broken_promises(replace(KEPT, **{field: value})) == [said]


def test_nothing_whole_keeps_no_promise() -> None:
    assert broken_promises(ClientError(0, None, None, None, None)) == ["no answer was whole"]
