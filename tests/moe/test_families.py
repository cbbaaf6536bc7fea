"""From a configuration to an architecture: what is read, and what is said when something is missing."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.errors import ExitCode, ModelError
from loadgen.moe.architecture import Experts, GroupedQueryAttention, LatentAttention
from loadgen.moe.families import architecture
from loadgen.moe.models import model, model_names

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "study.md"
MIXTRAL: dict[str, object] = {
    "model_type": "mixtral",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 32000,
}


def test_latent_attention_and_shared_experts_are_read() -> None:
    read = model("deepseek-v2-lite").architecture
    assert read.attention == LatentAttention(16, None, 512, 128, 64, 128, vectors=512)
    assert read.experts == Experts(tuple(range(1, 27)), 64, 6, 1408, 2, 2816, shared_gate=False, router_bias=False)
    assert (read.dense_layers, read.dense_ffn_size) == (1, 10944)


def test_the_smallest_vl2_has_ordinary_attention() -> None:
    assert model("deepseek-vl2-tiny").architecture.attention == GroupedQueryAttention(10, 10, 128, vectors=0)


def test_what_vl2s_own_class_fills_in_may_be_missing() -> None:
    """Its config.json leaves out what is that class's default."""
    inner = {
        "hidden_size": 2560,
        "intermediate_size": 12288,
        "moe_intermediate_size": 1536,
        "n_routed_experts": 72,
        "n_shared_experts": 2,
        "num_experts_per_tok": 6,
        "first_k_dense_replace": 1,
        "q_lora_rank": None,
        "topk_method": "noaux_tc",
        "vocab_size": 129280,
        "torch_dtype": "bfloat16",
    }
    read = architecture({"model_type": "deepseek_vl_v2", "language_config": inner})
    assert read == replace(model("deepseek-vl2").architecture, vision=None)  # nor is its encoder described


@pytest.mark.parametrize(
    ("name", "kind"),
    [("mixtral-8x7b", "GQA"), ("olmoe-1b-7b", "MHA"), ("deepseek-v2-lite", "MLA"), ("llama-4-scout", "GQA")],
)
def test_the_kind_of_attention(name: str, kind: str) -> None:
    assert model(name).architecture.attention.kind == kind


@pytest.mark.parametrize("key", [key for key in MIXTRAL if key not in ("model_type", "num_key_value_heads")])
def test_a_missing_size_is_named(key: str) -> None:
    without = {other: value for other, value in MIXTRAL.items() if other != key}
    with pytest.raises(ModelError, match=f"mixtral model lacks `{key}`") as raised:
        architecture(without)
    assert raised.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("value", ["4096", 4096.0, True, -1])
def test_a_size_that_is_none_is_named(value: object) -> None:
    with pytest.raises(ModelError, match="`hidden_size` of a mixtral model is"):
        architecture(MIXTRAL | {"hidden_size": value})


def test_a_size_of_nothing_is_named() -> None:
    with pytest.raises(ModelError, match=r"has 0 for `num_local_experts`"):
        architecture(MIXTRAL | {"num_local_experts": 0})


def test_an_unknown_family_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ModelError, match=r"'granitemoe' is not known here; known families: deepseek_v2, .*qwen3_moe"):
        architecture({"model_type": "granitemoe"})
    with pytest.raises(ModelError, match="lacks `model_type`"):
        architecture({})


def test_the_families_are_those_of_the_document() -> None:
    with pytest.raises(ModelError, match="not known") as raised:
        architecture({"model_type": "granitemoe"})
    known = str(raised.value).split("known families: ")[1].split(", ")
    (said,) = re.findall(r"Known families \(`model_type`\) are ([^;]*);", DOCUMENT.read_text(encoding="utf-8"))
    assert re.findall(r"`(\w+)`", said) == known


def test_a_multimodal_configuration_without_its_language_part_is_named() -> None:
    with pytest.raises(ModelError, match="lacks `text_config`"):
        architecture({"model_type": "llama4"})


def test_a_multimodal_family_that_is_not_known_is_read_by_its_language_model() -> None:
    assert architecture({"model_type": "llava", "dtype": "bfloat16", "text_config": MIXTRAL}) == architecture(
        MIXTRAL | {"dtype": "bfloat16"}
    )
    with pytest.raises(ModelError, match="'llava' is not known here"):
        architecture({"model_type": "llava", "text_config": MIXTRAL | {"model_type": "granitemoe"}})


def test_more_experts_a_token_than_there_are_is_refused() -> None:
    with pytest.raises(ModelError, match="9 of 8 experts"):
        architecture(MIXTRAL | {"num_experts_per_tok": 9})


def test_an_unknown_model_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ModelError, match=r"no model 'gpt-5'; known models: deepseek-v2-lite, "):
        model("gpt-5")


@pytest.mark.parametrize("name", model_names())
def test_each_committed_configuration_tells_its_sources(name: str) -> None:
    assert model(name).sources
    assert "/" in model(name).id
