"""The plug-ins that a profile may ask for: changes of vLLM that come with loadgen, in loadgen/vllm_plugin.

What asks for one are variables and arguments of the server. They lie below the profile's own, which therefore win.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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
