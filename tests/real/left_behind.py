"""A command with a state and a database of its own: how it ended, and what it left."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from loadgen.errors import LoadgenError
from loadgen.servers.launcher.processes import table
from loadgen.servers.launcher.state import ServerState, read_state
from loadgen.store.repository import Store

MEASURED = (0, 3)  # whether a small run on a busy machine is valid is not the question of these tests


def database(folder: Path) -> str:
    """The URL of the database in a folder."""
    return f"sqlite:///{folder / 'loadgen.db'}"


def finished_runs(database_url: str) -> int:
    """How many runs are stored so far; 0 while there is no database."""
    try:
        with Store.open(database_url, read_only=True) as store:
            return sum(sweep.runs for sweep in store.sweeps())
    except LoadgenError:
        return 0


def wait_until(condition: Callable[[], object], process: "subprocess.Popen[str]", limit_s: float = 180.0) -> None:
    """Until it holds; fails when the command ends or the limit passes first."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.1)


def ended(process: "subprocess.Popen[str]", *codes: int) -> str:
    """What a command said on stderr; it must have ended with one of these exit codes."""
    _, said = process.communicate(timeout=400)
    assert process.returncode in codes, said
    return said


def server_in(folder: Path) -> ServerState:
    """The server on record in a folder."""
    state = read_state(folder)
    assert state is not None
    return state


def in_group_of(state: ServerState) -> list[int]:
    """The living processes of the server's process group, and of its family."""
    grouped = {one.pid for one in table().values() if one.group == state.supervisor}
    return sorted(grouped | {one.pid for one in state.family()})
