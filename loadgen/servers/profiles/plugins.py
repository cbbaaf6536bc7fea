"""The plug-ins that a profile may ask for: changes of vLLM that come with loadgen, in loadgen/vllm_plugin.

What asks for one are variables and arguments of the server. They lie below the profile's own, which therefore win.
A started vLLM finds the folder by its environment, and announces in its log what took effect.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import loadgen
from loadgen.servers.model_list import did_you_mean
from loadgen.servers.profiles.schema import Argument


@dataclass(frozen=True, slots=True)
class Plugin:
    """The variables and arguments that turn one plug-in on."""

    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, Argument] = field(default_factory=dict)


EXPERT_COUNTS = "expert-counts"

PLUGINS: Mapping[str, Plugin] = {
    "expert-loop": Plugin({"LOADGEN_VLLM_EXPERTS": "loop"}),
    "expert-gather": Plugin({"LOADGEN_VLLM_EXPERTS": "gather"}, {"enforce-eager": True}),
    "untuned-kernels": Plugin({"LOADGEN_VLLM_KERNELS": "untuned"}, {"moe-backend": "triton"}),
    EXPERT_COUNTS: Plugin({"VLLM_SERVER_DEV_MODE": "1"}, {"worker-extension-cls": "loadgen_vllm.expert_tap.ExpertTap"}),
}
"""By the name in a profile. docs/servers.md lists them too."""


def plugin_environment(names: Sequence[str]) -> dict[str, str]:
    """The variables of these plug-ins. KeyError for a name that there is not."""
    return {key: value for name in names for key, value in PLUGINS[name].environment.items()}


def plugin_arguments(names: Sequence[str]) -> dict[str, Argument]:
    """The arguments of these plug-ins. KeyError for a name that there is not."""
    return {key: value for name in names for key, value in PLUGINS[name].arguments.items()}


def wrong_plugins(names: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with a list of plug-ins, each to follow the name of the key: unknown ones, and two that exclude each other."""
    setting: dict[str, tuple[str, str]] = {}
    for name in names:
        if name not in PLUGINS:
            yield f"names '{name}', which is no plug-in of loadgen{did_you_mean(name, list(PLUGINS))}"
            continue
        for variable, value in PLUGINS[name].environment.items():
            other, before = setting.setdefault(variable, (name, value))
            if before != value:
                yield f"has '{other}' and '{name}', which exclude each other; keep one"


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
