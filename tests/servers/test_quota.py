"""Whom the simulated server refuses, and until when: on moments of our own choosing."""

import pytest

from loadgen.errors import UsageError
from loadgen.load.rate_limits import RateLimits
from loadgen.servers.simulator import SimulatorOptions
from loadgen.servers.simulator.generation import Generation, SimulatedRefusal
from loadgen.servers.simulator.quota import Bucket, Quota

S = 1_000_000_000


def asking(prompt_tokens: int = 3, output_tokens: int = 4, choices: int = 1) -> Generation:
    return Generation(
        chat=False,
        prompt_ids=[1] * prompt_tokens,
        output_tokens=output_tokens,
        choices=choices,
        stream=True,
        include_usage=True,
        continuous_usage=False,
        return_token_ids=False,
    )


def test_what_is_beyond_the_minute_is_refused_until_there_is_room() -> None:
    quota = Quota(RateLimits(requests_per_minute=2))
    quota.admit(asking(), 0)
    quota.admit(asking(), 10 * S)
    for arrival_ns in (19_500_000_000, 20 * S):
        with pytest.raises(SimulatedRefusal) as caught:
            quota.admit(asking(), arrival_ns)
        assert (caught.value.status, caught.value.kind) == (429, "RateLimitError")
        assert caught.value.retry_after_s == (41 if arrival_ns < 20 * S else 40), "whole seconds, and rather one more"
    quota.admit(asking(), 60 * S)


def test_tokens_are_those_of_the_prompt_and_of_every_choice() -> None:
    quota = Quota(RateLimits(tokens_per_minute=22))
    quota.admit(asking(choices=2), 0)
    with pytest.raises(SimulatedRefusal):
        quota.admit(asking(choices=3), S)
    quota.admit(asking(choices=2), S)


def test_without_limits_nobody_is_refused() -> None:
    quota = Quota(RateLimits())
    admitted = 0
    for _ in range(100):
        quota.admit(asking(), 0)  # raises where it refuses
        admitted += 1
    assert admitted == 100


def test_a_limit_of_nothing_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="requests_per_minute is 0; give at least 1"):
        SimulatorOptions(requests_per_minute=0)
    with pytest.raises(UsageError, match="tokens_per_minute is -1; give at least 1"):
        SimulatorOptions(tokens_per_minute=-1)


def test_a_bucket_fills_all_the_time() -> None:
    bucket = Bucket(60, 60 * S)
    assert bucket.free_at_ns(60) == 0
    bucket.note(60, 0)
    assert (bucket.left(0), bucket.left(30 * S), bucket.left(90 * S)) == (0, 30, 60)
    assert bucket.free_at_ns(1) == S
    bucket.note(1, 5 * S)
    assert (bucket.left(5 * S), bucket.free_at_ns(10)) == (4, 11 * S)


def test_what_a_bucket_never_holds_goes_when_it_is_full() -> None:
    bucket = Bucket(10, 10 * S)
    bucket.note(4, 0)
    assert bucket.free_at_ns(25) == 4 * S
    bucket.note(25, 4 * S)
    assert bucket.free_at_ns(1) == 20 * S


def test_who_keeps_a_sliding_minute_is_never_refused_by_a_bucket() -> None:
    bucket, sent_ns = Bucket(6, 60 * S), 0
    for burst in range(5):
        for _ in range(6):
            assert bucket.free_at_ns(1) <= sent_ns
            bucket.note(1, sent_ns)
        sent_ns += 60 * S + burst
