"""Checkpoints of each layout, small enough to compare whole, written and read here without the code under test."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYERS, HIDDEN, EXPERTS, TOP_K, FFN = 2, 16, 8, 2, 32
Tensors = Mapping[str, NDArray[Any]]

_DTYPES: Mapping[np.dtype[Any], str] = {
    np.dtype(np.uint16): "BF16",
    np.dtype(np.float16): "F16",
    np.dtype(np.float32): "F32",
    np.dtype(np.uint8): "F8_E4M3",
}
_SHARED: dict[str, Any] = {
    "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 32,
    "num_experts_per_tok": TOP_K, "torch_dtype": "bfloat16",
}  # fmt: skip
_LATENT: dict[str, Any] = {
    "n_routed_experts": EXPERTS, "n_shared_experts": 2, "moe_intermediate_size": FFN, "intermediate_size": 48,
    "first_k_dense_replace": 1, "kv_lora_rank": 8, "q_lora_rank": None, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Small:
    """One family: its configuration, and what its tensors are called."""

    family: str
    config: Mapping[str, Any]
    block: str = "mlp"
    names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    experts_key: str = "num_experts"
    ffn_key: str = "intermediate_size"
    sparse_layers: tuple[int, ...] = (0, 1)
    joined: bool = False  # all experts of a layer in one tensor
    router_bias: bool = False


_W = ("w1", "w3", "w2")
MIXTRAL = Small(
    "mixtral", {"num_local_experts": EXPERTS, "intermediate_size": FFN}, "block_sparse_moe", _W, "num_local_experts"
)
SMALL = {
    "mixtral": MIXTRAL,
    "phimoe": Small("phimoe", {"num_local_experts": EXPERTS, "intermediate_size": FFN}, "block_sparse_moe", _W, "num_local_experts"),
    "olmoe": Small("olmoe", {"num_experts": EXPERTS, "intermediate_size": FFN}),
    "qwen2_moe": Small(
        "qwen2_moe",
        {"num_experts": EXPERTS, "moe_intermediate_size": FFN, "shared_expert_intermediate_size": 24, "intermediate_size": 48},
        ffn_key="moe_intermediate_size",
    ),
    "qwen3_moe": Small(
        "qwen3_moe",
        {"num_local_experts": EXPERTS, "moe_intermediate_size": FFN, "intermediate_size": 48},
        experts_key="num_local_experts",
        ffn_key="moe_intermediate_size",
    ),
    "deepseek_v2": Small(
        "deepseek_v2", _LATENT, experts_key="n_routed_experts", ffn_key="moe_intermediate_size", sparse_layers=(1,)
    ),
    "deepseek_v3": Small(
        "deepseek_v3",
        {**_LATENT, "n_group": 2, "topk_group": 1, "topk_method": "noaux_tc"},
        experts_key="n_routed_experts",
        ffn_key="moe_intermediate_size",
        sparse_layers=(1,),
        router_bias=True,
    ),
    "joined": Small("qwen3_moe", {"num_experts": EXPERTS, "moe_intermediate_size": FFN, "intermediate_size": 48}, ffn_key="moe_intermediate_size", joined=True),
}  # fmt: skip


def tensors_of(small: Small, dtype: type = np.uint16) -> dict[str, NDArray[Any]]:
    """Its tensors: every element is drawn, so that a wrong row or column is seen."""
    rng = np.random.default_rng(7)

    def draw(*shape: int) -> NDArray[Any]:
        if dtype is np.uint8:
            return rng.integers(0, 0x7E, shape, dtype=np.uint8)
        values = rng.normal(size=shape).astype(np.float32)
        return (values.view(np.uint32) >> 16).astype(np.uint16) if dtype is np.uint16 else values.astype(dtype)

    found = {"model.embed_tokens.weight": draw(32, HIDDEN)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        found[f"{prefix}.self_attn.o_proj.weight"] = draw(HIDDEN, HIDDEN)
        if layer not in small.sparse_layers:
            found[f"{prefix}.mlp.gate_proj.weight"] = draw(48, HIDDEN)
            continue
        block = f"{prefix}.{small.block}"
        found[f"{block}.gate.weight"] = draw(EXPERTS, HIDDEN)
        if small.router_bias:
            found[f"{block}.gate.e_score_correction_bias"] = rng.normal(size=EXPERTS).astype(np.float32)
        if small.joined:
            found[f"{block}.experts.gate_up_proj"] = draw(EXPERTS, 2 * FFN, HIDDEN)
            found[f"{block}.experts.down_proj"] = draw(EXPERTS, HIDDEN, FFN)
        else:
            gate, up, down = small.names
            for expert in range(EXPERTS):
                found[f"{block}.experts.{expert}.{gate}.weight"] = draw(FFN, HIDDEN)
                found[f"{block}.experts.{expert}.{up}.weight"] = draw(FFN, HIDDEN)
                found[f"{block}.experts.{expert}.{down}.weight"] = draw(HIDDEN, FFN)
        shared = {"deepseek_v2": ("shared_experts", 2 * FFN), "qwen2_moe": ("shared_expert", 24)}.get(small.family)
        if shared is not None:
            found[f"{block}.{shared[0]}.gate_proj.weight"] = draw(shared[1], HIDDEN)
            found[f"{block}.{shared[0]}.up_proj.weight"] = draw(shared[1], HIDDEN)
            found[f"{block}.{shared[0]}.down_proj.weight"] = draw(HIDDEN, shared[1])
    return found


def file_of(tensors: Tensors) -> bytes:
    """The bytes of a safetensors file."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, values in tensors.items():
        header[name] = {
            "dtype": _DTYPES[values.dtype],
            "shape": values.shape,
            "data_offsets": [offset, offset + values.nbytes],
        }
        offset += values.nbytes
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(values.tobytes() for values in tensors.values())


