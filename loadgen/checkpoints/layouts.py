"""Where families of models keep their experts: the names of tensors, and of sizes in the configuration.

Names as in the repositories of the models and in transformers 5.19 (`conversion_mapping.py`), which reads and writes the
tensors of each expert by default, and all experts of a layer in one tensor with `save_original_format=False`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from loadgen.errors import ModelError
from loadgen.moe.context import language_part

Part = Literal["router", "gate", "up", "down", "gate_up"]
Owner = int | Literal["router", "shared", "all"]
"""An expert by its number; `all`: every expert of a layer in one tensor."""


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """What a tensor is part of. `head` and `tail` are the name before and behind the number of an expert."""

    part: Part
    layer: int
    owner: Owner
    head: str
    tail: str

    @property
    def is_weight(self) -> bool:
        """Whether it is the matrix itself, not a scale or a bias of it."""
        return self.tail.endswith(".weight") or (self.owner == "all" and self.tail.endswith("_proj"))

    @property
    def is_scale(self) -> bool:
        """Whether it is what the elements of the quantised matrix are multiplied by."""
        return self.tail.endswith((".weight_scale", ".weight_scale_inv"))


class Names(NamedTuple):
    """What the three matrices of an expert are called."""

    gate: str
    up: str
    down: str


@dataclass(frozen=True)
class Layout:
    """One way to name experts. Matrices are [rows, columns]: gate and up [ffn, hidden], down [hidden, ffn], router [experts, hidden]."""

    name: str
    families: tuple[str, ...]  # the configuration's model_type
    block: str
    names: Names
    experts_keys: tuple[str, ...]  # all that the configuration has are changed
    ffn_key: str
    shared: str | None = None  # shared experts whose size follows ffn_key

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        begin = r"(?P<head>(?:.*\.)?layers\.(?P<layer>\d+)\."
        projections = "|".join(self.names)
        texts = [
            rf"{begin}{self.block}\.experts\.)(?P<expert>\d+)(?P<tail>\.(?P<part>{projections})\..+)",
            rf"{begin}(?:{self.block}|mlp)\.)(?P<tail>(?:gate|router)\.(?:weight|bias|e_score_correction_bias))",
            rf"{begin}mlp\.experts\.)(?P<tail>(?P<part>gate_up_proj|down_proj)(?:[._].+)?)",
        ]
        if self.shared is not None:
            texts.append(rf"{begin}{self.block}\.{self.shared}\.)(?P<tail>(?P<part>{projections})\..+)")
        return tuple(re.compile(text) for text in texts)

    def place_of(self, name: str) -> TensorPlace | None:
        """Return what the tensor of that name is part of; None for one that pruning leaves alone."""
        expert, router, fused = (pattern.fullmatch(name) for pattern in self._patterns[:3])
        parts: dict[str, Part] = {self.names.gate: "gate", self.names.up: "up", self.names.down: "down"}
        if expert is not None:
            return _place(expert, parts[expert["part"]], int(expert["expert"]))
        if router is not None:
            return _place(router, "router", "router")
        if fused is not None:
            return _place(fused, "gate_up" if fused["part"] == "gate_up_proj" else "down", "all")
        shared = next((found for pattern in self._patterns[3:] if (found := pattern.fullmatch(name))), None)
        return None if shared is None else _place(shared, parts[shared["part"]], "shared")


def _place(match: re.Match[str], part: Part, owner: Owner) -> TensorPlace:
    return TensorPlace(part, int(match["layer"]), owner, match["head"], match["tail"])


_NUMBERED = Names("w1", "w3", "w2")
_NAMED = Names("gate_proj", "up_proj", "down_proj")
_MOE_SIZE = "moe_intermediate_size"

LAYOUTS = (
    Layout("Mixtral", ("mixtral",), "block_sparse_moe", _NUMBERED, ("num_local_experts",), "intermediate_size"),
    Layout("Phi-3.5-MoE", ("phimoe",), "block_sparse_moe", _NUMBERED, ("num_local_experts",), "intermediate_size"),
    Layout("OLMoE", ("olmoe",), "mlp", _NAMED, ("num_experts",), "intermediate_size"),
    Layout("Qwen-MoE", ("qwen2_moe", "qwen3_moe"), "mlp", _NAMED, ("num_experts", "num_local_experts"), _MOE_SIZE),
    Layout("DeepSeek", ("deepseek_v2", "deepseek_v3"), "mlp", _NAMED, ("n_routed_experts",), _MOE_SIZE, "shared_experts"),
)  # fmt: skip


def layout_of(config: Mapping[str, object]) -> Layout:
    """Return the layout of the language model's family. Raises ModelError for one without a layout here."""
    family = language_part(config).get("model_type")
    for layout in LAYOUTS:
        if family in layout.families:
            return layout
    known = ", ".join(name for layout in LAYOUTS for name in layout.families)
    raise ModelError(f"models of the family {family!r} cannot be pruned here; those of {known} can")
