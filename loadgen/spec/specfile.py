"""A sweep's YAML file: its keys and the line of each, and the flags that go before them. Imports `inputs`."""

from collections.abc import Mapping
from pathlib import Path

from loadgen.inputs.origin import Origin
from loadgen.inputs.yaml_file import read_yaml

SERVERS = ("url", "profile", "matrix")
"""The keys of which one says where to measure."""


def read_keys(flags: Mapping[str, object], path: Path | None = None) -> tuple[dict[str, object], Origin]:
    """What these flags say and, where they are silent, the file; and where each key came from. Raises UsageError.

    A flag that says where to measure goes before all that the file says of that.
    """
    if path is None:
        return dict(flags), Origin()
    file = read_yaml(path, "spec file", example="url: http://127.0.0.1:8000")
    elsewhere = {key for key in SERVERS if key in flags}
    said = {
        key: value for key, value in file.values.items() if value is not None and not (elsewhere and key in SERVERS)
    }
    if elsewhere and "url" in file.values and "url" not in elsewhere:
        said.pop("model", None)  # which was that server's
    return {**said, **flags}, Origin(file.places).without(flags)