def write(
    folder: Path, small: Small = MIXTRAL, *, shards: int = 1, tensors: Tensors | None = None, **changes: Any
) -> Path:
    """Write a checkpoint and return its folder; `changes` of the configuration."""
    folder.mkdir(parents=True)
    config = {"model_type": small.family, **_SHARED, **small.config, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    held = dict(tensors_of(small) if tensors is None else tensors)
    if shards == 1:
        (folder / "model.safetensors").write_bytes(file_of(held))
        return folder
    names = list(held)
    places: dict[str, str] = {}
    for at in range(shards):
        file = f"model-{at + 1:05}-of-{shards:05}.safetensors"
        part = {name: held[name] for name in names[at::shards]}  # neighbours lie in different shards
        (folder / file).write_bytes(file_of(part))
        places |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def read(folder: Path) -> dict[str, NDArray[Any]]:
    """All tensors of a checkpoint."""
    kinds: dict[str, np.dtype[Any]] = {name: dtype for dtype, name in _DTYPES.items()}
    found: dict[str, NDArray[Any]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        content = path.read_bytes()
        size = 8 + struct.unpack("<Q", content[:8])[0]
        for name, entry in json.loads(content[8:size]).items():
            if name == "__metadata__":
                continue
            begin, end = (size + offset for offset in entry["data_offsets"])
            found[name] = np.frombuffer(content[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return found


def matrices(tensors: Tensors, small: Small, layer: int) -> list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """(gate, up, down) of each expert of a layer, in the order of their numbers."""
    block = f"model.layers.{layer}.{small.block}.experts"
    if small.joined:
        both, down = tensors[f"{block}.gate_up_proj"], tensors[f"{block}.down_proj"]
        half = both.shape[1] // 2
        return [(both[at, :half], both[at, half:], down[at]) for at in range(len(both))]
    found: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    while f"{block}.{len(found)}.{small.names[0]}.weight" in tensors:
        gate, up, down = (tensors[f"{block}.{len(found)}.{name}.weight"] for name in small.names)
        found.append((gate, up, down))
    return found


def values_of(raw: NDArray[Any]) -> NDArray[np.float64]:
    """The numbers that bf16 or other floats stand for."""
    if raw.dtype == np.uint16:
        return (raw.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return raw.astype(np.float64)
