"""A server profile and what one start changes of it: what a sweep runs on, and how that becomes a launch, also again later."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from loadgen.errors import ModelError, UsageError
from loadgen.servers.launcher.compose import PORT_INSIDE, in_container, release
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.state import ServerState
from loadgen.servers.profiles.checks import gpus_of
from loadgen.servers.profiles.command import arguments, argv, environment
from loadgen.servers.profiles.flag_syntax import changed, flat, short_name, without
from loadgen.servers.profiles.plugins import found_by_vllm
from loadgen.servers.profiles.profile_file import ProfileFile, read_profile
from loadgen.servers.profiles.schema import ServerProfile, fits
from loadgen.servers.profiles.vllm_parser import python_of
from loadgen.servers.redaction import HIDDEN, shown, shown_words

OURS = {"host": "the profile's host", "port": "--port", "served-model-name": "the profile's served_model_name"}
"""Arguments that are not to be overridden, and what says them."""

_SOURCE = "profile_source"
_PRUNING_FILE = "pruning.json"  # loadgen/checkpoints/card.py writes it
_LIMIT_S = 120.0  # `vllm --version` imports all of torch
_ASK = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"


def find_program(name: str) -> Path | None:
    """An executable by its path, or by its name on PATH; absolute, links kept (a virtual environment's python is one)."""
    found = shutil.which(name)
    return Path(found).absolute() if found else None


def release_of(program: Path, distribution: str) -> str | None:
    """The release of the package that a program belongs to, such as `0.32.0+cpu`; None where it does not tell.

    A script of a Python environment is answered by that Python, in a tenth of a second; anything else is asked `--version`.
    """
    python = python_of(program)
    if os.access(python, os.X_OK) and (answer := _output_of([str(python), "-c", _ASK, distribution])):
        return answer.strip()
    match = re.search(r"\d+(?:\.\d+)+\S*", _output_of([str(program), "--version"]) or "")
    return match[0] if match else None


def _output_of(command: list[str]) -> str | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout


@dataclass(frozen=True, slots=True)
class Overrides:
    """What one start changes of its profile; recorded with the server."""

    port: int | None = None
    model: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)  # keys of mappings dotted; None takes one away
    plugins: tuple[str, ...] = ()  # of loadgen in vLLM, besides the profile's

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
        found = {
            "port": self.port,
            "model": self.model,
            "arguments": arguments or None,
            "plugins": list(self.plugins) or None,
        }
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Overrides":
        """The inverse of `to_json`, but for what that hides."""
        plugins = tuple(document.get("plugins") or ())
        return cls(document.get("port"), document.get("model"), document.get("arguments") or {}, plugins)

    @property
    def label(self) -> str:
        """To stand behind the profile's name: ` with max-num-seqs 64 without enforce-eager`; empty where nothing is changed."""
        told = self.to_json()
        told.pop("arguments", None)
        told |= {"plugins": ",".join(self.plugins)} if self.plugins else {}
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
        words = argv(inside, found)
        resolved |= {"container_argv": shown_words(words)}
        return in_container(
            _launch(resulting, (), {}, resolved), words, environment(resulting, found), port=resulting.port
        )
    words = argv(resulting, found)
    program = find_program(words[0])
    words[0] = str(program) if program else words[0]
    additions = environment(resulting, found)
    if resulting.plugins:
        additions |= found_by_vllm(additions)
    return _launch(resulting, tuple(words), additions, resolved)


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
        plugins=profile.plugins,
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
    if added := tuple(name for name in overrides.plugins if name not in profile.plugins):
        _check_takes_plugins(profile)
        update["plugins"] = (*profile.plugins, *added)
    return _with_gpus(profile, profile.model_copy(update=update))


def _check_takes_plugins(profile: ServerProfile) -> None:
    """Raise UsageError for a server into which loadgen cannot put a plug-in."""
    if profile.launcher != "local" or profile.engine != "vllm":
        raise UsageError(
            f"profile '{profile.name}' takes no plug-in: only a vLLM that loadgen starts on this host does"
        )


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
    facts = {
        "arguments": shown(given),
        "overrides": overrides.to_json(),
        "installed_release": found,
        "architecture": profile.architecture,
    }
    facts |= {"plugins": list(profile.plugins)} if profile.plugins else {}
    return facts | ({} if (pruned := _pruned(profile.model)) is None else {"pruned": pruned.model_dump()})


