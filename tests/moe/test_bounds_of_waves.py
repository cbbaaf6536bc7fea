"""Bounds of a load point: against sums of single steps, and in the directions that must hold."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadgen.moe import bounds
from loadgen.moe.hardware import hardware
from loadgen.moe.models import model
from loadgen.moe.placement import Parallelism
from loadgen.moe.roofline import Roofline
from loadgen.moe.step import PrefillChunk, Step

ROOFLINE = Roofline(model("mixtral-8x7b").architecture, hardware("h100"))


def test_prompts_fill_their_steps_in_order() -> None:
    assert list(bounds.prefill_steps(3, 500, max_num_batched_tokens=800)) == [
        Step(chunks=(PrefillChunk(500), PrefillChunk(300, last=False))),
        Step(chunks=(PrefillChunk(200, start=300), PrefillChunk(500))),
    ]
    assert list(bounds.prefill_steps(1, 100, 40)) == [
        Step(chunks=(PrefillChunk(40, last=False),)),
        Step(chunks=(PrefillChunk(40, start=40, last=False),)),
        Step(chunks=(PrefillChunk(20, start=80),)),
    ]
    assert list(bounds.prefill_steps(2, 100)) == [Step(chunks=(PrefillChunk(100), PrefillChunk(100)))]


def test_one_request_is_its_prompt_and_its_decode_steps() -> None:
    bound = bounds.wave_bound(ROOFLINE, 1, 128, 5)
    prefill_s = ROOFLINE.step_time(Step(chunks=(PrefillChunk(128),))).total_s
    decode_s = [ROOFLINE.step_time(Step(1, 128 + token)).total_s for token in (1, 2, 3, 4)]
    assert bound.ttft_s == bound.mean_ttft_s == prefill_s
    assert bound.e2e_s == pytest.approx(prefill_s + sum(decode_s))
    assert bound.output_tokens_per_s == pytest.approx(5 / bound.e2e_s)
    assert bound.throughput_tokens_per_s == pytest.approx(133 / bound.e2e_s)


def test_a_wave_of_one_output_token_ends_with_its_prompts() -> None:
    bound = bounds.wave_bound(ROOFLINE, 16, 1024, 1, max_num_batched_tokens=8192)
    steps_s = [ROOFLINE.step_time(step).total_s for step in bounds.prefill_steps(16, 1024, 8192)]
    assert bound.ttft_s == bound.e2e_s == pytest.approx(sum(steps_s))
    assert bound.mean_ttft_s == pytest.approx(0.75 * bound.ttft_s, rel=0.01)  # half of them after each of two steps


def test_first_prompts_decode_while_the_last_are_computed() -> None:
    # 2 steps of prompts: the whole batch decodes together in 3 of the 4 steps left, the last one has its second half only.
    bound = bounds.wave_bound(ROOFLINE, 16, 1024, 5, max_num_batched_tokens=8192)
    together = 3 * bounds.decode_step_bound_s(ROOFLINE, 16, 1024 + 2)
    apart = bounds.decode_step_bound_s(ROOFLINE, 8, 1024 + 3 + 1)
    assert bound.e2e_s == pytest.approx(bound.ttft_s + together + apart)


def test_requests_beyond_max_num_seqs_wait_for_the_round_before() -> None:
    once = bounds.wave_bound(ROOFLINE, 8, 128, 32)
    twice = bounds.wave_bound(ROOFLINE, 16, 128, 32, max_num_seqs=8)
    assert twice.e2e_s == pytest.approx(2 * once.e2e_s)
    assert twice.ttft_s == pytest.approx(once.e2e_s + once.ttft_s)
    assert twice.mean_ttft_s == pytest.approx((once.ttft_s + twice.ttft_s) / 2)
    assert twice.output_tokens_per_s == pytest.approx(once.output_tokens_per_s)


def test_copies_share_the_batch() -> None:
    alone = bounds.wave_bound(ROOFLINE, 8, 128, 32)
    copies = bounds.wave_bound(replace(ROOFLINE, parallelism=Parallelism(data=2)), 16, 128, 32)
    assert copies.ttft_s < alone.ttft_s * 1.1  # each has 8, and half of every expert
    assert copies.output_tokens_per_s > alone.output_tokens_per_s


def test_pipeline_stages_have_a_share_of_the_sequences_in_turn() -> None:
    staged = replace(ROOFLINE, parallelism=Parallelism(pipeline=2))
    quarter = staged.step_time(Step(32, 32 * 512))
    assert bounds.decode_step_bound_s(staged, 64, 512) == max(quarter.total_s, 2 * quarter.interval_s)
    assert bounds.decode_step_bound_s(staged, 1, 512) == staged.step_time(Step(1, 512)).total_s


def test_prompts_in_several_steps_keep_all_stages_at_work() -> None:
    staged = replace(ROOFLINE, parallelism=Parallelism(pipeline=4))
    once, best = bounds.wave_bound(staged, 64, 1024, 128), bounds.best_wave_bound(staged, 64, 1024, 128)
    assert best.ttft_s < once.ttft_s / 2
    assert best.e2e_s < once.e2e_s
    # Without stages one step is the quickest to the last first token.
    assert bounds.best_wave_bound(ROOFLINE, 64, 1024, 128).ttft_s == bounds.wave_bound(ROOFLINE, 64, 1024, 128).ttft_s


def test_one_caller_has_nobody_to_share_steps_with() -> None:
    assert bounds.closed_loop_cycle_bound_s(ROOFLINE, 1, 1024, 64) == pytest.approx(
        bounds.wave_bound(ROOFLINE, 1, 1024, 64).e2e_s
    )


def test_a_closed_loop_computes_prompts_while_others_decode() -> None:
    prompts = ROOFLINE.step_time(Step(chunks=(PrefillChunk(1024),) * 64))
    token = ROOFLINE.step_time(Step(64, 64 * (1024 + 32)))
    cycle_s = bounds.closed_loop_cycle_bound_s(ROOFLINE, 64, 1024, 64)
    assert cycle_s < prompts.total_s + 63 * token.total_s
    by_kind = {part.kind: part for part in token.parts}
    longest = [
        max(part.memory_s + 63 * by_kind[part.kind].memory_s, part.compute_s + 63 * by_kind[part.kind].compute_s)
        for part in prompts.parts
    ]
    assert cycle_s == pytest.approx(sum(longest))


def test_copies_and_stages_share_the_callers() -> None:
    alone = bounds.closed_loop_cycle_bound_s(ROOFLINE, 64, 1024, 64)
    for parallelism in (Parallelism(data=2), Parallelism(pipeline=2)):
        shared = bounds.closed_loop_cycle_bound_s(replace(ROOFLINE, parallelism=parallelism), 64, 1024, 64)
        assert 0.5 * alone <= shared < alone


@settings(max_examples=30)
@example(batch=61, input_tokens=63, output_tokens=15, limit=512)
@given(
    batch=st.integers(1, 64),
    input_tokens=st.integers(1, 2048),
    output_tokens=st.integers(1, 512),
    limit=st.sampled_from([None, 512, 8192]),
)
def test_more_work_never_ends_sooner(batch: int, input_tokens: int, output_tokens: int, limit: int | None) -> None:
    def e2e_s(batch: int, input_tokens: int, output_tokens: int) -> float:
        return bounds.wave_bound(ROOFLINE, batch, input_tokens, output_tokens, max_num_batched_tokens=limit).e2e_s

    shortest = e2e_s(batch, input_tokens, output_tokens) * (1 - 1e-9)
    assert e2e_s(batch, input_tokens, output_tokens + 1) >= shortest
    if limit is None or 2 * batch * input_tokens <= limit * output_tokens:  # else the first end before the last begin
        assert e2e_s(2 * batch, input_tokens, output_tokens) >= shortest
    bound = bounds.wave_bound(ROOFLINE, batch, input_tokens, output_tokens, max_num_batched_tokens=limit)
    assert bound.mean_ttft_s <= bound.ttft_s * (1 + 1e-9) <= bound.e2e_s * (1 + 2e-9)
