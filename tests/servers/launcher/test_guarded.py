"""Tools that are run by loadgen: how they end, and that none outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from loadgen.errors import UsageError
from loadgen.servers.launcher import guarded

pytestmark = pytest.mark.loopback

FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open("pids.part", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename("pids.part", "pids")
time.sleep(60)
"""

LOADGEN = """
import os, sys, time
from pathlib import Path
from loadgen.servers.launcher import guarded
folder = Path(sys.argv[1])
with open(folder / "log", "wb") as log, guarded.running([sys.executable, "-c", sys.argv[2]], folder, os.environ, log):
    time.sleep(60)
"""


def run(folder: Path, code: str) -> int:
    with (
        (folder / "log").open("wb") as log,
        guarded.running([sys.executable, "-c", code], folder, os.environ, log) as process,
    ):
        return process.wait(20)


def pids(folder: Path) -> list[int]:
    """Those of a tool and its child, once both run."""
    deadline_s = time.monotonic() + 20
    while not (folder / "pids").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def await_end(numbers: list[int]) -> None:
    deadline_s = time.monotonic() + 20
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in numbers):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("code", "status"),
    [("", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 11)", -signal.SIGSEGV)],
)
def test_the_exit_code_is_the_tools(tmp_path: Path, code: str, status: int) -> None:
    assert run(tmp_path, code) == status


def test_what_it_prints_is_in_its_log_and_it_runs_in_its_folder(tmp_path: Path) -> None:
    run(tmp_path, "import os, sys; print(os.getcwd(), flush=True); print('told', file=sys.stderr)")
    assert (tmp_path / "log").read_text() == f"{tmp_path}\ntold\n"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("wb") as log,
        pytest.raises(UsageError, match="no-such-tool cannot be started: No such file or directory; check where"),
        guarded.running(["no-such-tool"], tmp_path, os.environ, log),
    ):
        pass


def test_its_children_end_with_the_block(tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("wb") as log,
        guarded.running([sys.executable, "-c", FAMILY], tmp_path, os.environ, log),
    ):
        family = pids(tmp_path)
    await_end(family)


def test_it_ends_with_a_loadgen_that_is_killed(tmp_path: Path) -> None:
    loadgen = subprocess.Popen([sys.executable, "-c", LOADGEN, str(tmp_path), FAMILY])
    family = pids(tmp_path)
    loadgen.kill()
    loadgen.wait(20)
    await_end(family)
