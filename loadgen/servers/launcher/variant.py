"""A server profile and what one start changes of it: what a sweep runs on, and how that is started again later."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loadgen.servers.launcher.from_profile import Overrides, changed_profile, launch_of
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.running import RunningServer
from loadgen.servers.profiles.profile_file import ProfileFile, read_profile
from loadgen.servers.profiles.schema import ServerProfile
from loadgen.servers.redaction import HIDDEN

_SOURCE = "profile_source"


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
    def of_running(cls, server: RunningServer) -> "Variant":
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
        """The profile's."""
        return self.profile.name

    @property
    def profile(self) -> ServerProfile:
        """The profile as its file says it, nothing changed."""
        return self.file.profile

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
        """Where the server is to be."""
        port = self.overrides.port
        return self.profile.base_url if port is None else f"http://{self.profile.host}:{port}"

    @property
    def has_secrets(self) -> bool:
        """Whether a value is not on record because it was a key or token, so that nobody can start the server again from there."""
        return HIDDEN in json.dumps(dict(self.overrides.arguments), ensure_ascii=False)

    def is_of(self, server: RunningServer) -> bool:
        """Whether a running server was started as this variant."""
        return server.profile == self.name and _as_now(server.facts.get("overrides")) == self.overrides.to_json()

    def launch(self) -> Launch:
        """How to start it on this machine. Raises UsageError where that cannot be."""
        launch = launch_of(self.profile, self.overrides)
        if self.source == self.name:
            return launch
        return replace(launch, resolved={**launch.resolved, _SOURCE: self.source})


def _as_now(overrides: Mapping[str, Any] | None) -> dict[str, object]:
    """What an older record says is changed, as it would be recorded today."""
    return Overrides.from_json(overrides or {}).to_json()
