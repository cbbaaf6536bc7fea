"""What runs are taken to need: time, and worker processes."""

from dataclasses import replace

import pytest

from loadgen.experiments import estimate
from loadgen.load.shapes import ClosedLoop, OpenLoop
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Sessions, Workload


def closed(concurrency: int, seed: int = 0, requests: int = 40) -> RunSpec:
    return RunSpec("u", "m", ClosedLoop(concurrency), 8, 10, requests=requests, seed=seed)


def talking(callers: int, requests: int = 40) -> RunSpec:
    """Conversations of four turns, two seconds to think."""
    return replace(closed(callers, requests=requests), endpoint="chat", workload=Workload(sessions=Sessions(4, 2.0)))


def test_what_a_spec_states_by_itself() -> None:
    assert estimate.stated_s(closed(4)) is None
    assert estimate.stated_s(RunSpec("u", "m", ClosedLoop(4), 8, 10, duration_s=30)) == 30
    assert estimate.stated_s(RunSpec("u", "m", OpenLoop(4.0), 8, 10, requests=100)) == 25


def test_steps_are_rounds_times_tokens() -> None:
    assert estimate.steps(closed(4)) == 10 * 10
    assert estimate.steps(closed(40)) == 10


def test_nothing_is_known_before_the_first_sign_of_life() -> None:
    assert estimate.TimeLeft([closed(4), closed(8)]).left_s(1, elapsed_s=0.5, done_ratio=0.0) is None


def test_the_first_run_is_projected_and_later_ones_scaled_by_their_steps() -> None:
    left = estimate.TimeLeft([closed(4), closed(8)])  # the second takes half the steps of the first
    assert left.left_s(1, elapsed_s=5, done_ratio=0.5) == pytest.approx(5 + 5)


def test_a_repeat_is_expected_to_take_what_its_point_took() -> None:
    runs = [closed(4), closed(8), closed(4, seed=1), closed(8, seed=1)]
    left = estimate.TimeLeft(runs)
    left.ended(runs[0], 10)
    left.ended(runs[1], 9)
    assert left.left_s(3, elapsed_s=1, done_ratio=0.0) == pytest.approx(9 + 9)


def test_a_caller_of_conversations_thinks_between_its_turns() -> None:
    assert estimate.thinking_s(talking(4, requests=48)) == 3 * 3 * 2.0  # conversations × pauses × their mean
    assert estimate.thinking_s(talking(16, requests=48)) == 3 * 2.0
    assert estimate.thinking_s(closed(4)) == 0
    assert estimate.thinking_s(replace(talking(4), requests=None, duration_s=30.0)) == 0


def test_users_think_as_long_however_fast_the_server_is() -> None:
    few, many = talking(4, requests=48), talking(8, requests=48)  # the second has half the steps, and half the pauses
    left = estimate.TimeLeft([few, many])
    assert left.left_s(1, elapsed_s=19, done_ratio=0.5) == pytest.approx(19 + 9 + 10)
    left.ended(few, 18 + 1 + 26)  # 120 steps and 10 of its warm-up in 26 s
    assert left.of(many) == pytest.approx(9 + 1 + 14)


def test_what_a_run_needs_besides_its_replies_does_not_grow_with_them() -> None:
    short, long = replace(closed(2, requests=2), output_tokens=8), replace(closed(2, requests=80), output_tokens=64)
    left = estimate.TimeLeft([short, long])
    left.ended(short, 1.4)
    assert left.of(long) == pytest.approx(1 + 0.4 / 16 * (40 + 1) * 64)


def test_time_left_is_never_negative() -> None:
    runs = [closed(4), closed(4, seed=1)]
    left = estimate.TimeLeft(runs)
    left.ended(runs[0], 10)
    assert left.left_s(2, elapsed_s=30, done_ratio=0.05) == 0


def limited(requests: int, requests_per_minute: int | None = None, tokens_per_minute: int | None = None) -> RunSpec:
    return replace(
        closed(1, requests=requests),
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        warmup_requests=0,
    )


def test_a_minutes_worth_goes_out_at_once_and_the_next_one_a_minute_later() -> None:
    assert estimate.limit_waits_s([closed(4)]) == [0]
    assert estimate.limit_waits_s([limited(60, requests_per_minute=60)]) == [0]
    assert estimate.limit_waits_s([limited(61, requests_per_minute=60)]) == [60]
    assert estimate.limit_waits_s([limited(180, requests_per_minute=60)]) == [120]
    assert estimate.limit_waits_s([limited(10, tokens_per_minute=18)]) == [9 * 60]  # 8 + 10 tokens a request


def test_runs_share_the_minutes() -> None:
    third = limited(20, requests_per_minute=60)
    assert estimate.limit_waits_s([third] * 4) == [0, 0, 0, 60]


def test_the_wait_for_a_limit_is_in_the_time_left_however_quickly_the_first_burst_went() -> None:
    left = estimate.TimeLeft([limited(120, requests_per_minute=60), limited(60, requests_per_minute=60)])
    assert left.left_s(1, elapsed_s=2, done_ratio=0.5) == pytest.approx(58 + 60)


RUN = RunSpec("http://server/v1", "m", ClosedLoop(1), input_tokens=8, output_tokens=128, requests=100_000)


def test_events_are_output_tokens() -> None:
    assert estimate.events_per_s(replace(RUN, shape=OpenLoop(10.0))) == 1280.0
    assert estimate.events_per_s(replace(RUN, shape=ClosedLoop(64))) == 6400.0
    assert estimate.events_per_s(replace(RUN, shape=OpenLoop(10.0), workload=Workload(choices=2))) == 2560.0
    assert estimate.events_per_s(replace(RUN, shape=ClosedLoop(64), workload=Workload(choices=2))) == 12_800.0


@pytest.mark.parametrize(
    ("concurrency", "cores", "workers"),
    [(1, 64, 1), (500, 64, 1), (501, 64, 2), (4000, 64, 8), (4000, 4, 3), (4000, 2, 1), (4000, 1, 1)],
)
def test_auto_follows_the_events_and_leaves_a_core(concurrency: int, cores: int, workers: int) -> None:
    assert estimate.EVENTS_PER_S_PER_WORKER == 50_000
    assert estimate.workers_for(replace(RUN, shape=ClosedLoop(concurrency)), cores) == workers


def test_no_more_than_there_is_to_do() -> None:
    assert estimate.workers_for(replace(RUN, shape=OpenLoop(100_000.0), requests=2), 64) == 2


def test_what_is_asked_is_done() -> None:
    assert estimate.workers_for(replace(RUN, shape=ClosedLoop(1), workers=3), 2) == 3
