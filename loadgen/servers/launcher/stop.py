"""End the running server for certain, whoever started it and whatever became of its supervisor."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from loadgen.errors import ServerError
from loadgen.servers.launcher.processes import LOOK_AGAIN_S, end, is_alive, strays
from loadgen.servers.launcher.state import (
    CLEANUP_LIMIT_S,
    ServerState,
    read_state,
    state_folder,
    status_of,
    write_state,
    writing,
)

_REST_S = 30.0  # what a supervisor takes beyond the server's own grace
_STRAY_GRACE_S = 20.0  # of a server whose own is not known


@dataclass(frozen=True, slots=True)
class Stopped:
    """What `stop` found: the profile of the server, None when none was running; an external one is only forgotten."""

    profile: str | None
    was_external: bool = False
    strays: int = 0  # processes of a server that is not on record, found by their mark and ended


def stop(folder: Path | None = None) -> Stopped:
    """End the server and all its processes, gracefully first; nothing happens when none is running.

    Raises ServerError when something of it cannot be ended.
    """
    folder = folder or state_folder()
    state = read_state(folder)
    if state is None or status_of(state) == "ended":
        return _stop_strays(folder)
    if state.is_external:
        with writing(folder):
            write_state(folder, state.with_end("asked"))
        return replace(_stop_strays(folder), profile=state.profile, was_external=True)
    _ask_supervisor(state)
    if not end(state.family, grace_s=state.grace_s):
        left = ", ".join(str(one.pid) for one in state.family())
        raise ServerError(f"{state.profile} does not end: the kernel keeps its processes {left}")
    after = read_state(folder)
    if after is None or after.phase != "ended":  # its supervisor had been killed
        _clean_up(state)
        with writing(folder):
            write_state(folder, state.with_end("asked"))
    return Stopped(state.profile)


def _stop_strays(folder: Path) -> Stopped:
    """End what a lost or garbled state does not tell of."""
    found = strays(folder)
    if found and not end(lambda: strays(folder), grace_s=_STRAY_GRACE_S):
        left = ", ".join(str(one.pid) for one in strays(folder))
        raise ServerError(f"a server that is not on record does not end: the kernel keeps its processes {left}")
    return Stopped(None, strays=len(found))


def _ask_supervisor(state: ServerState) -> None:
    """Have the supervisor end its server, and wait for both."""
    if not is_alive(state.supervisor, state.supervisor_started):
        return
    with suppress(ProcessLookupError):
        os.kill(state.supervisor, signal.SIGTERM)
    limit_s = state.grace_s + _REST_S + (CLEANUP_LIMIT_S if state.cleanup else 0)
    deadline = time.monotonic() + limit_s
    while is_alive(state.supervisor, state.supervisor_started) and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN_S)


def _clean_up(state: ServerState) -> None:
    if state.cleanup:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(state.cleanup, capture_output=True, timeout=CLEANUP_LIMIT_S, check=False)
