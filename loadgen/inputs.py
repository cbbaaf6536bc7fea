"""What users write, in flags and in YAML files, and where each value stands, so that a message can name it as it was written.

A value inside others is named by the keys that lead to it with dots between, such as `needs.gpus`;
a number stands for a place in a list, counted from 0.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

import loadgen
from loadgen.errors import UsageError, broken_rule, hint

_MAX_SHOWN_CHARACTERS = 100
_MAX_LEVELS_IN_C = 1_000  # libyaml's recursion ends the process when the stack is full, at more than 20,000 in 8 MiB
_MAY_BE_SECRET = ("header", "url", "api_key_env")  # whose values are not repeated in a message

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line of a file, counted from 1."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{shown_path(self.path)} line {self.line}"


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of every key that came from a file. Others came from flags, or must come from `file` where that is named."""

    places: Mapping[str, FileLine] = field(default_factory=dict)
    file: Path | None = None  # that alone can say the keys; None: a flag can as well

    def name(self, key: str) -> str:
        """`--input-tokens`, or `'input_tokens' in sweep.yaml line 3`; of a key that a file lacks, `'url' in it.yaml`."""
        if key in self.places:
            return f"'{key}' in {self.places[key]}"
        if self.file is not None:
            return f"'{key}' in {shown_path(self.file)}"
        return f"--{key.replace('_', '-')}"

    def without(self, keys: Collection[str]) -> "Origin":
        """The same, but for top-level keys that came from elsewhere after all."""
        kept = {key: place for key, place in self.places.items() if key.split(".")[0] not in keys}
        return Origin(kept, self.file)

    def under(self, key: str) -> "Origin":
        """The origin of what the mapping at `key` holds, by the names that it has there."""
        start = f"{key}."
        inner = {name.removeprefix(start): place for name, place in self.places.items() if name.startswith(start)}
        return Origin(inner, self.file)

    def validated(self, model: type[Model], values: Mapping[str, object]) -> Model:
        """`values` as `model`, or a UsageError of one sentence about the first thing that is wrong."""
        try:
            return model.model_validate(values)
        except ValidationError as failure:
            errors = failure.errors(include_url=False)
        # A misspelt key explains a missing one, so it is told first.
        error = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
        tagged = tuple(str(step) for step in error["loc"])
        steps = self._without_tags(tagged)
        key = self._nearest_known(steps)
        match error["type"]:
            case "extra_forbidden":
                raise UsageError(self._unknown(".".join(steps), _keys_at(model, tagged[:-1])))
            case "union_tag_invalid" | "union_tag_not_found":
                raise UsageError(self._untagged(key, error.get("ctx", {})))
            case "missing":
                raise UsageError(self._missing(model, steps))
            case "value_error":
                raise UsageError(f"{self.name(key)} {broken_rule(error)}")
        is_told = error["type"].endswith("too_short") or (steps and steps[0] in _MAY_BE_SECRET)
        shown = "" if is_told else f", not {_cut(error['input'])}"
        raise UsageError(f"{self.name(key)} {broken_rule(error)}{shown}")

    def _without_tags(self, steps: tuple[str, ...]) -> tuple[str, ...]:
        """The keys on the way to a value, as its file has them: without the kinds of mappings that pydantic puts between."""
        kept: tuple[str, ...] = steps[:1]
        for step in steps[1:-1]:
            start = ".".join((*kept, step))
            if not self.places or step.isdigit() or any(f"{key}.".startswith(f"{start}.") for key in self.places):
                kept += (step,)
        return kept + steps[1:][-1:]

    def _untagged(self, key: str, context: Mapping[str, object]) -> str:
        """That a mapping does not say which kind it is, or says one that does not exist."""
        tag = str(context.get("discriminator", "")).strip("'")
        if "tag" not in context:
            return f"{self.name(key)} lacks '{tag}'"
        known = str(context["expected_tags"]).replace("'", "").split(", ")
        return f"{self.name(f'{key}.{tag}')} is '{context['tag']}'; {hint(str(context['tag']), known)}"

    def _nearest_known(self, steps: tuple[str, ...]) -> str:
        """The innermost key on the way to the value whose place is known; else the outermost one."""
        for end in range(len(steps), 0, -1):
            if (key := ".".join(steps[:end])) in self.places:
                return key
        return steps[0] if steps else ""

    def _missing(self, model: type[BaseModel], steps: tuple[str, ...]) -> str:
        if len(steps) > 1:
            return f"{self.name(self._nearest_known(steps))} lacks '{steps[-1]}'"
        description = model.model_fields[steps[0]].description
        return f"{self.name(steps[0])} is missing" + (f"; {description}" if description else "")

    def _unknown(self, key: str, known: list[str]) -> str:
        if key not in self.places and self.file is None:
            return f"no such option: {self.name(key)}"
        last = key.split(".")[-1].replace("-", "_")
        return f"unknown key {self.name(key)}; {hint(last, known, kind='keys')}"


def _cut(value: object) -> str:
    try:
        text = str(value)
    except ValueError:  # of thousands of digits
        return "such a long number"
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"


