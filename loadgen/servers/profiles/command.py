"""From a profile to the command that starts its server."""

import json
import sys
from collections.abc import Mapping
from functools import reduce

from loadgen.errors import UsageError
from loadgen.servers.profiles.plugins import plugin_arguments, plugin_environment
from loadgen.servers.profiles.schema import Argument, ForReleases, ServerProfile, fits, merged

NO_COMMAND = ("external",)  # launchers that start nothing
_SIMULATOR = (sys.executable, "-m", "loadgen.cli", "simulate")


def arguments(profile: ServerProfile, release: str | None = None) -> dict[str, Argument]:
    """The flags for this release of the engine, and their values, those of plug-ins too. `release` None: without what `for_releases` changes."""
    own = merged(plugin_arguments(profile.plugins), profile.arguments)
    return reduce(merged, (special.arguments for special in _special(profile, release)), own)


def environment(profile: ServerProfile, release: str | None = None) -> dict[str, str]:
    """The variables to add to our own for this release of the engine, those of plug-ins too."""
    own = merged(plugin_environment(profile.plugins), profile.environment)
    return reduce(merged, (special.environment for special in _special(profile, release)), own)


def argv(profile: ServerProfile, release: str | None = None) -> list[str]:
    """The command: executable first, then what it is to do. UsageError for a profile whose server is not ours to start."""
    if profile.unservable is not None:
        raise UsageError(f"profile '{profile.name}' cannot be served: {profile.unservable}")
    if profile.launcher in NO_COMMAND:
        raise UsageError(f"profile '{profile.name}' is of a server at {profile.url} that loadgen does not start")
    flags = flag_words(arguments(profile, release))
    where = ["--host", profile.host, "--port", str(profile.port)]
    if profile.launcher == "simulator":
        return [*_SIMULATOR, *where, "--model", profile.request_model, *flags]
    served = [] if profile.served_model_name is None else ["--served-model-name", profile.served_model_name]
    revision = [] if profile.revision is None else ["--revision", profile.revision]
    return [profile.executable or "vllm", "serve", profile.model, *served, *revision, *where, *flags]


def flag_words(flags: Mapping[str, Argument]) -> list[str]:
    words: list[str] = []
    for name, value in flags.items():
        match value:
            case bool():
                words.append(f"--{name}" if value else f"--no-{name}")
            case list():
                words += [f"--{name}", *map(str, value)] if value else []
            case dict():
                words += [f"--{name}", json.dumps(value, separators=(",", ":"))]
            case str() if value.startswith("-"):  # which would look like a flag
                words.append(f"--{name}={value}")
            case _:
                words += [f"--{name}", str(value)]
    return words


def _special(profile: ServerProfile, release: str | None) -> tuple[ForReleases, ...]:
    return tuple(special for special in profile.for_releases if release is not None and fits(release, special.releases))
