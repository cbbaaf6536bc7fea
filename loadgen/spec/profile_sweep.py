"""The sweep that a server profile comes with, and what is asked otherwise."""

from collections.abc import Mapping

from loadgen.errors import UsageError
from loadgen.inputs import Origin
from loadgen.servers.profiles.profile_file import ProfileFile
from loadgen.servers.profiles.schema import ServerProfile
from loadgen.spec.parse import make_spec
from loadgen.spec.sweep_spec import LOADS, SweepSpec

_OF_A_LOAD = ("arrivals", "burstiness", "ramp_to", "ramp_strategy", "max_in_flight", "time_scale")
# What a key that is asked for takes the place of in a profile's grid, beside its own: the two would exclude each other.
_TAKES_THE_PLACE_OF: dict[str, tuple[str, ...]] = {
    **{key: (*LOADS, *_OF_A_LOAD, *load.excluded) for key, load in LOADS.items()},
    "requests": ("duration_s",),
    "duration_s": ("requests",),
    "dataset": ("input_tokens",),
}


def profile_sweep(file: ProfileFile, url: str | None = None) -> SweepSpec:
    """The default grid of a profile, over the server at `url` or where the profile says that it will be.

    Raises UsageError, with file and line, where the grid cannot be measured.
    """
    return make_spec(_of_the_server(file.profile, url) | file.profile.sweep, file.origin.under("sweep"))


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
        "url": url or profile.base_url,
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
