"""From a profile, and what the command line says otherwise, to a launch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from loadgen.errors import ModelError, UsageError
from loadgen.servers.launcher.compose import PORT_INSIDE, composed, release
from loadgen.servers.launcher.engines import find_program, release_of
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.profiles.checks import gpus_of
from loadgen.servers.profiles.command import arguments, argv, environment
from loadgen.servers.profiles.flag_syntax import changed, flat, short_name, without
from loadgen.servers.profiles.schema import ServerProfile, fits
from loadgen.servers.redaction import shown, shown_words

OURS = {"host": "the profile's host", "port": "--port", "served-model-name": "the profile's served_model_name"}
"""Arguments that are not to be overridden, and what says them."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What one start changes of its profile; recorded with the server."""

    port: int | None = None
    model: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)  # keys of mappings dotted; None takes one away

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", flat(self.arguments))

    @classmethod
    def parse(cls, port: int | None, model: str | None, arguments: Sequence[str]) -> "Overrides":
        """From the command line, each argument a `KEY=VALUE` whose value is read as in a profile. Raises UsageError."""
        given: dict[str, object] = {}
        for text in arguments:
            given |= flat(dict([_argument(text)]))
        return cls(port, model, given)

    def to_json(self) -> dict[str, object]:
        """Only what is changed, keys and tokens hidden."""
        arguments = shown(self.arguments)
        found = {"port": self.port, "model": self.model, "arguments": arguments or None}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Overrides":
        """The inverse of `to_json`, but for what that hides."""
        return cls(document.get("port"), document.get("model"), document.get("arguments") or {})

    @property
    def label(self) -> str:
        """To stand behind the profile's name: ` with max-num-seqs 64 without enforce-eager`; empty where nothing is changed."""
        told = self.to_json()
        told.pop("arguments", None)
        given = dict(shown(self.arguments))
        set_to = ", ".join(
            f"{short_name(name, given)} {_shown(value)}"
            for name, value in {**told, **given}.items()
            if value is not None
        )
        gone = ", ".join(short_name(name, given) for name, value in given.items() if value is None)
        return (f" with {set_to}" if set_to else "") + (f" without {gone}" if gone else "")


def launch_of(profile: ServerProfile, overrides: Overrides | None = None) -> Launch:
    """The launch that a profile stands for on this machine. Raises UsageError when it cannot be carried out here."""
    overrides = overrides or Overrides()
    if profile.abstract:
        raise UsageError(
            f"profile '{profile.name}' is only there to be extended; `loadgen profiles list` shows those to serve"
        )
    if profile.launcher == "external":
        return _external(profile, overrides)
    resulting = changed_profile(profile, overrides)
    found = release() if resulting.launcher == "compose" else _installed_release(resulting)
    if found is not None and resulting.launcher != "simulator" and not fits(found, resulting.releases):
        raise UsageError(
            f"profile '{profile.name}' is for {resulting.engine} {resulting.releases}, and here is {found}; "
            "install another, or name its program with the profile's key 'executable'"
        )
    resolved = _resolved(resulting, overrides, found)
    if resulting.launcher == "compose":
        inside = resulting.model_copy(update={"host": "0.0.0.0", "port": PORT_INSIDE, "executable": None})
        container = composed(resulting.name, argv(inside, found), environment(resulting, found), resulting.port)
        resolved |= {"container_argv": shown_words(argv(inside, found))}
        launch = _launch(resulting, container.argv, container.environment, resolved)
        return replace(launch, cleanup=container.cleanup, files=container.files)
    words = argv(resulting, found)
    program = find_program(words[0])
    words[0] = str(program) if program else words[0]
    return _launch(resulting, tuple(words), environment(resulting, found), resolved)


def _launch(
    profile: ServerProfile, words: tuple[str, ...], additions: dict[str, str], resolved: Mapping[str, Any]
) -> Launch:
    return Launch(
        profile_name=profile.name,
        kind=profile.launcher,
        argv=words,
        url=profile.base_url,
        model=profile.request_model,
        environment=additions,
        engine=profile.engine,
        model_source=None if profile.launcher == "simulator" else profile.model,
        weights="dummy" if resolved["arguments"].get("load-format") == "dummy" else "real",
        revision=profile.revision,
        endpoint=profile.endpoint,
        readiness_timeout_s=profile.readiness.timeout_s,
        gpus=profile.needs.gpus if profile.needs else 0,
        api_key_env=profile.api_key_env,
        resolved=resolved,
    )


def _external(profile: ServerProfile, overrides: Overrides) -> Launch:
    if overrides.to_json():
        raise UsageError(
            f"'{profile.name}' is a server at {profile.base_url} that loadgen does not start; nothing of it can be changed here"
        )
    return _launch(profile, (), {}, _resolved(profile, overrides, None))


def changed_profile(profile: ServerProfile, overrides: Overrides) -> ServerProfile:
    """The profile as one start has it: other arguments, and as many GPUs as these need."""
    update: dict[str, object] = {}
    if overrides.port is not None:
        update["port"] = overrides.port
    if overrides.model is not None:
        # Requests go on to use the profile's name for it, so that results stay comparable.
        update |= {"model": overrides.model, "revision": None, "served_model_name": profile.request_model}
    if overrides.arguments:
        # What differs between releases is overridden as well, or it would come back.
        update["arguments"] = changed(profile.arguments, overrides.arguments)
        update["for_releases"] = tuple(
            special.model_copy(update={"arguments": without(special.arguments, overrides.arguments)})
            for special in profile.for_releases
        )
    return _with_gpus(profile, profile.model_copy(update=update))


def _with_gpus(before: ServerProfile, after: ServerProfile) -> ServerProfile:
    """`after`, with the GPUs over which its arguments spread the model where those of `before` spread it otherwise."""
    needs = after.needs
    if needs is None or not needs.gpus:
        return after
    try:
        spread, before_spread = gpus_of(after), gpus_of(before)
    except ModelError as error:
        raise UsageError(f"profile '{after.name}' cannot be laid out so: {error}") from error
    if spread is None or spread == before_spread:
        return after
    return after.model_copy(update={"needs": needs.model_copy(update={"gpus": spread})})


def _installed_release(profile: ServerProfile) -> str | None:
    if profile.launcher == "simulator":
        return None
    program = find_program(profile.executable or "vllm")
    return release_of(program, "vllm") if program else None


def _resolved(profile: ServerProfile, overrides: Overrides, found: str | None) -> dict[str, object]:
    """What the record says of the profile itself."""
    given = arguments(profile, found)
    return {
        "arguments": shown(given),
        "overrides": overrides.to_json(),
        "installed_release": found,
        "architecture": profile.architecture,
    }


def _shown(value: object) -> str:
    """A value as a flag would have it."""
    return value if isinstance(value, str) else json.dumps(value)


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.removeprefix("--").partition("=")
    name = name.strip()
    if not equals or not name:
        raise UsageError(f"--argument '{text}' is not KEY=VALUE; write it like --argument max-model-len=2048")
    if name.replace("_", "-") in OURS:
        raise UsageError(f"--argument {name} is not the server's to choose; use {OURS[name]}")
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return name, value
    return name, read if isinstance(
        read, bool | int | float | str | list | dict | None
    ) else value  # a date is meant as text
