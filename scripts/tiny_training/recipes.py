"""The models that are trained: their configurations, and what differs in their training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import transformers

from tiny_training import pictures
from tiny_training.network import ROPE_BASE
from tiny_training.vocabulary import BEGIN, CONTEXT_TOKENS, END, TOKEN_IDS, TOKENS

BALANCING = 0.02


@dataclass(frozen=True)
class Recipe:
    """One model; `balancing` is the weight of the loss that spreads tokens over experts, 0 without it."""

    name: str
    title: str
    config: Callable[[], transformers.PretrainedConfig]
    balancing: float = 0.0
    router_spread: float = 0.02  # standard deviation of the router's first weights
    sees: bool = False  # whether it is trained on questions about pictures


def _shared(hidden_size: int) -> dict[str, object]:
    return {
        "vocab_size": len(TOKENS),
        "max_position_embeddings": CONTEXT_TOKENS,
        "hidden_size": hidden_size,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_BASE},
        "bos_token_id": TOKEN_IDS[BEGIN],
        "eos_token_id": TOKEN_IDS[END],
        "pad_token_id": TOKEN_IDS[END],
        "tie_word_embeddings": False,
    }


def mixtral() -> transformers.PretrainedConfig:
    """8 experts, 2 of them for each token, grouped-query attention."""
    return transformers.MixtralConfig(
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        num_local_experts=8,
        num_experts_per_tok=2,
        sliding_window=None,
        **_shared(128),
    )


def deepseek() -> transformers.PretrainedConfig:
    """One dense layer, then 16 routed experts beside a shared one; latent attention of the only size vLLM's CPU kernels know."""
    return transformers.DeepseekV2Config(
        intermediate_size=128,
        moe_intermediate_size=64,
        num_hidden_layers=3,
        first_k_dense_replace=1,
        num_attention_heads=4,
        num_key_value_heads=4,
        q_lora_rank=None,
        kv_lora_rank=512,
        qk_rope_head_dim=64,
        qk_nope_head_dim=32,
        v_head_dim=32,
        n_routed_experts=16,
        n_shared_experts=1,
        num_experts_per_tok=4,
        topk_method="greedy",
        n_group=1,
        topk_group=1,
        routed_scaling_factor=1.0,
        norm_topk_prob=False,
        **_shared(128),
    )


def small_draft() -> transformers.PretrainedConfig:
    """One dense layer: too shallow to look anything up."""
    return transformers.LlamaConfig(
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        **_shared(64),
    )


def large_draft() -> transformers.PretrainedConfig:
    """Two dense layers of the experts' width."""
    return transformers.LlamaConfig(
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        **_shared(128),
    )


def vision() -> transformers.PretrainedConfig:
    """A Mixtral behind the encoder and the Q-Former of BLIP-2, which gives it one embedding for each place of a picture."""
    text = {**_shared(64), "vocab_size": len(pictures.TOKENS), "tie_word_embeddings": True}
    tower = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return transformers.Blip2Config(
        vision_config=transformers.Blip2VisionConfig(
            image_size=pictures.SIDE_PIXELS, patch_size=pictures.PATCH_PIXELS, initializer_range=0.02, **tower
        ),
        qformer_config=transformers.Blip2QFormerConfig(
            vocab_size=1,
            max_position_embeddings=1,
            cross_attention_frequency=1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            **tower,
        ),
        text_config=transformers.MixtralConfig(
            architectures=["MixtralForCausalLM"],
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,
            num_local_experts=8,
            num_experts_per_tok=2,
            sliding_window=None,
            **text,
        ),
        num_query_tokens=pictures.PATCHES,
        image_token_index=pictures.TOKEN_IDS[pictures.IMAGE],
        tie_word_embeddings=True,
    )


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("trained-mixtral", "Mixtral with a balancing loss", mixtral, balancing=BALANCING),
        Recipe("trained-mixtral-unbalanced", "Mixtral without a balancing loss", mixtral),
        Recipe("trained-deepseek", "DeepSeek-V2 with a balancing loss", deepseek, balancing=BALANCING),
        Recipe("trained-deepseek-unbalanced", "DeepSeek-V2 without a balancing loss", deepseek),
        Recipe("trained-draft-small", "dense model of one layer", small_draft),
        Recipe("trained-draft-large", "dense model of two layers", large_draft),
        Recipe("trained-vision", "BLIP-2 with a Mixtral and a balancing loss", vision, balancing=BALANCING, sees=True),
    )
}
