"""The worker process against the simulator: what it brings home is the server's truth, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from loadgen.engine import worker as worker_process
from loadgen.engine.drive.driver import Progress
from loadgen.engine.measurement import Task
from loadgen.engine.records.record import MISSING, CountedBy, Outcome, Recording
from loadgen.engine.wire.target import Target
from loadgen.engine.workers import Workers
from loadgen.errors import EngineError
from loadgen.load.body import RequestForm
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave
from loadgen.load.spec import RunSpec
from loadgen.servers.simulator.process import SimulatorProcess

pytestmark = pytest.mark.loopback

START_PROCESS = worker_process._start_process  # before the session replaces it


@pytest.fixture(scope="module", autouse=True)
def _real_processes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_process, "_start_process", START_PROCESS)
        yield


def task(port: int, shape: LoadShape, requests: int, output_tokens: int = 5, **options: Any) -> Task:
    spec = RunSpec("http://127.0.0.1/v1", "simulated-moe", shape, input_tokens=8, output_tokens=output_tokens)
    schedule = build(
        spec, requests, prompt_seed=f"test/{time.monotonic_ns()}", form=RequestForm("vllm", ("token_ids",))
    )
    return Task(Target("http", "127.0.0.1", port, "/v1/completions"), schedule, shape, **options)


def first_arrivals(recording: Recording) -> np.ndarray[Any, np.dtype[np.int64]]:
    records = recording.records
    return records.arrival_ns[records.arrival_start[:-1]]


def test_a_hundred_streams_agree_with_the_servers_truth(simulator: SimulatorProcess, workers: Workers) -> None:
    simulator.reset_truth()
    recording = workers.run(task(simulator.port, ClosedLoop(100), 200, output_tokens=50))
    records = recording.records
    assert recording.client.stamp_source == "kernel"
    assert set(records.outcome) == {Outcome.OK}
    assert len(records.arrival_ns) == 200 * 50
    truth = simulator.truth()["requests"]
    assert len(truth) == 200
    true_ttft_ms = np.array([one["sent_ns"][0] - one["arrival_ns"] for one in truth]) / 1e6
    ttft_ms = (first_arrivals(recording) - records.start_ns) / 1e6
    assert np.median(ttft_ms) == pytest.approx(np.median(true_ttft_ms), abs=0.3)


def test_records_are_complete_and_in_order(simulator: SimulatorProcess, workers: Workers) -> None:
    recording = workers.run(task(simulator.port, ClosedLoop(3), 9))
    records = recording.records
    assert records.index.tolist() == list(range(9))
    assert set(records.output_tokens) == {5}
    assert set(records.prompt_tokens) == {8}
    assert set(records.counted_by) == {CountedBy.TOKEN_IDS}
    assert set(records.finish_reason) == {"length"}
    first = first_arrivals(recording)
    assert np.all(records.due_ns <= records.sent_ns)
    assert np.all(records.start_ns == records.sent_ns)
    assert np.all(records.sent_ns < records.first_byte_ns)
    assert np.all(records.first_byte_ns <= first)
    assert np.all(first < records.end_ns)
    first_of_slot = [int(np.flatnonzero(records.slot == slot)[0]) for slot in range(3)]
    assert np.flatnonzero(records.connect_ns != MISSING).tolist() == sorted(first_of_slot)
    assert recording.client.connections_opened == 3
    assert recording.client.peak_in_flight == 3
    # A caller's next request is due when its last one has ended.
    for slot in range(3):
        rows = np.flatnonzero(records.slot == slot)
        assert records.due_ns[rows[1:]].tolist() == records.end_ns[rows[:-1]].tolist()


def test_an_open_loop_counts_from_the_intended_moment(simulator: SimulatorProcess, workers: Workers) -> None:
    planned = task(simulator.port, OpenLoop(50.0, "constant"), 25)
    records = workers.run(planned).records
    assert records.start_ns.tolist() == records.due_ns.tolist() == [20_000_000 * index for index in range(25)]
    late_ms = (records.sent_ns - records.due_ns) / 1e6
    assert np.all(late_ms >= 0)
    assert np.median(late_ms) < 1.0  # an event loop's own timers would be late by up to one


def test_a_wave_is_due_at_once(simulator: SimulatorProcess, workers: Workers) -> None:
    recording = workers.run(task(simulator.port, Wave(8), 8))
    assert recording.records.due_ns.tolist() == [0] * 8
    assert recording.client.peak_in_flight == 8


def test_progress_is_told(simulator: SimulatorProcess, workers: Workers) -> None:
    heard: list[Progress] = []
    workers.run(task(simulator.port, ClosedLoop(2), 12), heard.append)
    assert heard[-1].done == heard[-1].planned == 12
    assert heard[-1].failed == heard[-1].in_flight == 0
    assert len(heard) >= 2


def test_drain_finishes_what_is_in_flight(simulator: SimulatorProcess, workers: Workers) -> None:
    def drain_after_four(progress: Progress) -> None:
        if progress.done >= 4:
            workers.drain()

    recording = workers.run(task(simulator.port, ClosedLoop(4), 400, output_tokens=10), drain_after_four)
    counts = np.bincount(recording.records.outcome, minlength=9)
    assert recording.interrupted
    assert counts[Outcome.OK] >= 4
    assert counts[Outcome.OK] + counts[Outcome.DROPPED] == 400
    assert np.all(recording.records.sent_ns[recording.records.outcome == Outcome.DROPPED] == MISSING)


def test_an_order_that_comes_late_does_not_hit_the_next_run(simulator: SimulatorProcess, workers: Workers) -> None:
    workers.run(task(simulator.port, ClosedLoop(1), 1))
    workers.drain()
    workers.stop()
    recording = workers.run(task(simulator.port, ClosedLoop(1), 3))
    assert not recording.interrupted
    assert set(recording.records.outcome) == {Outcome.OK}


def test_stop_keeps_what_finished(simulator: SimulatorProcess, workers: Workers) -> None:
    def stop_after_half_a_second(progress: Progress) -> None:
        if progress.elapsed_s > 0.5:
            workers.stop()

    recording = workers.run(task(simulator.port, Wave(2), 2, output_tokens=3000), stop_after_half_a_second)
    assert recording.client.wall_s < 15  # the answers would have taken half a minute
    assert set(recording.records.outcome) == {Outcome.CANCELLED}
    assert len(recording.records[0].arrival_ns) > 10


def test_a_timeout_keeps_what_arrived(simulator: SimulatorProcess, workers: Workers) -> None:
    records = workers.run(task(simulator.port, ClosedLoop(1), 1, output_tokens=500, request_timeout_s=0.5)).records
    assert records[0].outcome is Outcome.TIMEOUT
    assert len(records[0].arrival_ns) > 10


def test_nobody_listening_is_an_outcome_of_each_request(workers: Workers) -> None:
    with SimulatorProcess() as gone:
        port = gone.port
    records = workers.run(task(port, ClosedLoop(2), 6)).records
    assert set(records.outcome) == {Outcome.CONNECT_ERROR}
    assert "refused" in (records.detail[0] or "")
    assert set(records.first_byte_ns) == {MISSING}


def test_an_unknown_host_is_one_sentence(workers: Workers) -> None:
    planned = task(1, ClosedLoop(1), 1)
    lost = Task(Target("http", "no-such-host.invalid", 80, "/"), planned.schedule, planned.shape)
    with pytest.raises(EngineError, match=r"cannot resolve no-such-host\.invalid"):
        workers.run(lost)
    assert workers.pids  # and the worker lives on
    with SimulatorProcess() as simulator:
        assert set(workers.run(task(simulator.port, ClosedLoop(1), 1)).records.outcome) == {Outcome.OK}


def test_a_killed_worker_leaves_every_request_accounted_for(simulator: SimulatorProcess) -> None:
    with Workers() as workers:
        recording = workers.run(
            task(simulator.port, ClosedLoop(1), 4, output_tokens=500),
            lambda progress: os.kill(workers.pids[0], signal.SIGKILL),
        )
    assert recording.records.index.tolist() == [0, 1, 2, 3]
    assert set(recording.records.outcome) <= {Outcome.CANCELLED, Outcome.DROPPED}
    assert recording.failure is not None


@pytest.mark.parametrize("measuring", [True, False])
def test_the_worker_ends_when_its_parent_is_killed(simulator: SimulatorProcess, measuring: bool) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(simulator.port), str(int(measuring))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert parent.stdout is not None
    worker_pid = int(parent.stdout.readline())
    time.sleep(0.3)
    assert psutil.pid_exists(worker_pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while is_running(worker_pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker_pid)


def is_running(pid: int) -> bool:
    """Whether the process is there and not a zombie that nobody has reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


_PARENT = """
import sys, time
from tests.engine.test_worker import task
from loadgen.engine.workers import Workers
from loadgen.load.shapes import ClosedLoop
workers = Workers()
workers.run(task(int(sys.argv[1]), ClosedLoop(1), 1))
print(workers.pids[0], flush=True)
if sys.argv[2] == "1":
    workers.run(task(int(sys.argv[1]), ClosedLoop(2), 10_000))
time.sleep(60)
"""