def _keys_at(model: type[BaseModel], steps: tuple[str, ...]) -> list[str]:
    """The keys of the model that stands at `steps` inside of `model`, inherited ones last."""
    annotation: object = model
    for step in steps:
        if step in model.model_fields:
            annotation = model.model_fields[step].annotation
            model = _model_in(annotation) or model
        else:
            model = _model_of(annotation, step) or model
    return sorted(model.model_fields, key=lambda field: field not in model.__annotations__)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation such as `list[Model] | None` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _model_of(annotation: object, tag: str) -> type[BaseModel] | None:
    """The model of an annotation such as `A | B` that has a field which may only be the tag."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        is_it = any(get_args(field.annotation) == (tag,) for field in annotation.model_fields.values())
        return annotation if is_it else None
    return next((found for part in get_args(annotation) if (found := _model_of(part, tag))), None)


def shown_path(path: Path) -> str:
    """Return a path as messages have it: from the working directory if it lies there, else as it was given."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """YAML files of one `kind` that are found by name: in a `folder` of the working directory first, then in loadgen's own.

    `listing` is the command that lists them.
    """

    folder: str
    kind: str
    listing: str

    def folders(self) -> tuple[Path, ...]:
        """Where they are looked for."""
        package = Path(loadgen.__file__).parent
        installed = package / self.folder
        shipped = installed if installed.is_dir() else package.parent / self.folder
        return tuple(dict.fromkeys((Path.cwd() / self.folder, shipped)))

    def names(self) -> tuple[str, ...]:
        """Those of all files, in order."""
        return tuple(sorted({path.stem for folder in self.folders() for path in folder.glob("*.yaml")}))

    def path_of(self, name_or_path: str, *, meant: str | None = None, known: Callable[[], Iterable[str]]) -> Path:
        """Return the file of a name, or a path as it is. Raises UsageError for a name without a file.

        `meant`: another spelling of the name to find what resembles it in `known`.
        """
        if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
            return Path(name_or_path)
        candidates = [folder / f"{name_or_path}.yaml" for folder in self.folders()]
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            to_do = hint(meant or name_or_path, known(), otherwise=f"`{self.listing}` shows those that exist")
            raise UsageError(f"there is no {self.kind} '{name_or_path}'; {to_do}")
        return found


def read_yaml(path: Path, kind: str, *, example: str) -> tuple[dict[str, object], dict[str, FileLine]]:
    """(the mapping in `path`, the place of every key in it at any depth, as `Origin` names it, with dots between).

    `kind` is what messages call the file, `example` a line such as it might have. null is None.
    Raises UsageError for a file that cannot be read, is not YAML, is not a mapping, or says a key twice.
    """
    shown = shown_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the {kind} {shown}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the {kind} {shown} is not text in UTF-8") from error
    try:
        document = deepcopy(_parsed(text))
    except yaml.MarkedYAMLError as error:
        where = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{shown}{where} is not YAML: {error.problem or error.context}") from error
    except RecursionError as error:
        raise UsageError(f"{shown} nests too deeply to be read; write it with fewer levels") from error
    except (yaml.YAMLError, ValueError) as error:
        what, _, _ = " ".join(str(error).split()).partition("; use sys.")  # Python's advice to programmers
        raise UsageError(f"{shown} is not YAML: {what}") from error
    if document is None:
        raise UsageError(f"{shown} is empty; write keys into it, such as '{example}'")
    if not document.is_mapping:
        raise UsageError(f"{shown} must be a mapping of keys like '{example}'")
    lines: dict[str, int] = {}
    for key, line in document.keys:
        if key in lines:
            raise UsageError(f"{shown} says '{key}' twice, in lines {lines[key]} and {line}")
        lines[key] = line
    places = {key: FileLine(path, line) for key, line in lines.items()}
    return {str(key): value for key, value in document.values.items()}, places


@dataclass(frozen=True, slots=True)
class _Document:
    """What a text holds, and each key in it at any depth with its line; of no mapping, the rest is empty."""

    is_mapping: bool
    values: dict[object, object]
    keys: tuple[tuple[str, int], ...]


@lru_cache(maxsize=128)
def _parsed(text: str) -> _Document | None:
    """Return the document of a YAML text; None: it holds none. A profile that many others extend is parsed once."""
    loader = _loader(text)
    root = loader.get_single_node()
    if root is None:
        return None
    values = loader.construct_document(root)
    if not isinstance(root, yaml.MappingNode):
        return _Document(False, {}, ())
    return _Document(True, values, tuple(_keys(root, "", set())))


def _loader(text: str) -> "yaml.SafeLoader | yaml.CSafeLoader":
    """Return libyaml's loader, ten times as fast, for a text that cannot nest too deeply for its recursion in C."""
    levels = text.count("[") + text.count("{") + max(map(len, text.splitlines()), default=0)
    if levels > _MAX_LEVELS_IN_C or not yaml.__with_libyaml__:
        return yaml.SafeLoader(text)
    return yaml.CSafeLoader(text)


def _keys(node: yaml.Node, start: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Each key below `node`, and its line. What an alias repeats is gone through once, where it is written."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = f"{start}{key_node.value}"
            yield key, key_node.start_mark.line + 1
            yield from _keys(value_node, f"{key}.", seen)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _keys(item, f"{start}{position}.", seen)
