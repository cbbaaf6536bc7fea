"""From a model's own configuration, the `config.json` of its repository as a dict, to its Architecture.

A size that is not said is never guessed: the class that would fill it in differs between releases
(`Qwen3MoeConfig()` has 24 layers, Qwen3-30B-A3B has 48). Optional are only keys whose absence means one thing in the family.
The rules which layers are sparse, and where norms and biases are, were read in transformers 5.19 (`models/*/modeling_*.py`)
and vLLM 0.32 (`model_executor/models`), and the counts compared with theirs (tests/moe/test_parameters.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from loadgen.errors import ModelError, listed
from loadgen.moe.architecture import (
    Architecture,
    Attention,
    Experts,
    GroupedQueryAttention,
    LatentAttention,
    VisionTower,
)
from loadgen.moe.context import language_part

# What deepseek-ai/deepseek-vl2's own configuration class fills in; its config.json relies on that.
# (vLLM 0.9's documentation of transformers_utils/configs/deepseek_vl2.py prints the class.)
_VL2_DEFAULTS: Mapping[str, object] = {
    "num_hidden_layers": 30,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}

# What the released configurations leave to that class or to the encoder's own table (deepseek_vl2/models/siglip_vit.py).
_VL2_VISION_DEFAULTS: Mapping[str, object] = {"image_size": 384, "heads": 16}


@dataclass(frozen=True, slots=True)
class _Keys:
    """A configuration whose missing or odd keys are named in a sentence."""

    family: str
    values: Mapping[str, object]

    def size(self, key: str) -> int:
        """A count of at least 1 that must be there."""
        found = self.optional(key)
        if not found:
            said = "lacks" if key not in self.values else f"has {self.values[key]!r} for"
            raise ModelError(f"the configuration of a {self.family} model {said} `{key}`, a number of at least 1")
        return found

    def optional(self, key: str) -> int | None:
        """A count, or None where the key is absent or null."""
        value = self.values.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise ModelError(f"`{key}` of a {self.family} model is {value!r}; a whole number is expected")
        return value

    def flag(self, key: str, absent: bool = False) -> bool:
        value = self.values.get(key)
        if value is None:
            return absent
        if not isinstance(value, bool):
            raise ModelError(f"`{key}` of a {self.family} model is {value!r}; true or false is expected")
        return value

    def layers(self, key: str) -> tuple[int, ...] | None:
        """A list of layers, counted from 0, or None where the key is absent or null."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(layer, int) for layer in value):
            raise ModelError(f"`{key}` of a {self.family} model is {value!r}; a list of layers is expected")
        return tuple(value)

    def inner(self, key: str, defaults: Mapping[str, object]) -> "_Keys":
        """The language model's part of a multimodal configuration."""
        value = self.values.get(key)
        if not isinstance(value, Mapping):
            raise ModelError(f"the configuration of a {self.family} model lacks `{key}`, its language model's part")
        return _Keys(self.family, {**defaults, **value})


def architecture(config: Mapping[str, object]) -> Architecture:
    """The language model that a Hugging Face `config.json` describes. ModelError: unknown family, or a missing key.

    A multimodal model of a family that is not known (LLaVA, BLIP-2) is read by its language model's own family.
    """
    family = config.get("model_type")
    if family is None:
        raise ModelError("the model's configuration lacks `model_type`, the name of its family")
    read = _FAMILIES.get(family) if isinstance(family, str) else None
    part = language_part(config)
    if read is None and part.get("model_type") in _FAMILIES:
        outer = {key: config[key] for key in ("torch_dtype", "dtype") if key in config}
        return architecture({**outer, **part})
    if read is None:
        raise ModelError(f"the model family {family!r} is not known here; {listed(sorted(_FAMILIES), 'families')}")
    return read(_Keys(str(family), config))


def _built(
    keys: _Keys,
    attention: Attention,
    experts: Experts | None,
    *,
    dense_key: str = "intermediate_size",
    norm_bias: bool = False,
    head_bias: bool = False,
) -> Architecture:
    layers = keys.size("num_hidden_layers")
    if experts is not None and experts.top_k > experts.experts:
        raise ModelError(f"each token would pass {experts.top_k} of {experts.experts} experts, more than there are")
    all_sparse = experts is not None and len(experts.layers) == layers
    dtype = keys.values.get("torch_dtype", keys.values.get("dtype"))
    return Architecture(
        family=keys.family,
        layers=layers,
        hidden_size=keys.size("hidden_size"),
        vocabulary=keys.size("vocab_size"),
        tied_embeddings=keys.flag("tie_word_embeddings"),
        dtype=None if dtype is None else str(dtype),
        attention=attention,
        experts=experts,
        dense_ffn_size=None if all_sparse else keys.size(dense_key),
        norm_bias=norm_bias,
        head_bias=head_bias,
    )


