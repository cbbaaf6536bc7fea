"""The time that is left, from specs and from the runs so far."""

import pytest

from loadgen.experiments.estimate import TimeLeft, stated_s, steps
from loadgen.load.spec import ClosedLoop, OpenLoop, RunSpec


def closed(concurrency: int, seed: int = 0, requests: int = 40) -> RunSpec:
    return RunSpec("u", "m", ClosedLoop(concurrency), 8, 10, requests=requests, seed=seed)


def test_what_a_spec_states_by_itself() -> None:
    assert stated_s(closed(4)) is None
    assert stated_s(RunSpec("u", "m", ClosedLoop(4), 8, 10, duration_s=30)) == 30
    assert stated_s(RunSpec("u", "m", OpenLoop(4.0), 8, 10, requests=100)) == 25


def test_steps_are_rounds_times_tokens() -> None:
    assert steps(closed(4)) == 10 * 10
    assert steps(closed(40)) == 10


def test_nothing_is_known_before_the_first_sign_of_life() -> None:
    assert TimeLeft([closed(4), closed(8)]).left_s(1, elapsed_s=0.5, done_ratio=0.0) is None


def test_the_first_run_is_projected_and_later_ones_scaled_by_their_steps() -> None:
    left = TimeLeft([closed(4), closed(8)])  # the second takes half the steps of the first
    assert left.left_s(1, elapsed_s=5, done_ratio=0.5) == pytest.approx(5 + 5)


def test_a_repeat_is_expected_to_take_what_its_point_took() -> None:
    runs = [closed(4), closed(8), closed(4, seed=1), closed(8, seed=1)]
    left = TimeLeft(runs)
    left.ended(runs[0], 10)
    left.ended(runs[1], 9)
    assert left.left_s(3, elapsed_s=1, done_ratio=0.0) == pytest.approx(9 + 9)


def test_time_left_is_never_negative() -> None:
    runs = [closed(4), closed(4, seed=1)]
    left = TimeLeft(runs)
    left.ended(runs[0], 10)
    assert left.left_s(2, elapsed_s=30, done_ratio=0.05) == 0
