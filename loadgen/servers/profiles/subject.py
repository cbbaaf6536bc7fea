"""The model that a profile serves: its architecture, its longest sequence, and whether the name given for it is one that there is.

Looks at the working directory for models that are folders, and at the environment for the permission of longer sequences.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from loadgen.errors import ModelError, hint, nearest
from loadgen.inputs import Origin
from loadgen.moe.architecture import Architecture
from loadgen.moe.context import Context, context
from loadgen.moe.families import architecture
from loadgen.moe.models import configuration, known_as, model, model_names, overlaid
from loadgen.servers.profiles.command import arguments, environment
from loadgen.servers.profiles.layout import layout, overrides
from loadgen.servers.profiles.schema import Argument, ServerProfile

_PERMISSION = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"


def is_path(name: str) -> bool:
    """Whether a model's name can only be that of a folder: hub ids begin with their owner's name."""
    return name.startswith(("/", ".", "~"))


def folder_of(name: str) -> Path | None:
    """The folder of a model that is one here."""
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else None


def known_ids() -> dict[str, str]:
    """The hub's ids of the models whose configurations are known, with our names of them."""
    return {hub_id: name for name in model_names() for hub_id in (model(name).id, *model(name).variants)}


def architecture_of(profile: ServerProfile, arguments: Mapping[str, Argument]) -> Architecture | None:
    """What is served, by the profile's `architecture`, else by the model's id or folder; None where nobody knows.

    ModelError for a name that there is not, and for a configuration that is not understood.
    """
    served = _configuration_of(profile.architecture, profile.model, overrides(arguments))
    return None if served is None else architecture(served)


def known_context(profile: ServerProfile, arguments: Mapping[str, Argument]) -> Context | None:
    """The model's own lengths; None where its configuration is not known or not understood, which other checks say."""
    try:
        served = _configuration_of(profile.architecture, profile.model, overrides(arguments))
    except ModelError:
        return None
    return None if served is None else context(served)


def draft_of(name: str) -> Architecture | None:
    """The architecture of a draft model by its id or folder, or by the name of a folder elsewhere; None where nobody knows."""
    named = known_as(name) if is_path(name) and folder_of(name) is None else None
    served = _configuration_of(named if named in model_names() else None, name, {})
    return None if served is None else architecture(served)


def wrong_model(profile: ServerProfile, origin: Origin) -> str | None:
    """Why the name of the model cannot be right; None where it may be."""
    if profile.architecture is None:
        return nearly_known(profile.model, origin.name("model"))
    named = model(profile.architecture)
    folder = folder_of(profile.model)
    if folder is not None:
        return _other_than(named.architecture, folder, profile.architecture, origin)
    if is_path(profile.model) or profile.model in (named.id, *named.variants):
        return None
    return (
        f"{origin.name('model')} is '{profile.model}', which is neither a folder here nor the id of "
        f"{profile.architecture}: {' or '.join((named.id, *named.variants))}"
    )


def nearly_known(name: str, told: str) -> str | None:
    """Why the name of a model, which `told` says where it stands, is a mistyped id; None where it may be right."""
    known = known_ids()
    if name in known or is_path(name) or folder_of(name) is not None:
        return None
    near = nearest(name, known, similarity=0.9)
    return None if near is None else f"{told} is '{name}', which is not known; {hint(name, [near])}"


def _other_than(expected: Architecture, folder: Path, name: str, origin: Origin) -> str | None:
    said = _configuration(folder)
    if said is None:
        return None
    found = architecture(said)
    facts = ("family", "layers", "hidden_size", "experts", "dense_ffn_size", "attention")
    different = next((fact for fact in facts if getattr(found, fact) != getattr(expected, fact)), None)
    if different is None:
        return None
    return (
        f"{origin.name('model')} is {folder}, whose configuration is not that of {name}: its {different} is "
        f"{getattr(found, different)}, not {getattr(expected, different)}"
    )


def _configuration_of(named: str | None, model_name: str, changes: Mapping[str, object]) -> Mapping[str, object] | None:
    """The configuration of the model that is `named` here, else of its id or folder, with other values for some keys."""
    name = named or known_ids().get(model_name)
    if name is not None:
        return configuration(name, changes)
    folder = folder_of(model_name)
    said = None if folder is None else _configuration(folder)
    return None if said is None else overlaid(said, changes)


def _configuration(folder: Path) -> Mapping[str, object] | None:
    """The config.json of a folder; None where it has none that can be read."""
    path = folder / "config.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(said, dict):
        raise ModelError(f"{path} is not a model's configuration")
    return said


def too_long(profile: ServerProfile, asked: int) -> str | None:
    """Why a request of `asked` tokens, input and output together, is refused; None if it is not, or nothing is known."""
    flags = arguments(profile)
    given = layout(flags).max_model_len
    if given is not None:
        return f"{asked:,} tokens of input and output are more than max-model-len {given:,}" if asked > given else None
    own = known_context(profile, flags)
    if own is None or asked <= own.default:
        return None
    more = "" if own.default == own.most else f", unless max-model-len asks for up to {own.most:,}"
    return (
        f"{asked:,} tokens of input and output are more than the {own.default:,} that the model takes{more} ({own.key})"
    )


def refused_max_model_len(profile: ServerProfile) -> str | None:
    """Why vLLM refuses the max-model-len that is given: it is longer than the model's own; else None."""
    flags = arguments(profile)
    given, own = layout(flags).max_model_len, known_context(profile, flags)
    if given is None or own is None or given <= own.most or _is_permitted(environment(profile)):
        return None
    return (
        f"max-model-len {given:,} is more than the {own.most:,} tokens of the model's own configuration ({own.key}), which "
        f"vLLM refuses; lower it, or set {_PERMISSION}=1 in environment"
    )


def _is_permitted(variables: Mapping[str, str]) -> bool:
    value = variables.get(_PERMISSION, os.environ.get(_PERMISSION, ""))
    return value.strip().lower() in ("1", "true")
