"""What is left of a sweep that is killed, interrupted, or loses its server; and how it goes on."""

import signal
import sqlite3
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from loadgen.engine.records.record import MISSING, Outcome
from loadgen.errors import StoreError
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.telemetry import parse
from loadgen.store.repository import Store
from tests.cli.conftest import Cli
from tests.cli.sweeps.on_record import count_of_runs
from tests.forked_programs import ForkedProgram

pytestmark = pytest.mark.loopback

DB = "sqlite:///loadgen.db"
LIMIT_S = 60.0
Start = Callable[..., ForkedProgram]


def wait_until(condition: Callable[[], bool], process: ForkedProgram) -> None:
    """Until it holds; fails when the command ends or the limit passes first."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def stored_runs() -> list[dict[str, Any]]:
    try:
        with Store.open(DB, read_only=True) as store:
            return [document for sweep in store.sweeps() for document in store.runs(sweep.sweep_id)]
    except StoreError:
        return []  # the command has not made it yet


def sent_and_cut(document: dict[str, Any]) -> int:
    """How many requests of a run went out and did not end by themselves."""
    with Store.open(DB, read_only=True) as store:
        records = store.records(document["run_id"])
    return int(np.count_nonzero((records.sent_ns != MISSING) & (records.outcome == Outcome.CANCELLED)))


def flags(url: str, *more: str) -> tuple[str, ...]:
    server = ("--url", url, "--model", "simulated-moe", "--input-tokens", "8")
    return (*server, "--concurrency", "2", "--warmup-requests", "1", *more)


def metric(simulator: SimulatorProcess, name: str) -> float:
    with urllib.request.urlopen(f"{simulator.url}/metrics") as page:
        return parse(page.read().decode()).get(name, 0.0)


def answered(simulator: SimulatorProcess) -> float:
    return metric(simulator, "vllm:request_success_total")


def running(simulator: SimulatorProcess) -> float:
    return metric(simulator, "vllm:num_requests_running")


def test_killed_and_resumed(cli: Cli, start: Start, simulator: SimulatorProcess) -> None:
    grid = flags(simulator.url, "--output-tokens", "64", "--requests", "12", "--repeats", "5")
    process = start("sweep", *grid)
    wait_until(lambda: count_of_runs() >= 2, process)
    process.kill()
    process.wait()
    assert cli("list", "--json").json["sweeps"][0]["status"] == "stopped"
    assert cli("show", "latest", "--json").json["status"] == "stopped"
    assert "stopped" in cli("list").out
    assert "stopped" in cli("show", "latest").err
    kept = stored_runs()
    assert 2 <= len(kept) < 5
    said = cli("sweep", *grid, "--resume", "--json")
    assert said.measured, said.err
    assert f"{len(kept)} of them finished before" in said.err
    runs = said.json["runs"]
    assert said.json["status"] == "finished"
    assert [run["run_id"] for run in runs[: len(kept)]] == [run["run_id"] for run in kept]
    assert [run["spec"]["seed"] for run in runs] == [0, 1, 2, 3, 4]
    assert len(cli("list", "--json").json["sweeps"]) == 1
    again = cli("sweep", *flags(simulator.url, "--output-tokens", "2", "--requests", "2"), "--resume", "--json")
    assert again.measured, again.err
    assert again.json["sweep_id"] != said.json["sweep_id"]
    assert [run["repeat"] for run in again.json["runs"]] == [0]


def test_a_finished_sweep_is_shown_and_not_measured_again(cli: Cli, simulator: SimulatorProcess) -> None:
    grid = flags(simulator.url, "--output-tokens", "2", "--requests", "4", "--repeats", "2")
    first = cli("sweep", *grid, "--json")
    assert len(first.json["runs"]) == 2
    before = answered(simulator)
    said = cli("sweep", *grid, "--resume", "--json", "-q")
    assert said.err == (
        f"sweep {first.json['sweep_id']} of this grid is finished; nothing to resume "
        "(leave out --resume to measure it again)\n"
    )
    assert said.json == first.json
    assert said.code == first.code
    shown = cli("sweep", *grid, "--resume")
    assert first.json["sweep_id"] in shown.out
    assert answered(simulator) == before
    with sqlite3.connect("loadgen.db") as database:
        database.execute("UPDATE run SET document = json_set(document, '$.verdict.status', 'invalid')")
    database.close()
    assert cli("sweep", *grid, "--resume").code == 3


def test_another_grid_is_not_resumed(cli: Cli, start: Start, simulator: SimulatorProcess) -> None:
    process = start("sweep", *flags(simulator.url, "--output-tokens", "64", "--requests", "12", "--repeats", "3"))
    wait_until(lambda: count_of_runs() >= 1, process)
    process.kill()
    process.wait()
    said = cli("sweep", *flags(simulator.url, "--output-tokens", "2", "--requests", "12"), "--resume", "--json")
    assert "no unfinished sweep of this spec" in said.err
    assert [run["spec"]["output_tokens"] for run in said.json["runs"]] == [2]


def test_a_sweep_that_still_runs_is_not_resumed(cli: Cli, start: Start, simulator: SimulatorProcess) -> None:
    grid = flags(simulator.url, "--output-tokens", "64", "--requests", "12", "--repeats", "50")
    process = start("sweep", *grid)
    wait_until(lambda: count_of_runs() >= 1, process)
    said = cli("sweep", *grid, "--resume")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("loadgen: the sweep s")
    assert "is still being measured by another process" in said.err
    (row,) = cli("list", "--json").json["sweeps"]
    assert process.poll() is None
    assert row["status"] == "running"


def test_a_sweep_goes_on_with_the_server_that_it_began_on_only(cli: Cli, start: Start) -> None:
    with SimulatorProcess(SimulatorOptions(ttft_s=0.01, gap_s=0.003)) as simulator:
        grid = flags(simulator.url, "--output-tokens", "20", "--requests", "8", "--repeats", "20")
        process = start("sweep", *grid)
        wait_until(lambda: count_of_runs() >= 1, process)
        process.kill()
        process.wait()
        with sqlite3.connect("loadgen.db") as database:
            database.execute("UPDATE sweep SET server = json_set(server, '$.name', 'vLLM', '$.version', '0.32.0')")
        database.close()
        said = cli("sweep", *grid, "--resume")
    assert (said.code, said.out) == (2, "")
    assert "began on vLLM 0.32.0 (vllm dialect), and http" in said.err
    assert "is now loadgen simulator" in said.err
    assert said.err.count("\n") == 1
    assert len(cli("list", "--json").json["sweeps"]) == 1


def test_interrupted_once_it_waits_for_the_answers_on_their_way(cli: Cli, start: Start) -> None:
    with SimulatorProcess(SimulatorOptions(ttft_s=0.05, gap_s=0.005)) as simulator:
        grid = flags(simulator.url, "--output-tokens", "40", "--requests", "400", "--repeats", "2")
        process = start("sweep", *grid)
        wait_until(lambda: answered(simulator) >= 3, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 130
        assert "Ctrl-C again ends now" in err
        assert "--resume" in err
        assert "SIMULATED" in out
        (document,) = stored_runs()
        outcomes = document["outcomes"]
        assert document["interrupted"]
        assert outcomes["ok"] >= 2
        assert outcomes["ok"] + outcomes["dropped"] == 400
        assert sent_and_cut(document) == 0
        (row,) = cli("list", "--json").json["sweeps"]
        assert (row["status"], row["runs"]) == ("interrupted", 1)
        assert "cut short" in cli("show", "latest").err


def test_interrupted_twice_it_ends_at_once_and_keeps_what_finished(cli: Cli, start: Start) -> None:
    with SimulatorProcess(SimulatorOptions(ttft_s=0.01, gap_s=1.0)) as simulator:
        run = flags(simulator.url, "--output-tokens", "60", "--requests", "4", "--warmup-requests", "0")
        process = start("run", *run, "--json")
        wait_until(lambda: running(simulator) == 2, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT_S)
        assert process.returncode == 130
    (document,) = stored_runs()
    assert document["interrupted"]
    assert (document["outcomes"]["cancelled"], document["outcomes"]["dropped"]) == (2, 2)
    assert sent_and_cut(document) == 2


@pytest.mark.parametrize(
    ("faults", "said"),
    [(("stall",), "loadgen: interrupted"), (("stall:every=2",), "loadgen: stopped")],
    ids=["in the first question", "in the warm-up"],
)
def test_interrupted_before_anything_was_measured(
    start: Start, tmp_path: Path, faults: tuple[str, ...], said: str
) -> None:
    with SimulatorProcess(SimulatorOptions(ttft_s=0.001, faults=faults)) as simulator:
        process = start("run", *flags(simulator.url, "--output-tokens", "2"))
        awaited = 1 + answered(simulator) if "every" in faults[0] else 0
        wait_until(lambda: answered(simulator) >= awaited, process)
        wait_until(lambda: running(simulator) == 1, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1].startswith(said)
    assert stored_runs() == []


def test_a_termination_signal_ends_it_at_once(start: Start) -> None:
    with SimulatorProcess(SimulatorOptions(ttft_s=0.01, gap_s=1.0)) as simulator:
        run = flags(simulator.url, "--output-tokens", "60", "--requests", "4", "--warmup-requests", "0")
        process = start("run", *run)
        wait_until(lambda: running(simulator) == 2, process)
        process.terminate()
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert [sent_and_cut(document) for document in stored_runs()] == [2]


def test_the_measuring_process_is_killed(cli: Cli, start: Start, simulator: SimulatorProcess) -> None:
    grid = flags(simulator.url, "--output-tokens", "64", "--requests", "150", "--repeats", "3")
    process = start("sweep", *grid, "--json")
    wait_until(lambda: count_of_runs() >= 1, process)
    before = answered(simulator)
    wait_until(lambda: answered(simulator) >= before + 60, process)
    (worker,) = psutil.Process(process.pid).children()
    worker.kill()
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith(
        "loadgen: run 2 of 3 was cut short: the measuring process was killed (SIGKILL"
    )
    assert err.splitlines()[-1].endswith("what it had measured is saved")
    assert cli("list", "--json").json["sweeps"][0]["status"] == "failed"
    whole, killed = stored_runs()
    outcomes = killed["outcomes"]
    assert (whole["interrupted"], killed["interrupted"]) == (False, True)
    assert outcomes["planned"] == 150
    assert outcomes["ok"] + outcomes["cancelled"] + outcomes["dropped"] == 150
    assert outcomes["ok"] > 0
    codes = {finding["code"]: finding["message"] for finding in killed["verdict"]["findings"]}
    assert "SIGKILL" in codes["interrupted"]
    assert not {"figures_not_made", "figure_not_finite", "other_requests"} & codes.keys()
    said = cli("sweep", *grid, "--resume", "--json")
    assert [run["outcomes"]["ok"] for run in said.json["runs"]] == [150, 150, 150]


def test_the_server_dies_and_the_sweep_goes_on_later(cli: Cli, start: Start) -> None:
    with SimulatorProcess(SimulatorOptions(ttft_s=0.01, gap_s=0.003)) as simulator:
        port = simulator.port
        grid = flags(simulator.url, "--output-tokens", "20", "--requests", "20", "--repeats", "3")
        process = start("sweep", *grid)
        wait_until(lambda: count_of_runs() == 1, process)
        before = answered(simulator)
        wait_until(lambda: answered(simulator) >= before + 5, process)
        simulator._started().kill()
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 5
    assert err.splitlines()[-1].startswith(f"loadgen: the server at http://127.0.0.1:{port} died during run 2 of 3")
    assert "2 runs of 3" in out
    whole, broken = stored_runs()
    assert whole["outcomes"]["ok"] == 20
    assert not whole["server_died"]
    assert broken["server_died"]
    assert broken["verdict"]["status"] == "invalid"
    assert cli("list", "--json").json["sweeps"][0]["status"] == "failed"
    with SimulatorProcess(SimulatorOptions(port=port, ttft_s=0.01, gap_s=0.003)):
        said = cli("sweep", *grid, "--resume", "--json")
    assert said.measured
    assert [run["repeat"] for run in said.json["runs"]] == [0, 1, 2]
    assert said.json["runs"][0]["run_id"] == whole["run_id"]
    assert all(run["outcomes"]["ok"] == 20 for run in said.json["runs"])
    assert len(stored_runs()) == 3
    assert cli("show", broken["run_id"], "--json").json[
        "server_died"
    ]  # the attempt that failed is kept, and counts no more
    assert cli("list", "--json").json["sweeps"][0]["runs"] == 3
