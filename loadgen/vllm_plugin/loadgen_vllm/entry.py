"""The entry point: apply what the environment asks for, and nothing else.

`LOADGEN_VLLM_EXPERTS` is `loop` or `gather` (unfused_experts), `LOADGEN_VLLM_KERNELS` is `untuned` (untuned_kernels). loadgen's
launcher sets them. vLLM may call `load` several times in one process.
"""

import functools
import os

from .messages import UnsupportedRelease

EXPERTS, KERNELS = "LOADGEN_VLLM_EXPERTS", "LOADGEN_VLLM_KERNELS"


@functools.cache
def load() -> None:
    """Apply the plug-ins that the environment names. Raises ValueError for an unknown value, UnsupportedRelease.

    vLLM's modules are imported only when asked for: every vLLM process calls this.
    """
    if experts := os.environ.get(EXPERTS):
        if experts not in ("loop", "gather"):
            raise ValueError(f"{EXPERTS} is '{experts}'; it must be loop or gather")
        try:
            from .unfused_experts import replace_fused_experts
        except ImportError:
            raise UnsupportedRelease(f"expert-{experts}") from None
        replace_fused_experts(experts)
    if kernels := os.environ.get(KERNELS):
        if kernels != "untuned":
            raise ValueError(f"{KERNELS} is '{kernels}'; it must be untuned")
        try:
            from .untuned_kernels import ignore_tuned_configurations
        except ImportError:
            raise UnsupportedRelease("untuned-kernels") from None
        ignore_tuned_configurations()
