"""Bytes on the fullest GPU: by precision, and by how the model is spread."""

import pytest

from loadgen.errors import ModelError
from loadgen.moe.memory import kv_cache_bytes_per_token, weight_bytes
from loadgen.moe.models import model, model_names
from loadgen.moe.parameters import parameters, parameters_by_stage
from loadgen.moe.placement import Parallelism, layers_per_stage

MIXTRAL = model("mixtral-8x7b").architecture
QWEN3 = model("qwen3-30b-a3b").architecture
DEEPSEEK = model("deepseek-v2-lite").architecture


@pytest.mark.parametrize("name", model_names())
def test_bf16_is_two_bytes_a_parameter(name: str) -> None:
    architecture = model(name).architecture
    assert weight_bytes(architecture) == 2 * parameters(architecture).total


def test_mixtral_fits_where_the_study_says() -> None:
    """93 GB in bf16, as PAPER's calculation has it; a bit more than half of that in fp8, since embedding and head stay."""
    assert weight_bytes(MIXTRAL) / 1e9 == pytest.approx(93.4, abs=0.05)
    kept = parameters(MIXTRAL)
    unquantised = kept.embedding + kept.head + kept.router + kept.norms
    assert weight_bytes(MIXTRAL, "fp8") == kept.total + unquantised
    assert weight_bytes(MIXTRAL, "int4") == pytest.approx((kept.total - unquantised) * 4.15625 / 8 + 2 * unquantised)


def test_tensor_parallelism_cuts_experts_and_expert_parallelism_spreads_them() -> None:
    """Over a group that divides both ways each GPU holds the same number of elements of them."""
    cut, spread = (parameters_by_stage(QWEN3, Parallelism(tensor=4, experts=ep))[0] for ep in (False, True))
    assert cut == spread
    assert cut.routed_experts == parameters(QWEN3).routed_experts // 4


def test_experts_that_do_not_come_out_even_leave_one_gpu_with_more() -> None:
    qwen = model("qwen1.5-moe-a2.7b").architecture
    (stage,) = parameters_by_stage(qwen, Parallelism(tensor=8, experts=True))
    assert stage.routed_experts == parameters(qwen).routed_experts // 60 * 8


def test_data_parallel_copies_share_the_routed_experts_alone() -> None:
    (stage,) = parameters_by_stage(QWEN3, Parallelism(data=4, experts=True))
    whole = parameters(QWEN3)
    assert stage.routed_experts == whole.routed_experts // 4
    assert stage.total - stage.routed_experts == whole.total - whole.routed_experts


def test_expert_parallelism_over_pipeline_stages_alone_changes_nothing() -> None:
    plain, asked = (weight_bytes(MIXTRAL, "bf16", Parallelism(pipeline=4, experts=ep)) for ep in (False, True))
    assert plain == asked


def test_the_fullest_pipeline_stage_counts() -> None:
    over = Parallelism(pipeline=2)
    first, last = parameters_by_stage(DEEPSEEK, over)
    assert layers_per_stage(27, 2) == (14, 13)
    assert weight_bytes(DEEPSEEK, "bf16", over) == 2 * max(first.total, last.total)


@pytest.mark.parametrize(
    ("layers", "stages", "shares"),
    [
        (32, 4, (8, 8, 8, 8)),
        (27, 4, (7, 7, 7, 6)),
        (27, 2, (14, 13)),
        (30, 4, (7, 8, 8, 7)),
        (48, 1, (48,)),
        (5, 3, (2, 2, 1)),
    ],
)
def test_layers_are_spread_as_vllm_does(layers: int, stages: int, shares: tuple[int, ...]) -> None:
    """Each case was asked of vLLM 0.32's get_pp_indices."""
    assert layers_per_stage(layers, stages) == shares


def test_grouped_queries_cache_their_key_value_heads() -> None:
    assert kv_cache_bytes_per_token(MIXTRAL) == 2 * 8 * 128 * 32 * 2
    assert kv_cache_bytes_per_token(MIXTRAL, "fp8") == 2 * 8 * 128 * 32


@pytest.mark.parametrize(("tensor", "kv_heads"), [(1, 4), (2, 2), (4, 1), (8, 1)])
def test_key_value_heads_are_repeated_once_each_gpu_has_one(tensor: int, kv_heads: int) -> None:
    assert kv_cache_bytes_per_token(QWEN3, "bf16", Parallelism(tensor)) == 2 * kv_heads * 128 * 48 * 2


@pytest.mark.parametrize("tensor", [1, 2, 4, 8])
def test_the_latent_is_not_split(tensor: int) -> None:
    assert kv_cache_bytes_per_token(DEEPSEEK, "bf16", Parallelism(tensor)) == (512 + 64) * 27 * 2


def test_the_weights_of_repeated_heads_are_repeated_too() -> None:
    (of_4,), (of_8,) = (parameters_by_stage(QWEN3, Parallelism(tensor)) for tensor in (4, 8))
    queries_and_output, keys_and_values = 2 * 2048 * 32 * 128 * 48, 2 * 2048 * 128 * 48
    assert of_4.attention == queries_and_output // 4 + keys_and_values
    assert of_8.attention == queries_and_output // 8 + keys_and_values


def test_heads_that_cannot_be_split_are_named() -> None:
    with pytest.raises(ModelError, match="10 attention heads cannot be split evenly over 4"):
        weight_bytes(model("deepseek-vl2-tiny").architecture, "bf16", Parallelism(4))
    with pytest.raises(ModelError, match="cannot be repeated evenly"):
        kv_cache_bytes_per_token(QWEN3, "bf16", Parallelism(6))
    with pytest.raises(ModelError, match="32 layers cannot be spread over 33"):
        weight_bytes(MIXTRAL, "bf16", Parallelism(pipeline=33))
    with pytest.raises(ModelError, match="tensor-parallel size is 0"):
        Parallelism(0)
