#!/usr/bin/env python3
"""Make small Mixture-of-Experts models with random weights, as local folders that vLLM serves like any other model.

    tiny_models.py FOLDER

Runs inside the environment of vLLM's CPU build (torch, transformers, tokenizers) and reaches no network. Each model keeps
what is peculiar to its family (routing, shared experts, compressed attention) and is small everywhere else, so that a
CPU answers in milliseconds. The same seed gives the same weights.
"""

import pydoc_data.topics
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoModelForCausalLM,
    DeepseekV2Config,
    GenerationConfig,
    MixtralConfig,
    OlmoeConfig,
    PhimoeConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2MoeConfig,
    Qwen3MoeConfig,
)
from transformers.utils import logging

VOCABULARY = 2048
CONTEXT_TOKENS = 2048
SEED = 20240501

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
ROLES = ("system", "user", "assistant")
SPECIAL_TOKENS = [UNKNOWN, BEGIN, END, *(f"<|{role}|>" for role in ROLES)]
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

SHARED = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT_TOKENS,
    "hidden_size": 128,
    "num_attention_heads": 4,
    "bos_token_id": SPECIAL_TOKENS.index(BEGIN),
    "eos_token_id": SPECIAL_TOKENS.index(END),
    "pad_token_id": SPECIAL_TOKENS.index(END),
    "tie_word_embeddings": False,
    # Five times the usual spread: with less, the router gives nearly the same scores to every token.
    "initializer_range": 0.1,
}


FAMILIES: dict[str, PretrainedConfig] = {
    # 8 experts, 2 of them for each token, grouped-query attention.
    "mixtral": MixtralConfig(
        intermediate_size=128,
        num_hidden_layers=2,
        num_key_value_heads=2,
        head_dim=32,
        num_local_experts=8,
        num_experts_per_tok=2,
        sliding_window=None,
        **SHARED,
    ),
    # 16 experts, 4 for each token, weights of the chosen ones normalised, every layer sparse.
    "qwen3moe": Qwen3MoeConfig(
        intermediate_size=256,
        moe_intermediate_size=64,
        num_hidden_layers=2,
        num_key_value_heads=2,
        head_dim=32,
        num_experts=16,
        num_experts_per_tok=4,
        norm_topk_prob=True,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        **SHARED,
    ),
    # 16 experts, 4 for each token, beside a shared one with a gate.
    "qwen2moe": Qwen2MoeConfig(
        intermediate_size=256,
        moe_intermediate_size=64,
        shared_expert_intermediate_size=256,
        num_hidden_layers=2,
        num_key_value_heads=4,
        num_experts=16,
        num_experts_per_tok=4,
        norm_topk_prob=False,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        **SHARED,
    ),
    # 16 experts, 2 for each token by sparse mixing, LayerNorm with a bias, biases in attention and head.
    "phimoe": PhimoeConfig(
        intermediate_size=128,
        num_hidden_layers=2,
        num_key_value_heads=2,
        num_local_experts=16,
        num_experts_per_tok=2,
        attention_bias=True,
        lm_head_bias=True,
        sliding_window=None,
        **SHARED,
    ),
    # 16 experts, 4 for each token, weights left as they are, full multi-head attention.
    "olmoe": OlmoeConfig(
        intermediate_size=64,
        num_hidden_layers=2,
        num_key_value_heads=4,
        num_experts=16,
        num_experts_per_tok=4,
        norm_topk_prob=False,
        **SHARED,
    ),
    # One dense layer, then 16 routed experts beside a shared one; latent attention of the only size CPU kernels know.
    "deepseekv2": DeepseekV2Config(
        intermediate_size=256,
        moe_intermediate_size=64,
        num_hidden_layers=3,
        first_k_dense_replace=1,
        num_key_value_heads=4,
        q_lora_rank=None,
        kv_lora_rank=512,
        qk_rope_head_dim=64,
        qk_nope_head_dim=64,
        v_head_dim=64,
        n_routed_experts=16,
        n_shared_experts=1,
        num_experts_per_tok=4,
        topk_method="greedy",
        n_group=1,
        topk_group=1,
        routed_scaling_factor=1.0,
        norm_topk_prob=False,
        **SHARED,
    ),
}

# What checkpoints on the hub call their class, where transformers calls it otherwise: vLLM serves them by that name.
HUB_CLASSES = {"phimoe": "PhiMoEForCausalLM"}


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of exactly VOCABULARY entries, learnt from the Python manual that every interpreter carries."""
    learnt = Tokenizer(BPE())
    learnt.pre_tokenizer = ByteLevel(add_prefix_space=False)
    learnt.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    learnt.train_from_iterator(pydoc_data.topics.topics.values(), trainer)
    if learnt.get_vocab_size() != VOCABULARY:
        raise SystemExit(f"the tokenizer has {learnt.get_vocab_size()} entries instead of {VOCABULARY}")
    return PreTrainedTokenizerFast(
        tokenizer_object=learnt,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        model_max_length=CONTEXT_TOKENS,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def make(family: str, words: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write configuration, bfloat16 weights and tokenizer of one model into `folder`."""
    config = FAMILIES[family]
    config.dtype = torch.bfloat16
    torch.manual_seed(SEED)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    model.save_pretrained(folder)
    if name := HUB_CLASSES.get(family):
        config.architectures = [name]
        config.save_pretrained(folder)
    words.save_pretrained(folder)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"  {folder.name}: {millions:.1f} million parameters", flush=True)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: tiny_models.py FOLDER")
    logging.disable_progress_bar()
    words = tokenizer()
    for family in FAMILIES:
        folder = Path(sys.argv[1]) / f"tiny-{family}"
        folder.mkdir(parents=True, exist_ok=True)
        make(family, words, folder)


if __name__ == "__main__":
    main()
