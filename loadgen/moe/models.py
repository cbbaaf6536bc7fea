"""The models of the study, as the real figures of their configurations: `configs/NAME.json`, each with its sources.

A file holds the model's id, its `config.json` cut down to the keys that matter here, the counts that
its card gives, and where each figure was seen. A figure that could not be verified is left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NotRequired

from typing_extensions import TypedDict

from loadgen.errors import ModelError, hint
from loadgen.moe.architecture import Architecture
from loadgen.moe.families import architecture

_CONFIGS = resources.files(__package__) / "configs"


@dataclass(frozen=True, slots=True)
class Model:
    """A model by the short name that profiles and studies use."""

    name: str
    id: str  # at Hugging Face
    variants: tuple[str, ...]  # ids of other checkpoints of the same configuration and precision, such as tuned ones
    revision: str | None  # of the configuration; None where nobody noted it
    card_total: str  # as its makers round it, such as 46.7B
    card_active: str
    sources: tuple[str, ...]
    notes: tuple[str, ...]
    architecture: Architecture


class Card(TypedDict):
    """Parameters by the model's card, in its words."""

    total: str
    active: str


class ModelFile(TypedDict):
    """One file of configs/."""

    model: str  # its id
    revision: str | None
    variants: NotRequired[list[str]]
    card: Card
    sources: list[str]
    notes: NotRequired[list[str]]
    config: dict[str, object]


def model_names() -> tuple[str, ...]:
    return tuple(sorted(file.name.removesuffix(".json") for file in _CONFIGS.iterdir() if file.name.endswith(".json")))


@cache
def model(name: str) -> Model:
    """One model. ModelError: no such name."""
    return _model(name, _read(name))


def known_as(name: str) -> str:
    """Return our name of a model that is named by it, by an id of the hub or by the folder of one; else the last part of the name."""
    last = name.rstrip("/").rsplit("/", 1)[-1].lower()
    for ours in model_names():
        ids = (model(ours).id, *model(ours).variants)
        if last in {ours, *(each.rsplit("/", 1)[-1].lower() for each in ids)}:
            return ours
    return last


def configuration(name: str, changes: Mapping[str, object]) -> Mapping[str, object]:
    """The model's configuration, cut down to what matters here, with other values for some keys, as vLLM's `--hf-overrides` has them.

    ModelError: no such name.
    """
    return overlaid(_read(name)["config"], changes)


def overlaid(config: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """`config` with these changes: mappings key by key at any depth, as for the language model's part of a multimodal configuration."""
    changed = dict(config)
    for key, value in changes.items():
        inner = changed.get(key)
        changed[key] = overlaid(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return changed


def _read(name: str) -> ModelFile:
    if name not in model_names():
        raise ModelError(f"there is no model '{name}'; {hint(name, model_names(), kind='models')}")
    file: ModelFile = json.loads((_CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    return file


def _model(name: str, file: ModelFile) -> Model:
    return Model(
        name=name,
        id=file["model"],
        variants=tuple(file.get("variants", ())),
        revision=file["revision"],
        card_total=file["card"]["total"],
        card_active=file["card"]["active"],
        sources=tuple(file["sources"]),
        notes=tuple(file.get("notes", ())),
        architecture=architecture(file["config"]),
    )
