"""From flags and a YAML file to a checked `SweepSpec`. Nothing here contacts a server."""

from collections.abc import Mapping
from pathlib import Path

from loadgen.errors import UsageError
from loadgen.inputs import Origin, read_yaml
from loadgen.servers.server_url import endpoint_named, normalise_url
from loadgen.spec.checks import check
from loadgen.spec.sweep_spec import SIMULATOR, SIMULATOR_MODEL, SweepSpec

SERVERS = ("url", "profile", "matrix")
"""The keys of which one says where to measure."""


def read_keys(flags: Mapping[str, object], path: Path | None = None) -> tuple[dict[str, object], Origin]:
    """What these flags say and, where they are silent, the file; and where each key came from. Raises UsageError.

    A flag that says where to measure goes before all that the file says of that.
    """
    if path is None:
        return dict(flags), Origin()
    values, places = read_yaml(path, "spec file", example="url: http://127.0.0.1:8000")
    elsewhere = {key for key in SERVERS if key in flags}
    said = {key: value for key, value in values.items() if value is not None and not (elsewhere and key in SERVERS)}
    if elsewhere and "url" in values and "url" not in elsewhere:
        said.pop("model", None)  # which was that server's
    return {**said, **flags}, Origin(places).without(flags)


def make_spec(values: Mapping[str, object], origin: Origin) -> SweepSpec:
    """A checked SweepSpec. `values` by key, as given; `origin` knows where each came from, for the messages.

    Raises UsageError, one sentence, for whatever cannot be carried out.
    """
    values = dict(values)
    for key, value in values.items():
        if isinstance(value, bool) and key != "insecure":  # which would pass for 1 or 0
            raise UsageError(f"{origin.name(key)} must not be {str(value).lower()}")
    if values.get("url") == SIMULATOR:
        values.setdefault("model", SIMULATOR_MODEL)
    url = values.get("url")
    if "endpoint" not in values and isinstance(url, str):
        named = endpoint_named(url)
        values |= {} if named is None else {"endpoint": named}
    spec = origin.validated(SweepSpec, values)
    check(spec, origin)
    if spec.is_simulated:
        return spec
    return spec.model_copy(update={"url": normalise_url(spec.url)})
