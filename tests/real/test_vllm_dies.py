"""A real server that is killed in the middle of a sweep costs the run it was in, and nothing that was measured before."""

import subprocess
import time
from pathlib import Path

import pytest

from loadgen.errors import ExitCode, LoadgenError
from loadgen.store.repository import Store
from tests.real.command import loadgen_command
from tests.real.vllm_server import RealServer

pytestmark = pytest.mark.vllm

REQUESTS = 8


def finished_runs(database: str) -> int:
    """How many runs are stored so far; 0 while there is no database."""
    try:
        with Store.open(database, read_only=True) as store:
            return sum(sweep.runs for sweep in store.sweeps())
    except LoadgenError:
        return 0


def test_what_was_measured_before_the_server_died_is_kept(doomed_server: RealServer, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'loadgen.db'}"
    command = loadgen_command(
        *("sweep", "--url", doomed_server.url, "--model", doomed_server.model, "--concurrency", "2"),
        *("--input-tokens", "32", "--output-tokens", "256", "--requests", str(REQUESTS), "--repeats", "40"),
        *("--warmup-requests", "1", "--db", database),
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sweep:
        deadline = time.monotonic() + 120
        while finished_runs(database) < 2 and sweep.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        doomed_server.kill()
        _, messages = sweep.communicate(timeout=60)

    assert sweep.returncode == ExitCode.SERVER_FAILED, messages
    assert "Traceback" not in messages
    with Store.open(database, read_only=True) as store:
        (row,) = store.sweeps()
        runs = store.runs(row.sweep_id)
        assert row.status == "failed"
        assert row.runs < row.planned_runs
        assert [run["outcomes"]["ok"] for run in runs[:2]] == [REQUESTS, REQUESTS]
        assert [len(store.records(run["run_id"])) for run in runs[:2]] == [REQUESTS, REQUESTS]
