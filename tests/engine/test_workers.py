"""Several measuring processes against the simulator: one run, with one t = 0, whoever carried it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from loadgen.engine import salvage as salvage_module
from loadgen.engine.drive.driver import Progress
from loadgen.engine.measurement import Share
from loadgen.engine.records.record import MISSING, Outcome, Records
from loadgen.engine.worker import Worker
from loadgen.engine.workers import Workers
from loadgen.errors import EngineError, UsageError
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.servers.simulator.process import SimulatorProcess
from tests.engine.test_worker import task

pytestmark = pytest.mark.loopback


def test_a_closed_loop_is_one_run_of_all_its_callers(simulator: SimulatorProcess, workers: Workers) -> None:
    heard: list[Progress] = []
    recording = workers.run(task(simulator.port, ClosedLoop(5), 23, workers=2), heard.append)
    records = recording.records
    assert len(workers.pids) == 2
    assert records.index.tolist() == list(range(23))
    assert set(records.outcome) == {Outcome.OK}
    assert sorted(set(records.slot)) == [0, 1, 2, 3, 4]
    for slot in range(5):  # each caller keeps to its own requests, one after the other
        rows = np.flatnonzero(records.slot == slot)
        assert records.due_ns[rows].tolist() == [0, *records.end_ns[rows[:-1]].tolist()]
    assert (heard[-1].done, heard[-1].planned, heard[-1].in_flight) == (23, 23, 0)
    client = recording.client
    assert (client.workers, client.connections_opened, client.stamp_source) == (2, 5, "kernel")
    assert client.busiest_cpu_s is not None
    assert client.cpu_s is not None
    assert client.cpu_s / 2 <= client.busiest_cpu_s < client.cpu_s


def test_all_of_a_wave_leaves_at_one_moment(simulator: SimulatorProcess, workers: Workers) -> None:
    records = workers.run(task(simulator.port, Wave(40), 40, workers=2)).records
    assert np.all(records.sent_ns >= 0)
    assert np.ptp(records.sent_ns) < 100e6  # two processes that began on their own would be further apart
    assert records.due_ns.tolist() == [0] * 40


def test_an_open_loops_moments_are_those_of_the_schedule(simulator: SimulatorProcess, workers: Workers) -> None:
    records = workers.run(task(simulator.port, OpenLoop(50.0, "constant"), 25, workers=3)).records
    assert records.due_ns.tolist() == [20_000_000 * index for index in range(25)]
    assert np.all(records.sent_ns >= records.due_ns)
    assert set(records.outcome) == {Outcome.OK}


def test_no_worker_without_a_caller(simulator: SimulatorProcess, workers: Workers) -> None:
    assert workers.run(task(simulator.port, ClosedLoop(2), 4, workers=3)).client.workers == 2


def test_drain_reaches_all_of_them(simulator: SimulatorProcess, workers: Workers) -> None:
    def drain_after_four(progress: Progress) -> None:
        if progress.done >= 4:
            workers.drain()

    recording = workers.run(task(simulator.port, ClosedLoop(4), 400, output_tokens=10, workers=2), drain_after_four)
    outcomes = recording.records.outcome
    assert recording.interrupted
    assert set(outcomes) == {Outcome.OK, Outcome.DROPPED}
    assert len(outcomes) == 400
    assert np.all(recording.records.sent_ns[outcomes == Outcome.DROPPED] == MISSING)


def kill_after(seconds: float, pid: Callable[[], int]) -> Callable[[Progress], None]:
    """Kills that process when the run has gone on for so long, and only then."""
    left = [pid]

    def look(progress: Progress) -> None:
        if progress.elapsed_s > seconds and left:
            os.kill(left.pop()(), signal.SIGKILL)

    return look


@pytest.mark.parametrize("count", [1, 2])
def test_what_was_recorded_before_a_worker_was_killed_is_kept(simulator: SimulatorProcess, count: int) -> None:
    with Workers() as workers:
        workers.run(task(simulator.port, ClosedLoop(4), 4, workers=count))
        first, last = workers.pids[0], workers.pids[-1]
        planned = task(simulator.port, ClosedLoop(4), 1000, workers=count)
        recording = workers.run(planned, kill_after(3.5, lambda: last))
        records, outcomes = recording.records, recording.records.outcome
        assert records.index.tolist() == list(range(1000))
        assert recording.interrupted
        assert recording.failure is not None
        assert "was killed (SIGKILL" in recording.failure
        assert recording.client.cpu_s is None
        theirs = records.index % 4 % count == count - 1
        assert np.count_nonzero(outcomes[theirs] == Outcome.OK) >= 10
        assert set(outcomes[theirs]) == {Outcome.OK, Outcome.CANCELLED, Outcome.DROPPED}
        assert set(outcomes[~theirs]) <= {Outcome.OK, Outcome.DROPPED}
        lost = np.isin(outcomes, (Outcome.CANCELLED, Outcome.DROPPED))
        assert np.all(records.start_ns[lost] == MISSING)
        assert np.all(np.diff(records.arrival_start)[lost] == 0)
        assert np.all(np.diff(records.arrival_start)[~lost] == 5)
        assert np.all(records.end_ns[~lost] > records.sent_ns[~lost])
        assert not psutil.pid_exists(last)
        again = workers.run(task(simulator.port, ClosedLoop(2), 4, workers=2))
        assert set(again.records.outcome) == {Outcome.OK}
        assert count == 1 or first in workers.pids  # the one that lived goes on


def test_one_that_is_killed_before_the_start_ends_the_run(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Worker.send

    def and_kill(worker: Worker, share: Share) -> None:
        send(worker, share)
        if share.worker == 1:
            os.kill(worker.pid, signal.SIGKILL)

    with Workers() as workers:
        planned = task(simulator.port, ClosedLoop(2), 4, workers=2)
        with monkeypatch.context() as patched:
            patched.setattr(Worker, "send", and_kill)
            with pytest.raises(EngineError, match="nothing of this run was measured"):
                workers.run(planned)
        assert set(workers.run(planned).records.outcome) == {Outcome.OK}


def test_one_that_was_killed_between_two_runs_is_replaced(simulator: SimulatorProcess) -> None:
    with Workers() as workers:
        planned = task(simulator.port, ClosedLoop(2), 4, workers=2)
        workers.run(planned)
        (killed, _) = workers.pids
        os.kill(killed, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(killed)], timeout=10)
        assert set(workers.run(planned).records.outcome) == {Outcome.OK}
        assert killed not in workers.pids


def test_what_is_left_cannot_be_read(simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> Records:
        raise OSError("the disk is gone")

    monkeypatch.setattr(salvage_module, "whole_rows", fail)
    with Workers() as workers:
        planned = task(simulator.port, ClosedLoop(4), 400, workers=2)
        recording = workers.run(planned, kill_after(0.5, lambda: workers.pids[1]))
    outcomes = recording.records.outcome
    assert len(outcomes) == 400
    assert Outcome.OK not in outcomes[recording.records.index % 4 % 2 == 1]
    assert Outcome.OK in outcomes


def test_a_run_leaves_no_file(
    simulator: SimulatorProcess, workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("loadgen.load.disk.bulk_folder", lambda: tmp_path)
    monkeypatch.setattr("loadgen.load.bulk.bulk_folder", lambda: tmp_path)
    planned = task(simulator.port, ClosedLoop(2), 4, workers=2)
    records = workers.run(planned).records
    del planned
    assert list(tmp_path.iterdir()) == []
    assert len(records.arrival_ns) == 20


def test_records_that_a_full_disk_does_not_take_come_home_all_the_same(
    simulator: SimulatorProcess, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Worker.send

    def onto_a_full_disk(worker: Worker, share: Share) -> None:
        for name in ("sent_ns", "arrival_ns", "arrival_start", "finish_reason"):
            (share.folder / name).symlink_to("/dev/full")
        (share.folder / "end_ns").symlink_to("/nowhere/file")  # which cannot be opened
        send(worker, share)

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "send", onto_a_full_disk)
        records = workers.run(task(simulator.port, ClosedLoop(4), 12, workers=2)).records
    assert records.index.tolist() == list(range(12))
    assert set(records.outcome) == {Outcome.OK}
    assert set(records.finish_reason) == {"length"}
    assert np.all(records.end_ns > records.sent_ns)
    assert len(records.arrival_ns) == 60


def test_a_folder_without_room_is_one_sentence_before_anything_is_sent(
    simulator: SimulatorProcess, workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = task(simulator.port, Wave(2), 2)
    monkeypatch.setattr("loadgen.load.disk.bulk_folder", lambda: tmp_path / "gone")
    with pytest.raises(UsageError, match="the records of the run cannot be written"):
        workers.run(planned)
