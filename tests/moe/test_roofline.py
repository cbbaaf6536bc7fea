"""The time of a step: values by hand, what bounds it, and directions that hold for every model."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.moe.hardware import hardware
from loadgen.moe.models import model
from loadgen.moe.placement import Parallelism
from loadgen.moe.roofline import Efficiency, Roofline, StepTime
from loadgen.moe.step import PrefillChunk, Step
from loadgen.moe.step_work import Precisions

H100 = hardware("h100")
MIXTRAL = Roofline(model("mixtral-8x7b").architecture, H100)
PROMPT = Step(chunks=(PrefillChunk(2048),))
ROOFLINES = {
    name: Roofline(model(name).architecture, H100)
    for name in ("mixtral-8x7b", "deepseek-v2-lite", "qwen1.5-moe-a2.7b", "olmoe-1b-7b", "qwen3-8b")
}
NAMES = st.sampled_from(sorted(ROOFLINES))


def times(time: StepTime) -> dict[str, float]:
    return {part.kind: part.time_s for part in time.parts}


def test_a_large_batch_of_mixtral_waits_for_its_weights() -> None:
    time = MIXTRAL.step_time(Step(64, 64))
    # 93.4 GB less 0.3 GB of embedding, over 3.35 TB/s.
    assert time.total_s == pytest.approx(27.8e-3, rel=0.005)
    assert time.bound == "memory"
    # 90.2 GB of routed experts, and activations of 64 tokens.
    assert times(time)["routed_experts"] == pytest.approx(32 * 8 * 3 * 4096 * 14336 * 2 / 3.35e12, rel=0.005)


def test_one_token_of_mixtral_reads_12_7_billion_parameters() -> None:
    assert MIXTRAL.step_time(Step(1, 1)).total_s == pytest.approx(12.75e9 * 2 / 3.35e12, rel=0.005)


def test_a_long_prompt_is_bound_by_compute() -> None:
    time = MIXTRAL.step_time(Step(chunks=(PrefillChunk(8192),)))
    # 2 · 12.7 billion parameters · 8,192 tokens, the head for one only, and half a square of attention.
    products = 2 * 32 * (2 * 4096 * 40 * 128 + 2 * 3 * 4096 * 14336) * 8192
    pairs = 2 * 2 * 32 * 128 * 32 * 8192 * 8193 / 2
    assert time.bound == "compute"
    assert time.total_s == pytest.approx((products + pairs) / 989.4e12, rel=0.01)


def test_each_kind_takes_the_longer_of_its_two_times() -> None:
    time = MIXTRAL.step_time(PROMPT)
    assert all(part.time_s == max(part.memory_s, part.compute_s) for part in time.parts)
    assert time.total_s == pytest.approx(sum(part.time_s for part in time.parts))
    assert time.interval_s == pytest.approx(time.total_s)


def test_nothing_takes_no_time() -> None:
    assert Roofline(MIXTRAL.architecture, H100, efficiency=Efficiency(step_overhead_s=1)).step_time(Step()).total_s == 0


def test_fp8_computes_twice_as_fast_where_the_hardware_can() -> None:
    fp8 = Precisions(weights="fp8")
    for name, gain in (("h100", 2.0), ("a100", 1.0)):
        of_bf16, of_fp8 = (
            {
                part.kind: part.compute_s
                for part in Roofline(MIXTRAL.architecture, hardware(name), precisions=precisions)
                .step_time(PROMPT)
                .parts
            }
            for precisions in (Precisions(), fp8)
        )
        assert of_bf16["routed_experts"] / of_fp8["routed_experts"] == pytest.approx(gain, rel=1e-3)
        assert of_bf16["attention"] == of_fp8["attention"]
        assert of_bf16["head"] == of_fp8["head"]


def test_efficiency_divides_rates_and_adds_overheads() -> None:
    reached = Efficiency(0.8, 0.5, step_overhead_s=1e-3, layer_overhead_s=1e-5, sequence_overhead_s=1e-4)
    ideal, real = MIXTRAL.step_time(PROMPT), replace(MIXTRAL, efficiency=reached).step_time(PROMPT)
    assert real.memory_s == pytest.approx(ideal.memory_s / 0.8)
    assert real.compute_s == pytest.approx(ideal.compute_s / 0.5)
    assert real.overhead_s == pytest.approx(1e-3 + 32 * 1e-5 + 1e-4)  # one prompt, so one sequence gets a token


def test_launching_counts_where_it_takes_longer_than_computing() -> None:
    reached = Efficiency(graph_tokens=256, piece_launch_s=1e-3, kernel_launch_s=2e-3 / 14)  # Mixtral's layer has 14
    roofline = replace(MIXTRAL, efficiency=reached)
    small, large, huge = (Step(chunks=(PrefillChunk(tokens),)) for tokens in (256, 257, 8192))
    decode = Step(256, 256 * 128)
    assert roofline.step_time(decode) == MIXTRAL.step_time(decode)
    assert roofline.step_time(small).total_s == pytest.approx(32 * 1e-3)
    assert roofline.step_time(large).total_s == pytest.approx(32 * 2e-3)
    assert roofline.step_time(large).overhead_s == pytest.approx(32 * 2e-3 - MIXTRAL.step_time(large).total_s)
    assert roofline.step_time(huge) == MIXTRAL.step_time(huge)


def test_tensor_parallelism_sums_twice_a_layer() -> None:
    time = replace(MIXTRAL, parallelism=Parallelism(tensor=4)).step_time(Step(64, 64))
    # Rings of 4: 1.5 times 64 tokens of 4,096 in bf16, over 450 GB/s; 64 of them, one of the embedding, and the logits.
    sums = 65 * (1.5 * 64 * 4096 * 2 / 450e9 + 5e-6)
    assert time.communication_s == pytest.approx(sums + 0.75 * 64 * 32_000 * 2 / 450e9 + 5e-6)


def test_expert_parallelism_within_the_tensor_group_sends_no_more() -> None:
    cut, whole = (
        replace(MIXTRAL, parallelism=Parallelism(tensor=4, experts=experts)).step_time(Step(64, 64))
        for experts in (False, True)
    )
    assert cut.communication_s == whole.communication_s


def test_copies_send_tokens_to_each_others_experts() -> None:
    step = Step(64, 64)
    spread = replace(MIXTRAL, parallelism=Parallelism(data=4, experts=True)).step_time(step).communication_s
    gathered = replace(MIXTRAL, parallelism=Parallelism(data=4)).step_time(step).communication_s
    shared = replace(MIXTRAL, parallelism=Parallelism(tensor=2, data=2, experts=True)).step_time(step).communication_s
    token_bytes = 64 * 4096 * 2 / 450e9
    # Top-2 over 4 GPUs reaches 4 · (1 − 0.75²) = 1.75 of them, of which a quarter is the GPU itself.
    assert spread == pytest.approx(2 * 32 * (1.75 * 0.75 * token_bytes + 5e-6))
    assert gathered == pytest.approx(2 * 32 * (3 * token_bytes + 5e-6))
    # Each of two tensor-parallel GPUs sends half of the tokens; their sums come on top.
    sums = 65 * (token_bytes + 5e-6) + 0.5 * 64 * 32_000 * 2 / 450e9 + 5e-6
    assert shared == pytest.approx(2 * 32 * (1.75 * 0.75 * token_bytes / 2 + 5e-6) + sums)


def test_pipeline_stages_take_turns() -> None:
    time = replace(MIXTRAL, parallelism=Parallelism(pipeline=4)).step_time(Step(64, 64))
    alone = MIXTRAL.step_time(Step(64, 64))
    hand_overs = 3 * (2 * 64 * 4096 * 2 / 450e9 + 5e-6)
    assert time.total_s == pytest.approx(alone.total_s + hand_overs)
    assert time.total_s / 4 < time.interval_s < time.total_s / 3


@given(name=NAMES, batch=st.integers(1, 256), context=st.integers(1, 4096))
def test_a_larger_batch_and_a_longer_context_are_never_faster(name: str, batch: int, context: int) -> None:
    roofline = ROOFLINES[name]
    total_s = roofline.step_time(Step(batch, batch * context)).total_s
    assert roofline.step_time(Step(batch + 1, (batch + 1) * context)).total_s >= total_s
    assert roofline.step_time(Step(batch, batch * (context + 1))).total_s >= total_s


@given(name=NAMES, batch=st.integers(1, 256))
def test_a_larger_batch_makes_more_tokens_a_second(name: str, batch: int) -> None:
    roofline = ROOFLINES[name]
    one, more = (size / roofline.step_time(Step(size, size * 512)).total_s for size in (batch, batch + 1))
    assert more >= one * (1 - 1e-9)


@settings(max_examples=20)
@given(name=NAMES, batch=st.integers(1, 128), tokens=st.integers(1, 4096))
def test_more_gpus_leave_each_less_to_read(name: str, batch: int, tokens: int) -> None:
    step = Step(batch, batch * 512, (PrefillChunk(tokens),))
    memory_s = [
        replace(ROOFLINES[name], parallelism=Parallelism(tensor=tensor)).step_time(step).memory_s
        for tensor in (1, 2, 4)
    ]
    assert memory_s == sorted(memory_s, reverse=True)
