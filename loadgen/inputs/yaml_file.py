"""A YAML file that is a mapping: its values, and the line of every key in it at any depth."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from loadgen.errors import UsageError
from loadgen.inputs.origin import FileLine


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a file says. `places` has the keys as `Origin` names them, with dots between."""

    path: Path
    values: dict[str, object]  # null is None
    places: dict[str, FileLine]


def read_yaml(path: Path, kind: str, *, example: str) -> YamlFile:
    """The mapping in `path`; `kind` is what messages call the file, `example` a line such as it might have.

    Raises UsageError for a file that cannot be read, is not YAML, is not a mapping, or says a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the {kind} {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the {kind} {path} is not text in UTF-8") from error
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        values = {} if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        where = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{path.name}{where} is not YAML: {error.problem or error.context}") from error
    except RecursionError as error:
        raise UsageError(f"{path.name} nests too deeply to be read; write it with fewer levels") from error
    except (yaml.YAMLError, ValueError) as error:
        what, _, _ = " ".join(str(error).split()).partition("; use sys.")  # Python's advice to programmers
        raise UsageError(f"{path.name} is not YAML: {what}") from error
    if root is None:
        raise UsageError(f"{path.name} is empty; write keys into it, such as '{example}'")
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(f"{path.name} must be a mapping of keys like '{example}'")
    lines: dict[str, int] = {}
    for key, line in _keys(root, "", set()):
        if key in lines:
            raise UsageError(f"{path.name} says '{key}' twice, in lines {lines[key]} and {line}")
        lines[key] = line
    places = {key: FileLine(path, line) for key, line in lines.items()}
    return YamlFile(path, {str(key): value for key, value in values.items()}, places)


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
