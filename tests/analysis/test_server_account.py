"""The server's counters over a run, and what is seen of the same from outside."""

from collections.abc import Callable
from typing import Any

import pytest

from loadgen.analysis.server_account import server_account
from loadgen.engine.record import Outcome, Recording, RequestRecord

BEFORE = {
    "vllm:request_success_total": 10.0,
    "vllm:prefix_cache_queries_total": 100.0,
    "vllm:prefix_cache_hits_total": 50.0,
    "vllm:time_to_first_token_seconds_sum": 1.0,
    "vllm:time_to_first_token_seconds_count": 10.0,
}
AFTER = {
    "vllm:request_success_total": 12.0,
    "vllm:prefix_cache_queries_total": 300.0,
    "vllm:prefix_cache_hits_total": 70.0,
    "vllm:time_to_first_token_seconds_sum": 1.5,
    "vllm:time_to_first_token_seconds_count": 12.0,
}


@pytest.fixture
def recording(row: Callable[..., RequestRecord], recording_of: Callable[..., Recording]) -> Recording:
    """Two answers with a TTFT of 0.2 and 0.4 s, and a failure that was sent."""
    return recording_of(
        [row([(0.2, 1)]), row([(1.4, 1)], sent_s=1.0), row([], sent_s=1.0, end_s=2.0, outcome=Outcome.TIMEOUT)]
    )


def test_counters_are_told_by_how_far_they_moved(recording: Recording) -> None:
    account = server_account([(-9, {}), (-5, BEFORE), (5, {}), (10, AFTER)], recording.records)
    assert account == {
        "requests_finished": 2,
        "requests_sent": 3,
        "prefix_cache_hit_ratio": pytest.approx(0.1),
        "first_tokens": 2,
        "ttft_mean_s": pytest.approx(0.25),
        "client_first_tokens": 2,
        "client_ttft_mean_s": pytest.approx(0.3),
    }


@pytest.mark.parametrize(
    "readings",
    [[], [(-1, BEFORE)], [(5, BEFORE), (10, AFTER)], [(-5, AFTER), (10, BEFORE)]],
    ids=["none", "only before", "only after", "the server began anew"],
)
def test_without_both_sides_nothing_is_said(readings: list[Any], recording: Recording) -> None:
    assert server_account(readings, recording.records) is None


def test_a_counter_that_the_server_lacks_gives_no_figure(recording: Recording) -> None:
    account = server_account([(-5, {}), (10, {"vllm:num_requests_running": 0.0})], recording.records)
    assert account is not None
    names = ("requests_finished", "prefix_cache_hit_ratio", "first_tokens", "ttft_mean_s")
    assert [account[name] for name in names] == [None] * 4
