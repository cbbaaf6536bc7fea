"""`loadgen sweep` on a real vLLM that loadgen has started: its death in the middle, and going on after it."""

import os
import signal
from pathlib import Path

import pytest

from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow
from tests.real.command import Command
from tests.real.left_behind import MEASURED, database, ended, finished_runs, in_group_of, server_in, wait_until
from tests.real.vllm_server import free_port

pytestmark = pytest.mark.vllm

REPEATS = 4
LONG = ("--concurrency", "2", "--input-tokens", "32", "--output-tokens", "128", "--requests", "8")
SWEEP = ("sweep", *LONG, "--repeats", str(REPEATS))


def only_sweep(tmp_path: Path) -> SweepRow:
    with Store.open(database(tmp_path), read_only=True) as store:
        (sweep,) = store.sweeps()
        return sweep


def test_a_server_killed_in_a_sweep_is_started_again_to_finish_it(command: Command, tmp_path: Path) -> None:
    ended(command("serve", "up", "tiny-mixtral", "--port", str(free_port())), 0)
    before = server_in(tmp_path)
    assert len(in_group_of(before)) >= 2
    sweep = command(*SWEEP)
    wait_until(lambda: finished_runs(database(tmp_path)) >= 2, sweep)
    os.killpg(before.supervisor, signal.SIGKILL)  # its supervisor and all of it, as nobody but the kernel would
    said = ended(sweep, 5)
    assert "repeat the command with --resume, which starts it again" in said
    stopped = only_sweep(tmp_path)
    assert stopped.status == "failed"
    assert 2 <= stopped.runs < REPEATS
    assert in_group_of(before) == []

    went_on = ended(command(*SWEEP, "--resume"), *MEASURED)
    assert "tiny-mixtral with port" in went_on
    after = server_in(tmp_path)
    assert after.supervisor != before.supervisor
    assert in_group_of(after) == []
    sweep_row = only_sweep(tmp_path)
    assert (sweep_row.status, sweep_row.runs) == ("finished", REPEATS)
    with Store.open(database(tmp_path), read_only=True) as store:
        runs = store.runs(sweep_row.sweep_id)
    assert {run["outcomes"]["ok"] for run in runs} == {8}
    assert len({run["server"]["launch"]["started_at"] for run in runs}) == 2
    for run in runs:
        launch = run["server"]["launch"]
        assert (run["server"]["profile"], launch["engine"], launch["weights"]) == ("tiny-mixtral", "vLLM", "real")
