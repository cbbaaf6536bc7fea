"""Parameters: those of checkpoints, element for element, and where each kind of layer's go."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import ModelError
from loadgen.moe.families import architecture
from loadgen.moe.models import model, model_names
from loadgen.moe.parameters import (
    Parameters,
    active_parameters,
    distinct_experts_drawn,
    expected_distinct_experts,
    parameters,
    parameters_by_stage,
)
from loadgen.moe.placement import Parallelism

# Counted once by hand: each configuration was built on torch's meta device by transformers 5.19 (torch 2.13), and the
# elements of all `parameters()` summed. Two needed help. transformers has no DeepSeek-VL2: its language model was built as
# DeepseekV2ForCausalLM (small, base: there the 29 · 72 correction biases of the router were added, which that class lacks),
# and tiny, which has ordinary attention, as DeepseekOcr2TextModel plus a head of 129,280 · 1,280.
TOTALS = {
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-vl2": 27_033_546_240 + 29 * 72,
    "deepseek-vl2-small": 15_706_484_224,
    "deepseek-vl2-tiny": 2_769_255_680 + 129_280 * 1_280,
    "llama-4-scout": 107_769_861_120,
    "mixtral-8x7b": 46_702_792_704,
    "olmoe-1b-7b": 6_919_161_856,
    "phi-3.5-moe": 41_873_153_344,
    "qwen1.5-moe-a2.7b": 14_315_784_192,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
}
# The makers' own rounding. DeepSeek counts without the input embedding: 2.4 in the card of V2-Lite; 0.57, 2.4 and 4.1 for
# the language models of VL2 in its paper (arXiv 2412.10302). The others count with it.
ACTIVE = {
    "llama-4-scout": "17",
    "mixtral-8x7b": "12.9",
    "olmoe-1b-7b": "1.3",
    "phi-3.5-moe": "6.6",
    "qwen1.5-moe-a2.7b": "2.7",
    "qwen3-30b-a3b": "3.3",
}
ACTIVE_WITHOUT_EMBEDDING = {
    "deepseek-v2-lite": "2.4",
    "deepseek-vl2": "4.1",
    "deepseek-vl2-small": "2.4",
    "deepseek-vl2-tiny": "0.57",
}


def unit(figure: str) -> float:
    """One of the last digit given, in parameters: makers round or cut off, both stay within it."""
    return 1e9 * 10.0 ** -len(figure.partition(".")[2])


@pytest.mark.parametrize("name", model_names())
def test_the_total_is_the_checkpoints(name: str) -> None:
    assert parameters(model(name).architecture).total == TOTALS[name]


@pytest.mark.parametrize(("name", "figure"), ACTIVE.items())
def test_the_active_parameters_are_what_the_makers_say(name: str, figure: str) -> None:
    assert active_parameters(model(name).architecture).total == pytest.approx(float(figure) * 1e9, abs=unit(figure))


@pytest.mark.parametrize(("name", "figure"), ACTIVE_WITHOUT_EMBEDDING.items())
def test_deepseek_counts_without_the_input_embedding(name: str, figure: str) -> None:
    counted = active_parameters(model(name).architecture).without_embedding
    assert counted == pytest.approx(float(figure) * 1e9, abs=unit(figure))


# What no model of the study has, and others of its families do; small, and counted the same way.
SMALL = {"vocab_size": 512, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
QWEN = {"intermediate_size": 96, "moe_intermediate_size": 32, "num_experts": 8, "num_experts_per_tok": 2}
ODD: dict[str, tuple[dict[str, object], int]] = {
    "every second layer sparse, one of them not, a tied head": (
        {
            "model_type": "qwen2_moe",
            "num_hidden_layers": 6,
            "shared_expert_intermediate_size": 80,
            "decoder_sparse_step": 2,
            "mlp_only_layers": [3],
            "tie_word_embeddings": True,
        }
        | QWEN,
        312_000,
    ),
    "qwen2_moe without bias": (
        {"model_type": "qwen2_moe", "num_hidden_layers": 2, "shared_expert_intermediate_size": 80, "qkv_bias": False}
        | QWEN,
        220_608,
    ),
    "qwen3_moe with bias and a dense layer": (
        {
            "model_type": "qwen3_moe",
            "num_hidden_layers": 3,
            "head_dim": 32,
            "mlp_only_layers": [0],
            "attention_bias": True,
        }
        | QWEN,
        258_624,
    ),
    "compressed queries": (
        {
            "model_type": "deepseek_v2",
            "num_hidden_layers": 4,
            "num_key_value_heads": 4,
            "q_lora_rank": 24,
            "kv_lora_rank": 16,
            "qk_nope_head_dim": 8,
            "qk_rope_head_dim": 4,
            "v_head_dim": 12,
            "intermediate_size": 96,
            "moe_intermediate_size": 32,
            "n_routed_experts": 8,
            "n_shared_experts": 2,
            "num_experts_per_tok": 2,
            "first_k_dense_replace": 2,
            "attention_bias": True,
        },
        260_752,
    ),
    "interleaved experts": (
        {
            "model_type": "llama4_text",
            "num_hidden_layers": 6,
            "head_dim": 16,
            "intermediate_size": 32,
            "intermediate_size_mlp": 96,
            "num_local_experts": 8,
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 2,
            "attention_bias": True,
        },
        363_968,
    ),
    "phimoe without bias": (
        {
            "model_type": "phimoe",
            "num_hidden_layers": 2,
            "intermediate_size": 96,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
        },
        238_720,
    ),
    "olmoe with grouped queries": (
        {
            "model_type": "olmoe",
            "num_hidden_layers": 2,
            "intermediate_size": 96,
            "num_experts": 8,
            "num_experts_per_tok": 2,
        },
        386_560,
    ),
    "dense with bias": (
        {
            "model_type": "qwen3",
            "num_hidden_layers": 2,
            "head_dim": 32,
            "intermediate_size": 96,
            "attention_bias": True,
        },
        152_640,
    ),
}


@pytest.mark.parametrize(("config", "total"), ODD.values(), ids=ODD)
def test_the_rules_of_the_families_hold_for_other_models_too(config: dict[str, object], total: int) -> None:
    assert parameters(architecture(SMALL | config)).total == total


def test_each_kind_of_layer_has_its_share() -> None:
    """Qwen1.5-MoE has nearly all of them. The figures are the sums of the tensors by name, counted as the totals."""
    assert parameters(model("qwen1.5-moe-a2.7b").architecture) == Parameters(
        embedding=311_164_928,
        attention=4 * 100_663_296,
        routed_experts=8_304_721_920 + 4_152_360_960,
        shared_experts=3 * 276_824_064,
        dense_ffn=0,
        router=2_949_120 + 49_152,
        norms=2 * 49_152 + 2_048 + 3 * 49_152,
        head=311_164_928,
    )
    assert parameters(model("deepseek-v2-lite").architecture).dense_ffn == 3 * 22_413_312


def test_a_token_passes_its_share_of_the_routed_experts_and_all_else() -> None:
    mixtral = model("mixtral-8x7b").architecture
    every, active = parameters(mixtral), active_parameters(mixtral)
    assert active == replace(every, routed_experts=every.routed_experts // 4)


def test_a_dense_model_is_all_active() -> None:
    dense = model("qwen3-8b").architecture
    assert active_parameters(dense) == parameters(dense)


def test_a_tied_embedding_takes_part_in_arithmetic() -> None:
    tied, untied = (parameters(model(name).architecture) for name in ("qwen3-4b", "qwen3-8b"))
    assert tied.without_embedding == tied.total
    assert untied.without_embedding == untied.total - untied.embedding


@pytest.mark.parametrize("name", model_names())
@pytest.mark.parametrize("stages", [2, 4])
def test_pipeline_stages_hold_the_model_between_them(name: str, stages: int) -> None:
    whole = model(name).architecture
    held = sum(stage.total for stage in parameters_by_stage(whole, Parallelism(pipeline=stages)))
    repeated = parameters(whole).embedding if whole.tied_embeddings else 0
    assert held == parameters(whole).total + repeated


@pytest.mark.parametrize("name", model_names())
def test_two_tensor_parallel_gpus_hold_the_model_and_a_second_copy_of_what_is_not_split(name: str) -> None:
    whole, (half,) = parameters(model(name).architecture), parameters_by_stage(model(name).architecture, Parallelism(2))
    assert half.routed_experts * 2 == whole.routed_experts
    assert half.shared_experts * 2 == whole.shared_experts
    assert half.embedding * 2 == whole.embedding
    assert (half.router, half.norms) == (whole.router, whole.norms)


def test_every_routing_of_a_small_case_counted() -> None:
    """4 experts, 2 a token, 3 tokens: the mean over all 6³ equally likely routings."""
    choices = list(combinations(range(4), 2))
    distinct = [len(set().union(*routing)) for routing in product(choices, repeat=3)]
    assert expected_distinct_experts(4, 2, 3) == pytest.approx(sum(distinct) / len(distinct))


def test_drawn_routings_of_a_real_case() -> None:
    """OLMoE, 16 sequences: 2,000 drawn steps, within four standard errors."""
    rng = np.random.default_rng(7)
    drawn = rng.permuted(np.tile(np.arange(64), (2_000 * 16, 1)), axis=1)[:, :8].reshape(2_000, -1)
    distinct = np.array([len(set(step)) for step in drawn.tolist()])
    error = distinct.std(ddof=1) / np.sqrt(len(distinct))
    assert expected_distinct_experts(64, 8, 16) == pytest.approx(distinct.mean(), abs=4 * error)


def test_experts_that_may_repeat_are_fewer() -> None:
    """What vLLM's counters said of OLMoE with experts drawn at random: 7.58 of 8 for one token, 55.5 for 16."""
    assert distinct_experts_drawn(64, 8, 1) == pytest.approx(7.58, abs=0.01)
    assert distinct_experts_drawn(64, 8, 16) == pytest.approx(55.5, abs=0.1)
    assert distinct_experts_drawn(64, 8, 0) == 0
    routings = [
        len({*first, *second}) for first in product(range(4), repeat=2) for second in product(range(4), repeat=2)
    ]
    assert distinct_experts_drawn(4, 2, 2) == pytest.approx(sum(routings) / len(routings))


@given(st.integers(1, 256), st.integers(1, 256), st.integers(0, 4096))
def test_it_lies_between_one_tokens_and_all(experts: int, top_k: int, tokens: int) -> None:
    top_k = min(top_k, experts)
    expected = expected_distinct_experts(experts, top_k, tokens)
    assert expected <= min(experts, tokens * top_k) + 1e-6
    assert expected >= (top_k if tokens else 0) - 1e-6


def test_one_token_reads_its_own() -> None:
    assert expected_distinct_experts(128, 8, 1) == pytest.approx(8)


@pytest.mark.parametrize(("experts", "top_k", "tokens"), [(8, 9, 1), (8, 0, 1), (8, 2, -1)])
def test_what_cannot_be_is_refused(experts: int, top_k: int, tokens: int) -> None:
    with pytest.raises(ModelError):
        expected_distinct_experts(experts, top_k, tokens)
