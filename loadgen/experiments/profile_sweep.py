"""The sweep that a server profile comes with. Imports `servers.profiles`, `spec` and `errors`."""

from loadgen.experiments.spec import SweepSpec, make_spec
from loadgen.servers.profiles.reading import ProfileFile


def profile_sweep(file: ProfileFile, url: str | None = None) -> SweepSpec:
    """The default grid of a profile, over the server at `url` or where the profile says that it will be.

    Raises UsageError, with file and line, where the grid cannot be measured.
    """
    profile = file.profile
    values: dict[str, object] = {
        "url": url or profile.base_url,
        "model": profile.request_model,
        "endpoint": profile.endpoint,
    }
    if profile.api_key_env is not None:
        values["api_key_env"] = profile.api_key_env
    if profile.limits is not None:
        values |= profile.limits.model_dump(exclude_none=True)
    return make_spec(values | profile.sweep, file.origin.under("sweep"))