def _grouped(
    keys: _Keys, *, qkv_bias: bool = False, output_bias: bool = False, norm: str = "none"
) -> GroupedQueryAttention:
    """`norm`: of queries and keys; "head" has one weight for every head, "all" one for all heads together."""
    hidden, heads = keys.size("hidden_size"), keys.size("num_attention_heads")
    kv_heads = keys.optional("num_key_value_heads") or heads
    head_size = keys.optional("head_dim") or hidden // heads
    vectors = {"none": 0, "head": 2 * head_size, "all": (heads + kv_heads) * head_size}[norm]
    vectors += (heads + 2 * kv_heads) * head_size if qkv_bias else 0
    vectors += hidden if output_bias else 0
    return GroupedQueryAttention(heads=heads, kv_heads=kv_heads, head_size=head_size, vectors=vectors)


def _routed(
    keys: _Keys,
    layers: tuple[int, ...],
    *,
    experts_key: str = "num_experts",
    ffn_key: str = "intermediate_size",
    shared: int = 0,
    shared_ffn_size: int = 0,
    shared_gate: bool = False,
    router_bias: bool = False,
) -> Experts | None:
    if not layers:
        return None
    return Experts(
        layers=layers,
        experts=keys.size(experts_key),
        top_k=keys.size("num_experts_per_tok"),
        ffn_size=keys.size(ffn_key),
        shared_experts=shared,
        shared_ffn_size=shared_ffn_size,
        shared_gate=shared_gate,
        router_bias=router_bias,
    )


def _every_layer(keys: _Keys) -> tuple[int, ...]:
    return tuple(range(keys.size("num_hidden_layers")))


def _mixtral(keys: _Keys) -> Architecture:
    return _built(keys, _grouped(keys), _routed(keys, _every_layer(keys), experts_key="num_local_experts"))


def _phimoe(keys: _Keys) -> Architecture:
    bias = keys.flag("attention_bias")
    attention = _grouped(keys, qkv_bias=bias, output_bias=bias)
    experts = _routed(keys, _every_layer(keys), experts_key="num_local_experts")
    return _built(keys, attention, experts, norm_bias=True, head_bias=keys.flag("lm_head_bias"))


def _olmoe(keys: _Keys) -> Architecture:
    bias = keys.flag("attention_bias")
    attention = _grouped(keys, qkv_bias=bias, output_bias=bias, norm="all")
    return _built(keys, attention, _routed(keys, _every_layer(keys)))


def _sparse_by_step(keys: _Keys) -> tuple[int, ...]:
    """Qwen's rule: every `decoder_sparse_step`-th layer, without `mlp_only_layers`."""
    step, dense = keys.optional("decoder_sparse_step") or 1, keys.layers("mlp_only_layers") or ()
    return tuple(i for i in _every_layer(keys) if i not in dense and (i + 1) % step == 0)


def _qwen2_moe(keys: _Keys) -> Architecture:
    experts = _routed(
        keys,
        _sparse_by_step(keys),
        ffn_key="moe_intermediate_size",
        shared=1,
        shared_ffn_size=keys.size("shared_expert_intermediate_size"),
        shared_gate=True,
    )
    return _built(keys, _grouped(keys, qkv_bias=keys.flag("qkv_bias", absent=True)), experts)


def _qwen3(keys: _Keys) -> Architecture:
    bias = keys.flag("attention_bias")
    return _built(keys, _grouped(keys, qkv_bias=bias, output_bias=bias, norm="head"), None)


def _qwen3_moe(keys: _Keys) -> Architecture:
    bias = keys.flag("attention_bias")
    attention = _grouped(keys, qkv_bias=bias, output_bias=bias, norm="head")
    # `num_experts` on the hub; transformers 5 writes it under the other name.
    experts_key = "num_experts" if "num_experts" in keys.values else "num_local_experts"
    experts = _routed(keys, _sparse_by_step(keys), experts_key=experts_key, ffn_key="moe_intermediate_size")
    return _built(keys, attention, experts)


