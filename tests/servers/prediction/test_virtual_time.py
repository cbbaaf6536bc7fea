"""An engine in virtual time: times worked out by hand, and many steps at once equal to one by one."""

import numpy as np
import pytest

from loadgen.moe.step import Step
from loadgen.servers.prediction.engine_steps import CostOf, EngineModel, FrontEnd, StepCost
from loadgen.servers.prediction.scheduler import SchedulerLimits
from loadgen.servers.prediction.virtual_time import Request, serve

LIMITS = SchedulerLimits(max_num_seqs=8, max_num_batched_tokens=100, kv_blocks=1000)


def second_a_step(step: Step) -> StepCost:
    """A second to compute, no time to launch."""
    return StepCost(0.0, 1.0, 1.0)


def by_tokens(step: Step) -> StepCost:
    """A tenth of a second to launch, and longer to compute with more tokens and more context."""
    compute_s = 0.05 + 0.01 * step.tokens + 1e-4 * step.decode_context_tokens
    return StepCost(0.1, compute_s, compute_s)


def engine(limits: SchedulerLimits = LIMITS, cost_of: CostOf = second_a_step, **front_end: float) -> EngineModel:
    return EngineModel(limits, cost_of, FrontEnd(**front_end))


def token_times(model: EngineModel, *requests: Request, callers: int | None = None) -> list[list[float]]:
    return [reply.token_s.tolist() for reply in serve(model, requests, callers=callers)]


def test_a_wave_of_two_gets_a_token_of_each_every_second() -> None:
    assert token_times(engine(), Request(10, 3), Request(10, 2), callers=2) == [[1, 2, 3], [1, 2]]


def test_a_caller_sends_when_its_reply_has_ended_and_the_step_planned_meanwhile_is_not_its() -> None:
    # One caller, replies of two tokens. The second request comes at 2, when nothing is in flight.
    assert token_times(engine(), Request(10, 2), Request(10, 2), callers=1) == [[1, 2], [3, 4]]
    # Another caller decodes: the step from 2 to 3 was planned at 1, so that the second request joins that from 3.
    ends = token_times(engine(), Request(10, 2), Request(10, 9), Request(10, 1), callers=2)
    assert ends == [[1, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9], [4]]


def test_requests_of_an_open_loop_wait_until_a_step_is_planned() -> None:
    # Planned at 0 (at once) and at 0 again, since two may be in flight: the request due at 0.5 joins the step from 2.
    assert token_times(engine(), Request(10, 4, due_s=0.0), Request(10, 1, due_s=0.5)) == [[1, 2, 3, 4], [3]]


def test_the_front_end_takes_requests_one_after_the_other() -> None:
    model = engine(request_s=0.25, prompt_token_s=0.025)
    # Each takes 0.25 + 10 · 0.025 = 0.5: the engine has them at 0.5 and at 1. Alone, the first fills the two steps from 0.5
    # and from 1.5, both planned at 0.5; the second joins that from 2.5.
    assert token_times(model, Request(10, 2), Request(10, 1), callers=2) == [[1.5, 2.5], [3.5]]


def test_the_front_end_hands_out_tokens_one_after_the_other() -> None:
    model = engine(token_s=0.25, reply_s=0.125)
    assert token_times(model, Request(10, 2), Request(10, 2), callers=2) == [[1.375, 2.375], [1.625, 2.625]]
    slow = engine(token_s=0.75)  # two tokens take 1.5: more than a step
    assert token_times(slow, Request(10, 2), Request(10, 2), callers=2) == [[1.75, 3.25], [2.5, 4.0]]


def test_a_token_arrives_when_the_next_step_has_been_launched() -> None:
    def slow_to_launch(step: Step) -> StepCost:
        return StepCost(3.0 if step.chunks else 2.0, 1.0, 1.0)

    # Launched 0 to 3 (the prompt), 3 to 5, 5 to 7: each step is computed while it is launched, and its token is taken after
    # the launch of the next one. The last has no next one.
    assert token_times(engine(cost_of=slow_to_launch), Request(10, 3), callers=1) == [[5, 7, 7]]


def test_pipeline_stages_hold_a_step_each() -> None:
    def two_stages(step: Step) -> StepCost:
        return StepCost(0.0, 2.0, 1.0)

    model = EngineModel(SchedulerLimits(8, 10, 1000, plans_ahead=False), two_stages, FrontEnd(), steps_in_flight=2)
    # The budget holds one prompt, so that each request is in a step of its own: in at 0 and 1, out at 2 and 3, and again.
    assert token_times(model, Request(10, 2), Request(10, 2), callers=2) == [[2, 4], [3, 5]]


def test_nothing_is_sent_after_the_duration() -> None:
    replies = serve(engine(), [Request(10, 2)] * 9, callers=1, duration_s=3.0)
    assert [reply.sent_s for reply in replies] == [0, 2]


@pytest.mark.parametrize(
    ("limits", "callers"),
    [
        (LIMITS, 8),
        (SchedulerLimits(3, 100, 1000), 8),
        (SchedulerLimits(8, 100, 14), 6),  # preempts
        (SchedulerLimits(8, 5, 1000), 8),
    ],
)
def test_many_steps_at_once_are_as_one_by_one(limits: SchedulerLimits, callers: int) -> None:
    model = engine(limits, by_tokens, request_s=0.01, token_s=0.001, reply_s=0.002, caller_s=0.03)
    requests = [Request(10 + 3 * (at % 5), 5 + 7 * (at % 11)) for at in range(40)]
    quick = serve(model, requests, callers=callers)
    slow = serve(model, requests, callers=callers, step_by_step=True)
    assert [reply.preemptions for reply in quick] == [reply.preemptions for reply in slow]
    for one, other in zip(quick, slow, strict=True):
        np.testing.assert_allclose(one.token_s, other.token_s, rtol=1e-9)


def test_many_steps_at_once_stop_for_an_arrival() -> None:
    model = engine(cost_of=by_tokens)
    requests = [Request(10, 60, due_s=0.0), *(Request(10, 3, due_s=0.7 * at) for at in range(1, 9))]
    for one, other in zip(serve(model, requests), serve(model, requests, step_by_step=True), strict=True):
        np.testing.assert_allclose(one.token_s, other.token_s, rtol=1e-9)
