"""A sweep's YAML file: its keys and the line of each, and the flags that go before them. Imports `spec` and `errors`."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from loadgen.errors import UsageError
from loadgen.experiments.origin import Origin
from loadgen.experiments.spec import SweepSpec, make_spec


def read_spec(flags: Mapping[str, object], path: Path | None = None) -> SweepSpec:
    """The spec of these flags and, where they are silent, of the file. Raises UsageError."""
    values, origin = read_spec_file(path) if path is not None else ({}, Origin())
    lines = {key: line for key, line in origin.lines.items() if key not in flags}
    return make_spec({**values, **flags}, Origin(origin.path, lines))


def read_spec_file(path: Path) -> tuple[dict[str, object], Origin]:
    """The mapping in `path` and where its keys stand.

    Raises UsageError for a file that cannot be read, is not YAML, is not a mapping, or says a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the spec file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the spec file {path} is not text in UTF-8") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        where = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{path.name}{where} is not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from error
    if root is None:
        raise UsageError(f"{path.name} is empty; write keys like 'url', 'model' and 'concurrency' into it")
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(f"{path.name} must be a mapping of keys like 'url: http://127.0.0.1:8000'")
    lines: dict[str, int] = {}
    for key_node, _ in root.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in lines:
            raise UsageError(f"{path.name} says '{key}' twice, in lines {lines[key]} and {line}")
        lines[key] = line
    return {str(key): value for key, value in values.items() if value is not None}, Origin(path, lines)
