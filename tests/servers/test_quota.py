"""Whom the simulated server refuses, and until when: on moments of our own choosing."""

import pytest

from loadgen.errors import UsageError
from loadgen.load.rate_limits import RateLimits
from loadgen.servers.simulator import SimulatorOptions
from loadgen.servers.simulator.generation import Generation, Refusal
from loadgen.servers.simulator.quota import Quota

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
        with pytest.raises(Refusal) as caught:
            quota.admit(asking(), arrival_ns)
        assert (caught.value.status, caught.value.kind) == (429, "RateLimitError")
        assert caught.value.retry_after_s == (41 if arrival_ns < 20 * S else 40), "whole seconds, and rather one more"
    quota.admit(asking(), 60 * S)


def test_tokens_are_those_of_the_prompt_and_of_every_choice() -> None:
    quota = Quota(RateLimits(tokens_per_minute=22))
    quota.admit(asking(choices=2), 0)
    with pytest.raises(Refusal):
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
