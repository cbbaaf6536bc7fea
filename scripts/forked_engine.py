"""A plug-in of vLLM's CPU build, in the environment that `vllm_cpu.py` makes: engines and workers are forked from the HTTP process.

The CPU build starts each of them as a new Python, because it binds OpenMP's threads before they start, and threads do not
survive a fork. With one OpenMP thread there are none, and a new Python would import 4,700 modules again: 5 s of a processor.
"""

import functools
import os


@functools.cache
def load() -> None:
    """Have the CPU platform choose fork, vLLM's default elsewhere, if `OMP_NUM_THREADS` is 1. vLLM may call this several times."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        return
    from vllm.platforms.cpu import CpuPlatform

    check = CpuPlatform.check_and_update_config

    def check_and_fork(vllm_config: object) -> None:
        check(vllm_config)
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"

    CpuPlatform.check_and_update_config = staticmethod(check_and_fork)
