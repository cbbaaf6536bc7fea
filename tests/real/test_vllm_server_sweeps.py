"""`loadgen sweep` on a real vLLM that loadgen has started: its death in the middle, going on after it, and two starts in turn."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadgen.servers.launcher.processes import table
from loadgen.servers.launcher.state import ServerState, read_state
from loadgen.servers.launcher.stop import stop
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow
from tests.real.command import loadgen_command
from tests.real.test_vllm_dies import finished_runs
from tests.real.vllm_server import ROOT, free_port, skip_without_vllm

pytestmark = pytest.mark.vllm

Command = Callable[..., "subprocess.Popen[str]"]
# Whether a small run on a busy machine is valid is not the question here.
MEASURED = (0, 3)
LONG = ("--concurrency", "2", "--input-tokens", "32", "--output-tokens", "256", "--requests", "8", "--repeats", "6")


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


def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'loadgen.db'}"


def ended(process: "subprocess.Popen[str]", *codes: int) -> str:
    """What a command said on stderr; it must have ended with one of these exit codes."""
    _, said = process.communicate(timeout=400)
    assert process.returncode in codes, said
    return said


def server_in(tmp_path: Path) -> ServerState:
    state = read_state(tmp_path)
    assert state is not None
    return state


def only_sweep(tmp_path: Path) -> SweepRow:
    with Store.open(database(tmp_path), read_only=True) as store:
        (sweep,) = store.sweeps()
        return sweep


def in_group_of(state: ServerState) -> list[int]:
    """The living processes of the server's process group, and of its family."""
    grouped = {one.pid for one in table().values() if one.group == state.supervisor}
    return sorted(grouped | {one.pid for one in state.family()})


def test_a_server_killed_in_a_sweep_is_started_again_to_finish_it(command: Command, tmp_path: Path) -> None:
    ended(command("serve", "up", "tiny-mixtral", "--port", str(free_port())), 0)
    before = server_in(tmp_path)
    sweep = command("sweep", *LONG)
    deadline_s = time.monotonic() + 120
    while finished_runs(database(tmp_path)) < 2 and sweep.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.1)
    os.killpg(before.supervisor, signal.SIGKILL)  # its supervisor and all of it, as nobody but the kernel would
    said = ended(sweep, 5)
    assert "repeat the command with --resume, which starts it again" in said
    stopped = only_sweep(tmp_path)
    assert stopped.status == "failed"
    assert 2 <= stopped.runs < 6
    assert in_group_of(before) == []

    went_on = ended(command("sweep", *LONG, "--resume"), *MEASURED)
    assert "tiny-mixtral with port" in went_on
    after = server_in(tmp_path)
    assert after.supervisor != before.supervisor
    assert in_group_of(after) == []
    sweep_row = only_sweep(tmp_path)
    assert (sweep_row.status, sweep_row.runs) == ("finished", 6)
    with Store.open(database(tmp_path), read_only=True) as store:
        runs = store.runs(sweep_row.sweep_id)
    assert {run["outcomes"]["ok"] for run in runs} == {8}
    assert len({run["server"]["launch"]["started_at"] for run in runs}) == 2


@pytest.mark.alone
def test_two_profiles_one_after_the_other(command: Command, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "matrix: {profile: tiny-mixtral, arguments: {max-num-seqs: [1, 64], kv-cache-memory-bytes: [268435456]}}\n"
        "concurrency: 4\ninput_tokens: 32\noutput_tokens: 32\nrequests: 16\n"
    )
    ended(command("sweep", str(spec)), *MEASURED)
    with Store.open(database(tmp_path), read_only=True) as store:
        queued, batched = store.sweeps()[::-1]
        outputs = [store.runs(sweep.sweep_id)[0]["output_tokens_per_s"] for sweep in (queued, batched)]
    assert queued.name == "tiny-mixtral with max-num-seqs 1, kv-cache-memory-bytes 268435456"
    assert queued.group_id == batched.group_id
    assert outputs[0] < outputs[1], "one sequence at a time delivers less than four together"
    assert in_group_of(server_in(tmp_path)) == []
