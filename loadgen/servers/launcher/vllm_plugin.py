"""How a started vLLM finds loadgen's plug-ins, and how its log shows that they took effect."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import loadgen

FOLDER = Path(loadgen.__file__).resolve().parent / "vllm_plugin"
"""Holds the package loadgen_vllm and its metadata, in which vLLM finds the entry point."""

_ENTRY_POINT = "loadgen"
_ALLOWED = "VLLM_PLUGINS"  # where it is set, vLLM loads only the entry points that it names


def found_by_vllm(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables to add to a server's `environment`, so that its Python finds the folder and vLLM loads the entry point."""
    python_path = environment.get("PYTHONPATH", os.environ.get("PYTHONPATH"))
    added = {"PYTHONPATH": os.pathsep.join([str(FOLDER), *([python_path] if python_path else [])])}
    allowed = environment.get(_ALLOWED, os.environ.get(_ALLOWED))
    if allowed is not None and _ENTRY_POINT not in allowed.split(","):
        added[_ALLOWED] = f"{allowed},{_ENTRY_POINT}" if allowed else _ENTRY_POINT
    return added


def without_effect(plugins: Sequence[str], log: str) -> tuple[str, ...]:
    """Those of the plug-ins that have not announced themselves in the server's log (loadgen_vllm/messages.py, `announce`)."""
    return tuple(name for name in plugins if f"loadgen plug-in {name} is in use" not in log)
