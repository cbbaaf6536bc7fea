"""An engine driven by a clock: the same times as in virtual time, whenever it is asked, and clients that leave."""

import pytest

from loadgen.moe.step import Step
from loadgen.servers.prediction.engine_clock import EngineClock
from loadgen.servers.prediction.engine_steps import EngineModel, FrontEnd, StepCost
from loadgen.servers.prediction.scheduler import SchedulerLimits, Sequence
from loadgen.servers.prediction.virtual_time import Request, serve


def by_tokens(step: Step) -> StepCost:
    compute_s = 0.05 + 0.01 * step.tokens + 1e-4 * step.decode_context_tokens
    return StepCost(0.03, compute_s, compute_s)


def engine(kv_blocks: int = 1000) -> EngineModel:
    front_end = FrontEnd(request_s=0.01, prompt_token_s=1e-4, reply_s=0.002, token_s=0.001)
    return EngineModel(SchedulerLimits(8, 100, kv_blocks), by_tokens, front_end)


def second_a_step() -> EngineClock:
    return EngineClock(EngineModel(SchedulerLimits(8, 100, 10), lambda step: StepCost(0.0, 1.0, 1.0)))


def driven(model: EngineModel, requests: list[Request], tick_s: float | None) -> list[list[float]]:
    """The token times of requests that are added when they are due; advanced when the clock asks for it, else every tick."""
    clock, tokens, now_s = EngineClock(model), list[list[float]](), 0.0
    while len(tokens) < len(requests) or clock.next_s is not None:
        due_s = [each.due_s for each in requests[len(tokens) :][:1] if each.due_s is not None]
        asked_s = [] if clock.next_s is None else [clock.next_s]
        now_s = min(due_s + asked_s) if tick_s is None else now_s + tick_s
        for request in requests[len(tokens) :]:
            if (request.due_s or 0.0) <= now_s:
                clock.arrive(request.due_s or 0.0, request.prompt_tokens, request.output_tokens)
                tokens.append([])
        for sequence, at_s in clock.advance(now_s):
            tokens[sequence.number].append(at_s)
    return tokens


REQUESTS = [Request(5 + 7 * at, 3 + at, due_s=0.21 * at) for at in range(20)]


@pytest.mark.parametrize("kv_blocks", [1000, 24], ids=["room for all", "preempting"])
def test_the_times_are_those_of_virtual_time(kv_blocks: int) -> None:
    model = engine(kv_blocks)
    replies = serve(model, REQUESTS, step_by_step=True)
    assert any(reply.preemptions for reply in replies) == (kv_blocks == 24)
    assert driven(model, REQUESTS, None) == [reply.token_s.tolist() for reply in replies]


def test_a_clock_that_is_read_late_makes_the_same_times() -> None:
    replies = serve(engine(), REQUESTS, step_by_step=True)
    found = driven(engine(), REQUESTS, tick_s=1e-3)
    for reply, times_s in zip(replies, found, strict=True):
        assert times_s == pytest.approx(reply.token_s.tolist(), abs=0.25)  # one that came during a tick may miss a step
        assert len(times_s) == len(reply.token_s)


def test_nothing_is_planned_before_its_time() -> None:
    clock = second_a_step()
    first = clock.arrive(0.0, 10, 5)
    assert [at_s for _, at_s in clock.advance(0.0)] == [1.0]  # known in advance; the step after it is launched
    assert clock.next_s == 1.0
    second = clock.arrive(0.5, 10, 1)
    made = list(clock.advance(1.0))
    assert [(each.number, at_s) for each, at_s in made] == [(first.number, 2.0)]
    assert [(second.number, 3.0)] == [(each.number, at_s) for each, at_s in clock.advance(2.0) if each is second]


def test_a_client_that_leaves_frees_its_place() -> None:
    clock = second_a_step()
    leaves = clock.arrive(0.0, 100, 40)  # 9 of 10 blocks, and its prompt takes a whole step
    stays = clock.arrive(0.0, 100, 1)
    made: list[tuple[Sequence, float]] = [*clock.advance(0.0)]
    assert clock.waiting == 1
    clock.cancel(leaves)
    while clock.next_s is not None:
        made += clock.advance(clock.next_s)
    assert [at_s for each, at_s in made if each is stays] == [3.0]
    assert [at_s for each, at_s in made if each is leaves] == [1.0]
    assert clock.kv_cache_usage_ratio == 0
    assert clock.waiting == 0


def test_a_request_that_cannot_fit_is_refused() -> None:
    clock = second_a_step()
    with pytest.raises(ValueError, match="KV cache"):
        clock.arrive(0.0, 200, 1)
    assert clock.waiting == 0
