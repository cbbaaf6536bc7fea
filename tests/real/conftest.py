"""Servers for the tests of this room, and the installed `loadgen` command."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.command import Loadgen, loadgen_command
from tests.real.vllm_server import MODELS, RealServer, serving


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """One server of tiny Mixtral for every test that leaves it alive."""
    with serving(MODELS[0], tmp_path_factory.mktemp("vllm") / "server") as server:
        yield server


@pytest.fixture
def doomed_server(tmp_path: Path) -> Iterator[RealServer]:
    """A server of the test's own, to kill."""
    with serving(MODELS[0], tmp_path / "server") as server:
        yield server


@pytest.fixture(scope="session")
def loadgen() -> Loadgen:
    """Run the installed command to its end; its output is captured."""

    def run(*arguments: str, limit_s: float = 180.0) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if name != "LOADGEN_DB"}
        command = loadgen_command(*arguments)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False)

    return run
