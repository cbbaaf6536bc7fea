"""How a profile's arguments lay its model out: over which GPUs, in which precision, for how much context.

Flags are vLLM's; where one is not given, its default is used, and None where that
depends on the model.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from loadgen.moe.memory import KvPrecision, Precision
from loadgen.moe.placement import Parallelism
from loadgen.servers.profiles.flag_syntax import AUTO, canonical, length
from loadgen.servers.profiles.schema import Argument

# vLLM 0.26 takes 0.9 of the memory by itself, 0.32 takes 0.92: the smaller one is always there.
DEFAULT_MEMORY_RATIO = 0.9

UNIFORM_ROUTING = {"VLLM_MOE_ROUTING_SIMULATION_STRATEGY": "uniform_random"}
"""Has vLLM draw the experts of each token at random: of a point with made-up weights this says where it comes from, not which it is."""

_QUANTISED: Mapping[str, Precision] = {
    **dict.fromkeys(("fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "mxfp8", "fbgemm_fp8"), "fp8"),
    **dict.fromkeys(("awq", "awq_marlin", "gptq", "gptq_marlin"), "int4"),
}
_SIXTEEN_BITS = ("auto", "half", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Layout:
    """What of the arguments counts for memory. Lengths in tokens, counts in sequences."""

    parallelism: Parallelism
    precision: Precision | None  # None: of a kind whose bytes are not known here
    kv_precision: KvPrecision
    memory_ratio: float  # of each GPU's memory, for everything that vLLM holds there
    kv_bytes: int | None  # of each GPU, where the arguments say so outright
    max_model_len: int | None  # None: not given, or chosen by the engine
    max_num_seqs: int | None
    draft_model: str | None
    draft_tensor: int | None  # None: as the target
    is_length_chosen: bool = False  # by the engine: the longest that fits

    @property
    def label(self) -> str:
        """`bf16, tensor 4, experts spread`, without what is 1."""
        return f"{self.precision or 'unknown precision'}, {self.parallelism.label}"


def layout(arguments: Mapping[str, Argument]) -> Layout:
    """The layout that these flags ask for. ModelError for sizes below 1; a value of a wrong type counts as not given."""
    given = canonical(arguments)
    longest = _whole(given, "max-model-len")
    speculative = given.get("speculative-config")
    speculative = speculative if isinstance(speculative, dict) else {}
    draft = speculative.get("model")
    return Layout(
        parallelism=Parallelism(
            tensor=_group_size(given, "tensor-parallel-size"),
            pipeline=_group_size(given, "pipeline-parallel-size"),
            data=_group_size(given, "data-parallel-size"),
            experts=given.get("enable-expert-parallel") is True,
        ),
        precision=_precision(given),
        kv_precision="fp8" if str(given.get("kv-cache-dtype", "auto")).startswith("fp8") else "bf16",
        memory_ratio=_number(given, "gpu-memory-utilization")
        or _number(given, "device-memory-utilization")
        or DEFAULT_MEMORY_RATIO,
        kv_bytes=_whole(given, "kv-cache-memory-bytes"),
        max_model_len=None if longest == AUTO else longest,
        is_length_chosen=longest == AUTO,
        max_num_seqs=_whole(given, "max-num-seqs"),
        draft_model=draft if isinstance(draft, str) else None,
        draft_tensor=_whole(speculative, "draft_tensor_parallel_size"),
    )


def overrides(arguments: Mapping[str, Argument]) -> Mapping[str, object]:
    """What the arguments change in the model's own configuration."""
    found = canonical(arguments).get("hf-overrides")
    return found if isinstance(found, dict) else {}


def _precision(given: Mapping[str, object]) -> Precision | None:
    quantization = given.get("quantization")
    if quantization is not None:
        return _QUANTISED.get(str(quantization))
    return "bf16" if given.get("dtype", "auto") in _SIXTEEN_BITS else None


def _whole(given: Mapping[str, object], name: str) -> int | None:
    return length(name, given.get(name))


def _group_size(given: Mapping[str, object], name: str) -> int:
    found = _whole(given, name)
    return 1 if found is None else found


def _number(given: Mapping[str, object], name: str) -> float | None:
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
