"""From flags, a YAML file and a server profile to a checked `SweepSpec`. Nothing here contacts a server."""

from collections.abc import Mapping
from pathlib import Path

from loadgen.errors import UsageError
from loadgen.inputs import Origin, read_yaml
from loadgen.servers.profiles.profile_file import ProfileFile
from loadgen.servers.profiles.schema import ServerProfile
from loadgen.servers.server_url import endpoint_named, normalise_url
from loadgen.spec.checks import check
from loadgen.spec.sweep_spec import LOADS, SIMULATOR, SIMULATOR_MODEL, SweepSpec

SERVERS = ("url", "profile", "matrix")
"""The keys of which one says where to measure."""

_OF_A_LOAD = ("arrivals", "burstiness", "ramp_to", "ramp_strategy", "max_in_flight", "time_scale")
# What a key that is asked for takes the place of in a profile's grid, beside its own: the two would exclude each other.
_TAKES_THE_PLACE_OF: dict[str, tuple[str, ...]] = {
    **{key: (*LOADS, *_OF_A_LOAD, *load.excluded) for key, load in LOADS.items()},
    "requests": ("duration_s",),
    "duration_s": ("requests",),
    "dataset": ("input_tokens", "lengths"),
    "lengths": ("input_tokens", "output_tokens"),
    "input_tokens": ("lengths",),
    "output_tokens": ("lengths",),
}


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
        if isinstance(value, bool) and key not in ("insecure", "experts"):  # which would pass for 1 or 0
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


def profile_sweep(file: ProfileFile) -> SweepSpec:
    """The default grid of a profile. Raises UsageError, with file and line, where it cannot be measured."""
    return make_spec(
        _of_the_server(file.profile, file.profile.base_url) | file.profile.sweep, file.origin.under("sweep")
    )


def sweep_on(
    file: ProfileFile, url: str, asked: Mapping[str, object], origin: Origin, *, takes_grid: bool = True
) -> SweepSpec:
    """What is `asked`, by keys of a spec, over the server at `url` of the profile, and where that is silent the profile's grid.

    `origin` knows where what is asked came from. Raises UsageError.
    """
    profile = file.profile
    replaced = {key for given in asked for key in (given, *_TAKES_THE_PLACE_OF.get(given, ()))}
    grid = {key: value for key, value in profile.sweep.items() if takes_grid and key not in replaced}
    of_grid = {name: place for name, place in file.origin.under("sweep").places.items() if name.split(".")[0] in grid}
    places = {**of_grid, **origin.places}
    spec = make_spec({**_of_the_server(profile, url), **grid, **asked}, Origin(places))
    lacking = [name for name in profile.header_names if name.lower() not in {each.lower() for each in spec.header}]
    if lacking:
        raise UsageError(
            f"the server of {profile.name} wants the header {lacking[0]}; give it with --header {lacking[0]}=VALUE"
        )
    return spec


def _of_the_server(profile: ServerProfile, url: str | None) -> dict[str, object]:
    """The keys of a spec that say where the server is and how it wants to be asked."""
    values: dict[str, object] = {
        "url": url,
        "model": profile.request_model,
        "endpoint": profile.endpoint,
    }
    if profile.api_key_env is not None:
        values |= {"api_key_env": profile.api_key_env}
    if profile.limits is not None:
        values |= profile.limits.model_dump(exclude_none=True)
    if profile.price is not None:
        price = profile.price.model_dump(exclude_none=True)
        if profile.needs is not None and "usd_per_gpu_hour" in price:
            price |= {"gpus": max(1, profile.needs.gpus)}
        values |= {"price": price}
    return values
