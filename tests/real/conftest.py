"""Servers for the tests of this room, and the installed `loadgen` command."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.servers.launcher.stop import stop
from tests.real.command import Command, Loadgen, loadgen_command
from tests.real.left_behind import database
from tests.real.vllm_server import MODELS, ROOT, RealServer, serving, skip_without_vllm


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """One server of tiny Mixtral for every test that leaves it alive."""
    with serving(MODELS[0], tmp_path_factory.mktemp("vllm") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def counting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """One server of the trained Mixtral that counts its experts, in 32 bits: in 16 some scores of experts are equal."""
    folder = tmp_path_factory.mktemp("vllm") / "counting"
    with serving("trained-mixtral", folder, plugins=("expert-counts",), dtype="float32") as server:
        yield server


@pytest.fixture(scope="session")
def loadgen() -> Loadgen:
    """Run the installed command to its end; its output is captured."""

    def run(*arguments: str, limit_s: float = 180.0) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if name != "LOADGEN_DB"}
        command = loadgen_command(*arguments)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False)

    return run


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """Start `loadgen …` with a state and a database of the test's own, from where the tiny profiles find engine and model."""
    skip_without_vllm()

    def start(*arguments: str) -> "subprocess.Popen[str]":
        environment = os.environ | {"LOADGEN_STATE_DIR": str(tmp_path), "LOADGEN_DB": database(tmp_path)}
        words = loadgen_command(*arguments)
        return subprocess.Popen(
            words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    yield start
    stop(tmp_path)
