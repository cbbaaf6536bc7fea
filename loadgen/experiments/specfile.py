"""A sweep's YAML file: its keys and the line of each, and the flags that go before them. Imports `spec` and `inputs`."""

from collections.abc import Mapping
from pathlib import Path

from loadgen.experiments.spec import SweepSpec, make_spec
from loadgen.inputs.origin import Origin
from loadgen.inputs.yaml_file import read_yaml


def read_spec(flags: Mapping[str, object], path: Path | None = None) -> SweepSpec:
    """The spec of these flags and, where they are silent, of the file. Raises UsageError."""
    if path is None:
        return make_spec(flags, Origin())
    file = read_yaml(path, "spec file", example="url: http://127.0.0.1:8000")
    said = {key: value for key, value in file.values.items() if value is not None}
    return make_spec({**said, **flags}, Origin(file.places).without(flags))
