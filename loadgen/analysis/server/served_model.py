"""Which model a server on record ran, on which accelerators and laid out how: what its roofline needs.

Known of servers that loadgen started, or predicted: their arguments are in the run document.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from loadgen.analysis.document.server import LaunchDocument
from loadgen.analysis.server.served_gpus import ServedRun, gpu_count, gpu_names
from loadgen.errors import ModelError, UsageError
from loadgen.moe.families import architecture
from loadgen.moe.hardware import Hardware, hardware
from loadgen.moe.models import configuration
from loadgen.moe.parameters import distinct_experts_of_made_up, expected_distinct_experts
from loadgen.moe.roofline import Roofline
from loadgen.moe.step_work import Precisions
from loadgen.servers.profiles.flag_syntax import canonical
from loadgen.servers.profiles.layout import UNIFORM_ROUTING, layout, overrides
from loadgen.servers.profiles.subject import known_ids


@dataclass(frozen=True)
class ServedModel:
    """A model on its accelerators. `roofline` is that of their datasheet's rates, without overheads."""

    roofline: Roofline
    has_draft: bool  # speculative decoding: a token is not a step


def served_model(run: ServedRun) -> ServedModel | None:
    """What the server of a run document served; None if the model, its precision or the accelerators are unknown."""
    launch = run["server"].get("launch")
    if not launch or launch.get("arguments") is None:
        return None
    on = _accelerator(run)
    name = launch.get("architecture") or known_ids().get(str(launch.get("model_source")))
    if on is None or name is None:
        return None
    said = {key: value for key, value in launch["arguments"].items() if value is not None}
    found = _served(str(name), json.dumps(said, sort_keys=True, default=str), on.name, _chosen_by_made_up(launch))
    return found if found is not None and found.roofline.parallelism.gpus == gpu_count(run) else None


def _accelerator(run: ServedRun) -> Hardware | None:
    """The one kind of accelerator that the server ran on; None if it is unknown, or there are several."""
    names = set(gpu_names(run) or ())
    if len(names) != 1:
        return None
    try:
        return hardware(names.pop())
    except UsageError:
        return None


def _chosen_by_made_up(launch: LaunchDocument) -> bool:
    """Whether routers with made-up weights chose the experts."""
    variables: Mapping[str, object] = launch.get("environment") or {}
    is_made_up = "dummy" in (launch.get("weights"), (launch.get("arguments") or {}).get("load-format"))
    return is_made_up and not UNIFORM_ROUTING.items() <= variables.items()


@lru_cache(maxsize=256)
def _served(name: str, arguments: str, on: str, chosen_by_made_up: bool) -> ServedModel | None:
    """`arguments` are JSON, by flag."""
    given = json.loads(arguments)
    try:
        found = layout(given)
        if found.precision is None:
            return None
        served = architecture(configuration(name, overrides(given)))
        chosen = distinct_experts_of_made_up(served) if chosen_by_made_up else expected_distinct_experts
        roofline = Roofline(
            served,
            hardware(on),
            parallelism=found.parallelism,
            precisions=Precisions(found.precision, found.kv_precision),
            distinct_experts=chosen,
        )
    except ModelError:  # a model of a later version, or a layout that this version does not know
        return None
    return ServedModel(roofline, has_draft=canonical(given).get("speculative-config") is not None)
