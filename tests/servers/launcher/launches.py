"""Launches of fake servers and of the simulator, and looking for what is left of them."""

import re
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.processes import process
from loadgen.servers.launcher.state import ServerState, read_state

FAKE = Path(__file__).with_name("fake_server.py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_program(path: Path, text: str) -> Path:
    """Write an executable file."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def fake_launch(*behaviour: str, timeout_s: float = 20.0, grace_s: float = 5.0, port: int | None = None) -> Launch:
    port = port or free_port()
    words = [sys.executable, str(FAKE), "serve", "fake", "--port", str(port)]
    for name in behaviour:
        words += ["--behaviour", name]
    return Launch(
        profile_name="fake",
        kind="local",
        argv=tuple(words),
        url=f"http://127.0.0.1:{port}",
        model="fake",
        readiness_timeout_s=timeout_s,
        stop_grace_s=grace_s,
    )


def simulator_launch() -> Launch:
    port = free_port()
    words = (
        sys.executable,
        "-m",
        "loadgen.cli",
        "simulate",
        "--port",
        str(port),
        "--ttft-s",
        "0.005",
        "--gap-s",
        "0.001",
    )
    launch = fake_launch(port=port)
    return replace(launch, profile_name="sim", kind="simulator", argv=words, model="simulated-moe")


def state_in(folder: Path) -> ServerState:
    state = read_state(folder)
    assert state is not None
    return state


def wait_for(condition: Callable[[], object], limit_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    found = process(pid)
    return found is None or found.is_zombie


def grandchild_of(state: ServerState) -> int:
    assert state.log is not None
    match = re.search(r"grandchild (\d+)", Path(state.log).read_text())
    assert match is not None
    return int(match[1])
