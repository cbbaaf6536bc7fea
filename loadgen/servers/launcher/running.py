"""Which server is running: the one that `serve up` started, as long as its main process lives."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loadgen.load.spec import Endpoint
from loadgen.servers.http_client import Headers
from loadgen.servers.launcher.processes import Process, strays
from loadgen.servers.launcher.state import ServerState, read_state, state_folder

ServerStatus = Literal["none", "starting", "running", "ended", "broken"]
"""`broken`: the server is gone, or its start was, and processes of it are left."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that was found to answer when it was started. `facts` are the run document's `launch`."""

    profile: str
    url: str
    model: str
    endpoint: Endpoint
    api_key_env: str | None
    started_at: str
    log: Path | None
    facts: Mapping[str, Any]

    def to_json(self) -> dict[str, object]:
        """What it adds to the run document's `server`."""
        return {"profile": self.profile, "launch": self.facts}


def running_server(folder: Path | None = None) -> RunningServer | None:
    """The server that `serve up` or `serve run` has made ready, in this user's state folder; None when there is none."""
    state = read_state(folder or state_folder())
    if state is None or status_of(state) != "running":
        return None
    return as_running(state)


def status_of(state: ServerState) -> ServerStatus:
    """How the server of a state stands at this moment, whatever the state says: its supervisor may have been killed."""
    if state.is_external:
        return "ended" if state.phase == "ended" else "running"
    family = {one.pid for one in state.family()}
    if not family:
        return "ended"
    if state.supervisor in family and state.phase == "starting":
        return "starting"
    return "running" if state.phase == "ready" and state.server in family else "broken"


def unrecorded(folder: Path, state: ServerState | None) -> list[Process]:
    """The living processes of a server that the state of this folder does not tell of: it is lost, garbled or another server's."""
    if state is not None and not state.is_external and status_of(state) != "ended":
        return []
    return strays(folder)


def as_running(state: ServerState) -> RunningServer:
    """The server of a state, taken to be running."""
    return RunningServer(
        profile=state.profile,
        url=state.url,
        model=state.model,
        endpoint="chat" if state.endpoint == "chat" else "completions",
        api_key_env=state.facts.get("api_key_env"),
        started_at=state.started_at,
        log=None if state.log is None else Path(state.log),
        facts=state.facts,
    )


def key_headers(api_key_env: str | None) -> Headers:
    """The header that carries the key of the environment variable of this name; none where there is none."""
    key = os.environ.get(api_key_env) if api_key_env else None
    return (("Authorization", f"Bearer {key}"),) if key else ()