def _deepseek_v2(keys: _Keys) -> Architecture:
    first, every = keys.optional("first_k_dense_replace") or 0, keys.optional("moe_layer_freq") or 1
    shared = keys.optional("n_shared_experts") or 0
    experts = _routed(
        keys,
        tuple(i for i in _every_layer(keys) if i >= first and i % every == 0),
        experts_key="n_routed_experts",
        ffn_key="moe_intermediate_size",
        shared=shared,
        shared_ffn_size=shared * keys.size("moe_intermediate_size"),
        router_bias=keys.family == "deepseek_v3" or keys.values.get("topk_method") == "noaux_tc",
    )
    # The smallest DeepSeek-VL2 has this family's experts with ordinary attention, and says so with head sizes of 0.
    plain = not keys.flag("use_mla", absent=True) or keys.values.get("qk_nope_head_dim") == 0
    return _built(keys, _grouped(keys) if plain else _latent(keys), experts)


def _latent(keys: _Keys) -> LatentAttention:
    query_rank, kv_rank = keys.optional("q_lora_rank"), keys.size("kv_lora_rank")
    rope_size = keys.size("qk_rope_head_dim")
    vectors = kv_rank + (query_rank or 0)  # a norm on each latent
    if keys.flag("attention_bias"):
        vectors += kv_rank + rope_size + (query_rank or 0) + keys.size("hidden_size")
    return LatentAttention(
        heads=keys.size("num_attention_heads"),
        query_rank=query_rank or None,
        kv_rank=kv_rank,
        nope_size=keys.size("qk_nope_head_dim"),
        rope_size=rope_size,
        value_size=keys.size("v_head_dim"),
        vectors=vectors,
    )


def _deepseek_vl2(keys: _Keys) -> Architecture:
    language = _deepseek_v2(keys.inner("language_config", _VL2_DEFAULTS))
    return replace(language, vision=_tower(keys, language.hidden_size))


def _tower(keys: _Keys, hidden_size: int) -> VisionTower | None:
    """DeepSeek-VL2's encoder; None if the configuration does not describe it, as one that is cut down to the language model."""
    tiles = keys.values.get("candidate_resolutions")
    if "vision_config" not in keys.values or not isinstance(tiles, list):
        return None
    vision = keys.inner("vision_config", _VL2_VISION_DEFAULTS)
    size, ratio = vision.size("image_size"), vision.values.get("mlp_ratio")
    if not isinstance(ratio, int | float):
        raise ModelError(f"`mlp_ratio` of a {keys.family} model is {ratio!r}; a number is expected")
    projector = keys.inner("projector_config", {"downsample_ratio": 2})
    return VisionTower(
        layers=vision.size("layers"),
        width=vision.size("width"),
        heads=vision.size("heads"),
        ffn_size=int(vision.size("width") * ratio),
        patch_size=vision.size("patch_size"),
        tile_size=size,
        downsampling=projector.size("downsample_ratio"),
        projected_size=hidden_size,
        grids=tuple((width // size, height // size) for width, height in tiles),
    )


def _llama4_text(keys: _Keys) -> Architecture:
    """Its norm of queries and keys has no weights. The shared expert is as wide as a routed one."""
    listed, step = keys.layers("moe_layers"), keys.optional("interleave_moe_layer_step")
    if listed is None and not step:
        raise ModelError(f"the configuration of a {keys.family} model lacks `interleave_moe_layer_step`")
    layers = listed if listed is not None else _every_layer(keys)[(step or 1) - 1 :: step]
    experts = _routed(
        keys, layers, experts_key="num_local_experts", shared=1, shared_ffn_size=keys.size("intermediate_size")
    )
    bias = keys.flag("attention_bias")
    attention = _grouped(keys, qkv_bias=bias, output_bias=bias)
    return _built(keys, attention, experts, dense_key="intermediate_size_mlp")


_FAMILIES: Mapping[str, Callable[[_Keys], Architecture]] = {
    "deepseek_v2": _deepseek_v2,
    "deepseek_v3": _deepseek_v2,
    "deepseek_vl_v2": _deepseek_vl2,
    "llama4": lambda keys: _llama4_text(keys.inner("text_config", {})),
    "llama4_text": _llama4_text,
    "mixtral": _mixtral,
    "olmoe": _olmoe,
    "phimoe": _phimoe,
    "qwen2_moe": _qwen2_moe,
    "qwen3": _qwen3,
    "qwen3_moe": _qwen3_moe,
}
