"""The command line in this process and in one of its own, a quick simulator, and a sweep on record."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadgen.cli.app import main
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from tests.forked_programs import ForkedProgram


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def measured(self) -> bool:
        """It measured and saved its runs; a busy host may have made one of them invalid."""
        return self.code in (0, 3)

    @property
    def json(self) -> Any:
        """Its standard output, which must be JSON and nothing else."""
        return json.loads(self.out)


def codes(document: Any) -> set[str]:
    """The codes of a run's findings."""
    return {finding["code"] for finding in document["verdict"]["findings"]}


Cli = Callable[..., Said]
VARIABLES = ("LOADGEN_DB", "NO_COLOR", "COLUMNS", "FORCE_COLOR")


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test in a directory of its own, with an environment that decides nothing, and where no server is running."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOADGEN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))  # beyond which no database is looked for
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process."""

    def run(*arguments: str) -> Said:
        capfd.readouterr()
        code = main(arguments)
        said = capfd.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorProcess]:
    """A quick server that every test may use."""
    with SimulatorProcess(SimulatorOptions(ttft_s=0.005, gap_s=0.001, max_model_len=4096)) as process:
        yield process


def run_in(folder: Path, *arguments: str) -> Said:
    """Run a command in a process of its own, for what several tests look at."""
    environment = {**os.environ, "LOADGEN_STATE_DIR": str(folder / "state"), "HOME": str(folder)}
    for name in VARIABLES:
        environment.pop(name, None)
    command = [sys.executable, "-m", "loadgen.cli", *arguments]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return Said(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="session")
def point(simulator: SimulatorProcess) -> tuple[str, ...]:
    """Flags of a small load point on it."""
    server = ("--url", simulator.url, "--model", "simulated-moe", "--concurrency", "2")
    return (*server, "--input-tokens", "8", "--output-tokens", "8", "--requests", "8")


@pytest.fixture
def start() -> Iterator[Callable[..., ForkedProgram]]:
    """Start a command in a process of its own, ended with the test."""
    started: list[ForkedProgram] = []

    def begin(*arguments: str) -> ForkedProgram:
        started.append(ForkedProgram("command", arguments))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.close()
