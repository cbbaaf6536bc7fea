"""vLLM's Triton kernel for experts with its default block sizes, as on a GPU that nobody tuned it for.

vLLM looks in `$VLLM_TUNED_CONFIG_FOLDER`, then among its own `configs/E=…,N=…,device_name=….json`, for the sizes that fit the
number of experts, their width and the GPU; where it finds none it derives them from the batch. A folder of one's own cannot
hide vLLM's own files, so the look-up itself is replaced. Known to fit vLLM 0.26 to 0.32.
"""

from vllm.model_executor.layers.fused_moe import fused_moe

from .messages import UnsupportedRelease, announce

_LOOK_UP = "get_moe_configs"


def ignore_tuned_configurations() -> None:
    """Have the look-up find nothing from here on. Raises UnsupportedRelease where this vLLM has no such look-up."""
    if not hasattr(fused_moe, _LOOK_UP):
        raise UnsupportedRelease("untuned-kernels")
    setattr(fused_moe, _LOOK_UP, _nothing)


def _nothing(*_: object, **__: object) -> None:
    announce("untuned-kernels")
