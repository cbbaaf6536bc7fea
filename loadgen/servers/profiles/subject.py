"""The model that a profile serves: its architecture, and whether the name given for it is one that there is.

Looks at the working directory for models that are folders.
"""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from loadgen.errors import ModelError
from loadgen.inputs import Origin
from loadgen.moe.architecture import Architecture
from loadgen.moe.context import Context, context
from loadgen.moe.families import architecture
from loadgen.moe.models import configuration, model, model_names, overridden
from loadgen.servers.profiles.layout import overrides
from loadgen.servers.profiles.schema import Argument, ServerProfile


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
    changes = overrides(arguments)
    name = profile.architecture or known_ids().get(profile.model)
    if name is not None:
        return overridden(name, changes) if changes else model(name).architecture
    folder = folder_of(profile.model)
    return None if folder is None else _read(folder, changes)


def context_of(profile: ServerProfile, arguments: Mapping[str, Argument]) -> Context | None:
    """The lengths that the model's own configuration allows; None where it is not known. ModelError for an unknown name."""
    changes = overrides(arguments)
    name = profile.architecture or known_ids().get(profile.model)
    if name is not None:
        return context(configuration(name, changes))
    folder = folder_of(profile.model)
    said = None if folder is None else _configuration(folder)
    return None if said is None else context({**said, **changes})


def draft_of(name: str) -> Architecture | None:
    """The architecture of a draft model by its id or folder; None where nobody knows."""
    known = known_ids().get(name)
    if known is not None:
        return model(known).architecture
    folder = folder_of(name)
    return None if folder is None else _read(folder, {})


def wrong_model(profile: ServerProfile, origin: Origin) -> str | None:
    """Why the name of the model cannot be right; None where it may be."""
    if profile.architecture is None:
        return _nearly_known(profile.model, origin.name("model"))
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


def wrong_draft(name: str, origin: Origin) -> str | None:
    """The same of the model that drafts."""
    if folder_of(name) is not None:
        return None
    return _nearly_known(name, origin.name("arguments.speculative-config.model"))


def _nearly_known(name: str, told: str) -> str | None:
    known = known_ids()
    if name in known or is_path(name) or folder_of(name) is not None:
        return None
    near = get_close_matches(name, known, n=1, cutoff=0.9)
    return f"{told} is '{name}', which is not known; did you mean '{near[0]}'?" if near else None


def _other_than(expected: Architecture, folder: Path, name: str, origin: Origin) -> str | None:
    found = _read(folder, {})
    if found is None:
        return None
    facts = ("family", "layers", "hidden_size", "experts", "dense_ffn_size", "attention")
    different = next((fact for fact in facts if getattr(found, fact) != getattr(expected, fact)), None)
    if different is None:
        return None
    return (
        f"{origin.name('model')} is {folder}, whose configuration is not that of {name}: its {different} is "
        f"{getattr(found, different)}, not {getattr(expected, different)}"
    )


def _read(folder: Path, changes: Mapping[str, object]) -> Architecture | None:
    """The architecture that a folder's config.json describes; None where it has none."""
    said = _configuration(folder)
    return None if said is None else architecture({**said, **changes})


def _configuration(folder: Path) -> Mapping[str, object] | None:
    """The config.json of a folder; None where it has none that can be read."""
    path = folder / "config.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(said, dict):
        raise ModelError(f"{path} is not a model's configuration.")
    return said
