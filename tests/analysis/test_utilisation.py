"""S-MBU and S-MFU: one at the roofline, and worked out by hand."""

import pytest

from loadgen.analysis.utilisation import s_mbu, s_mfu
from loadgen.moe.hardware import hardware
from loadgen.moe.models import model
from loadgen.moe.placement import Parallelism
from loadgen.moe.step_work import Precisions

H200 = hardware("h200")
MIXTRAL = model("mixtral-8x7b").architecture


def test_one_sequence_of_mixtral_uses_two_experts_of_eight() -> None:
    # 12.7 billion active parameters in bf16 and 192 tokens of 131,072 bytes, in 7.87 ms of 4.8 TB/s.
    figure = s_mbu(MIXTRAL, H200, tpot_s=7.87e-3, sequences=1, context_tokens=192)
    assert figure == pytest.approx((2 * 12.749e9 + 193 * 131_072) / 7.87e-3 / 4.8e12, rel=1e-3)
    assert figure == pytest.approx(0.676, abs=0.001)


def test_more_sequences_need_more_experts() -> None:
    one = s_mbu(MIXTRAL, H200, tpot_s=0.02, sequences=1, context_tokens=0)
    many = s_mbu(MIXTRAL, H200, tpot_s=0.02, sequences=1000, context_tokens=0)
    assert one == pytest.approx(0.266, abs=0.001)
    assert many == pytest.approx(93.1e9 / 0.02 / 4.8e12, rel=0.01)


def test_the_runs_own_experts_replace_the_uniform_estimate() -> None:
    figure = s_mbu(
        MIXTRAL,
        H200,
        tpot_s=0.02,
        sequences=1000,
        context_tokens=0,
        distinct_experts=lambda experts, top_k, tokens: 2.0,
    )
    assert figure == pytest.approx(s_mbu(MIXTRAL, H200, tpot_s=0.02, sequences=1, context_tokens=0), rel=0.01)


@pytest.mark.parametrize(
    "parallelism", [Parallelism(tensor=2), Parallelism(data=2, experts=True), Parallelism(pipeline=2)]
)
def test_a_figure_is_of_one_gpu(parallelism: Parallelism) -> None:
    alone = s_mbu(MIXTRAL, H200, tpot_s=0.02, sequences=1000, context_tokens=0)
    shared = s_mbu(MIXTRAL, H200, tpot_s=0.02, sequences=1000, context_tokens=0, parallelism=parallelism)
    # Tensor parallelism halves all; copies repeat attention, 3 % of it; each of two stages reads its half twice, once for each share.
    ratio = {1: 0.5, 2: 1.0}[parallelism.pipeline]
    assert shared / alone == pytest.approx(ratio, rel=0.05)


def test_flops_are_those_of_the_active_parameters() -> None:
    figure = s_mfu(MIXTRAL, H200, requests_per_s=10, input_tokens=1000, output_tokens=1)
    products = 2 * 32 * (2 * 4096 * 40 * 128 + 2 * 3 * 4096 * 14336 + 4096 * 8) * 1000 + 2 * 32_000 * 4096
    pairs = 2 * 2 * 32 * 128 * 32 * 500_500
    assert figure == pytest.approx(10 * (products + pairs) / 989.4e12)


def test_output_tokens_cost_their_context() -> None:
    short = s_mfu(MIXTRAL, H200, requests_per_s=10, input_tokens=1000, output_tokens=1)
    longer = s_mfu(MIXTRAL, H200, requests_per_s=10, input_tokens=1000, output_tokens=101)
    token = 2 * (32 * (2 * 4096 * 40 * 128 + 2 * 3 * 4096 * 14336 + 4096 * 8) + 32_000 * 4096)
    assert longer - short == pytest.approx(10 * 100 * (token + 2 * 2 * 32 * 128 * 32 * 1050.5) / 989.4e12)


def test_fp8_is_measured_against_its_own_peak_and_all_gpus_count() -> None:
    bf16, fp8, four = (
        s_mfu(MIXTRAL, H200, requests_per_s=10, input_tokens=1000, output_tokens=10, **changes)
        for changes in ({}, {"precisions": Precisions(weights="fp8")}, {"gpus": 4})
    )
    assert bf16 / fp8 == pytest.approx(2, rel=1e-3)
    assert bf16 / four == pytest.approx(4)