class _PruningCard(BaseModel):
    """What the record needs of the `pruning.json` that `loadgen moe prune` writes."""

    source: str
    kind: str
    ratio: float
    rule: str


def _pruned(model: str) -> _PruningCard | None:
    """How the model in the folder `model` was pruned; None for an id, a folder without the file, or a file that cannot be read."""
    try:
        return _PruningCard.model_validate_json((Path(model) / _PRUNING_FILE).read_bytes())
    except (OSError, ValueError):
        return None


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
    # A date is meant as text.
    return name, read if isinstance(read, bool | int | float | str | list | dict | None) else value


@dataclass(frozen=True, slots=True)
class Variant:
    """`source` finds the profile again: its name, or the path of its file."""

    file: ProfileFile
    source: str
    overrides: Overrides

    @classmethod
    def of(cls, name_or_path: str, overrides: Overrides | None = None) -> "Variant":
        """The variant of a profile by name or path. Raises UsageError."""
        file = read_profile(name_or_path)
        is_path = name_or_path != file.profile.name
        source = str(Path(name_or_path).absolute()) if is_path else name_or_path
        return cls(file, source, overrides or Overrides())

    @classmethod
    def of_running(cls, server: ServerState) -> "Variant":
        """What a running server is a variant of. Raises UsageError when its profile is not there any more."""
        source = server.facts.get(_SOURCE) or server.profile
        return cls.of(source, Overrides.from_json(server.facts.get("overrides") or {}))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Variant":
        """The inverse of `to_json`; other keys are ignored. Raises UsageError when the profile is not there any more."""
        source = document.get(_SOURCE) or document["profile"]
        return cls.of(source, Overrides.from_json(document.get("overrides") or {}))

    def to_json(self) -> dict[str, object]:
        """What the record of a sweep keeps of it."""
        found: dict[str, object] = {"profile": self.name}
        if self.source != self.name:
            found[_SOURCE] = self.source
        if changed := self.overrides.to_json():
            found["overrides"] = changed
        return found

    @property
    def identity(self) -> dict[str, object]:
        """What two variants have in common only if they are the same: the profile by name, and what is changed of it."""
        return {"profile": self.name, "overrides": self.overrides.to_json()}

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def profile(self) -> ServerProfile:
        """The profile as its file says it, nothing changed."""
        return self.file.profile

    def with_plugin(self, name: str) -> "Variant":
        """The same with one of loadgen's plug-ins, unless the profile has it already."""
        if name in self.profile.plugins or name in self.overrides.plugins:
            return self
        return replace(self, overrides=replace(self.overrides, plugins=(*self.overrides.plugins, name)))

    @property
    def served(self) -> ProfileFile:
        """The profile as it is served: with what is changed of it, and the GPUs that this takes. Raises UsageError."""
        return replace(self.file, profile=changed_profile(self.profile, self.overrides))

    @property
    def label(self) -> str:
        """`olmoe-tp1`, or `olmoe-tp1 with max-num-seqs 64 without enable-chunked-prefill`."""
        return self.name + self.overrides.label

    @property
    def url(self) -> str:
        port = self.overrides.port
        return self.profile.base_url if port is None else f"http://{self.profile.host}:{port}"

    @property
    def has_secrets(self) -> bool:
        """Whether a value is not on record because it was a key or token, so that nobody can start the server again from there."""
        return HIDDEN in json.dumps(dict(self.overrides.arguments), ensure_ascii=False)

    def is_of(self, server: ServerState) -> bool:
        """Whether a running server was started as this variant."""
        started = Overrides.from_json(server.facts.get("overrides") or {})  # which may be of an older record
        return server.profile == self.name and started.to_json() == self.overrides.to_json()

    def launch(self) -> Launch:
        """How to start it on this machine. Raises UsageError where that cannot be."""
        launch = launch_of(self.profile, self.overrides)
        if self.source == self.name:
            return launch
        return replace(launch, resolved={**launch.resolved, _SOURCE: self.source})
