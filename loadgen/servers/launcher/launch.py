"""What is to be started, resolved to the last flag. Pure data; a profile is one source of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from loadgen.load.spec import Endpoint
from loadgen.servers.redaction import secrets_of, shown, without

LaunchKind = Literal["local", "compose", "simulator", "external"]


@dataclass(frozen=True, slots=True)
class Launch:
    """One server to start, or with `kind` external, to look at.

    `argv` is the whole command line, its program first, and empty for an external server; `environment` holds additions to
    ours. `model` is what requests name, `model_source` what the engine loads: an id or a path;
    dummy `weights` are made up, of the same shapes. `gpus` 0 is a server that needs
    none. `stop_grace_s` is how long a server may take to end by itself. `api_key_env` names the variable that holds the key, where the server wants one. `cleanup` is
    a command to call when the server has ended, `plugins` are those of loadgen that the server has to announce in its log, `files` are paths and texts to write before it starts. `resolved` are further facts for the
    record, and nothing here reads them.
    """

    profile_name: str
    kind: LaunchKind
    argv: tuple[str, ...]
    url: str
    model: str
    environment: Mapping[str, str] = field(default_factory=dict)
    engine: str = "vllm"
    model_source: str | None = None
    weights: Literal["real", "dummy"] = "real"
    revision: str | None = None
    endpoint: Endpoint = "completions"
    readiness_timeout_s: float = 900.0
    stop_grace_s: float = 20.0
    gpus: int = 0
    api_key_env: str | None = None
    cleanup: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    resolved: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Equal for equal launches. It is one-way: an argument may be a secret."""
        pairs = [sorted(self.environment.items()), sorted(self.files.items())]
        what = [self.profile_name, self.kind, self.argv, self.url, self.model, *pairs]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    @property
    def shown_environment(self) -> dict[str, str]:
        """The additions to the environment, secrets hidden."""
        return dict(shown(self.environment))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be repeated of the command line, the environment and the files."""
        return tuple(secrets_of([*self.argv])) + tuple(secrets_of([self.environment, *self.files.values()]))

    def without_secrets(self, text: str) -> str:
        """What the server or its log says, as it may be shown."""
        return without(text, self.secrets)
