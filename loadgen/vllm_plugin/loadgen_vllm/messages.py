"""What plug-ins report: that one is in use, or that it does not support the release of vLLM."""

import sys

_announced: set[str] = set()  # once in each process


class UnsupportedRelease(RuntimeError):
    """This release of vLLM is built in another way than the plug-in knows."""

    def __init__(self, plugin: str) -> None:
        import vllm

        super().__init__(
            f"loadgen's plug-in {plugin} does not know how vLLM {vllm.__version__} runs experts; take vLLM 0.26 to 0.32, or "
            "leave `plugins` out of the profile"
        )


def announce(plugin: str) -> None:
    """Say on stderr that a plug-in has taken effect. loadgen does not measure a server whose log lacks this line."""
    if plugin not in _announced:
        _announced.add(plugin)
        print(f"loadgen plug-in {plugin} is in use", file=sys.stderr, flush=True)  # noqa: T201
