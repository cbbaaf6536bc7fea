"""The models of the study, as the real figures of their configurations: `configs/NAME.json`, each with its sources.

Imports errors alone. A file holds the model's id, its `config.json` cut down to the keys that matter here, the counts that
its card gives, and where each figure was seen. A figure that could not be verified is left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from loadgen.errors import ModelError
from loadgen.moe.architecture import Architecture
from loadgen.moe.families import architecture

_CONFIGS = resources.files(__package__) / "configs"


@dataclass(frozen=True, slots=True)
class Model:
    """A model by the short name that profiles and studies use."""

    name: str
    id: str  # at Hugging Face
    revision: str | None  # of the configuration; None where nobody noted it
    card_total: str  # as its makers round it, such as 46.7B
    card_active: str
    sources: tuple[str, ...]
    notes: tuple[str, ...]
    architecture: Architecture


def model_names() -> tuple[str, ...]:
    return tuple(sorted(file.name.removesuffix(".json") for file in _CONFIGS.iterdir() if file.name.endswith(".json")))


@cache
def model(name: str) -> Model:
    """One model. ModelError: no such name."""
    if name not in model_names():
        raise ModelError(f"There is no model {name!r}; there are {', '.join(model_names())}.")
    said: Mapping[str, object] = json.loads((_CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    return _model(name, said)


def _model(name: str, said: Mapping[str, object]) -> Model:
    card, sources, notes, config = said["card"], said["sources"], said.get("notes", []), said["config"]
    assert isinstance(card, dict)
    assert isinstance(sources, list)
    assert isinstance(notes, list)
    assert isinstance(config, dict)
    revision = said["revision"]
    return Model(
        name=name,
        id=str(said["model"]),
        revision=None if revision is None else str(revision),
        card_total=card["total"],
        card_active=card["active"],
        sources=tuple(sources),
        notes=tuple(notes),
        architecture=architecture(config),
    )
