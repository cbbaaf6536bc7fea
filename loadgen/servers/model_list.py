"""A list of models as servers write it: OpenAI's, a bare array, Ollama's, or names alone. Pure.

An entry that is none is skipped. No list at all is None, which is not an empty list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadgen.errors import hint, nearest

MAX_MODELS = 100_000
_LISTS = ("data", "models")
_NAMES = ("id", "name", "model")


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One entry. `owner` is empty where the server names none; `max_model_len` is in tokens."""

    name: str
    owner: str = ""
    max_model_len: int | None = None


def read_models(document: Any) -> tuple[ListedModel, ...] | None:
    """The models in a JSON document, None if it holds no list of them."""
    found = document
    if isinstance(document, dict):
        found = next((document[key] for key in _LISTS if isinstance(document.get(key), list)), None)
    if not isinstance(found, list):
        return None
    models = (_model(entry) for entry in found[:MAX_MODELS])
    unique = {model.name: model for model in reversed([each for each in models if each is not None])}
    return tuple(reversed(unique.values()))


def names_shown(names: tuple[str, ...]) -> str:
    """The first few names, quoted, and how many more there are."""
    shown = ", ".join(f"'{name[:100]}'" for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?`, or nothing when none of the first 2,000 known names resembles `name`."""
    near = nearest(name, known[:2000])
    return "" if near is None else f"; {hint(name, [near])}"


def _model(entry: Any) -> ListedModel | None:
    if isinstance(entry, str):
        return ListedModel(entry) if entry else None
    if not isinstance(entry, dict):
        return None
    name = next((entry[key] for key in _NAMES if isinstance(entry.get(key), str) and entry[key]), None)
    if name is None:
        return None
    owner, length = entry.get("owned_by"), entry.get("max_model_len")
    is_length = isinstance(length, int) and not isinstance(length, bool) and length > 0
    return ListedModel(name, owner if isinstance(owner, str) else "", length if is_length else None)
