"""Jobs measured for real: one at a time for each server, cancelled, killed with their service, and gone on with."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from loadgen.errors import StoreError, UsageError
from loadgen.servers.proxies import proxy_for
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.service import queue
from loadgen.service.queue import Queue
from loadgen.service.submission import submission_of
from loadgen.service.targets import Targets
from loadgen.store.jobs import Jobs
from loadgen.store.queue_claim import ClaimLostError, QueueClaim, this_process
from loadgen.store.repository import Store
from loadgen.store.rows import JobRow
from tests.forked_programs import start_job
from tests.service.conftest import BEARER
from tests.service.started import TOKEN, serving

pytestmark = pytest.mark.loopback

MAX_WAIT_S = 90.0
SIM: dict[str, Any] = {"url": "simulator", "concurrency": 1, "input_tokens": 8, "output_tokens": 8, "requests": 4}
Until = Callable[[Store, JobRow], bool]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    """Its answers take a fifth of a second each, so that a run can be caught in the middle."""
    with SimulatorProcess(SimulatorOptions(ttft_s=0.02, gap_s=0.01)) as process:
        yield process


def spec(simulator: SimulatorProcess, **keys: Any) -> dict[str, Any]:
    small = {"concurrency": [1, 2], "input_tokens": 8, "output_tokens": 20, "requests": 8}
    return {"url": simulator.url, "model": "simulated-moe", **small, **keys}


@pytest.fixture(autouse=True)
def _quick_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that are quick to start, but for those of a service in a process of its own."""
    monkeypatch.setattr(queue, "_start_process", start_job)


@pytest.fixture
def begun(simulator: SimulatorProcess, db_url: str) -> Iterator[Queue]:
    """A queue at work, that may measure the simulator."""
    with make_queue(db_url, simulator.url) as queue:
        yield queue


def make_queue(db_url: str, *allowed: str, environ: dict[str, str] | None = None) -> Queue:
    return Queue(db_url, Targets.of(allowed), allowed, dict(os.environ) if environ is None else environ)


def send(queue: Queue, values: dict[str, Any]) -> str:
    return queue.submit(submission_of(values, queue.targets)).job_id


def job_of(db_url: str, job_id: str) -> JobRow:
    with Store.open(db_url, read_only=True) as store:
        return Jobs(store).job(job_id)


def wait_for(db_url: str, job_id: str, until: Until = lambda store, job: job.has_ended) -> JobRow:
    """The job once it is so. The store stays open: to open it twenty times a second takes from what is measured."""
    deadline_s = time.monotonic() + MAX_WAIT_S
    with Store.open(db_url, read_only=True) as store:
        jobs = Jobs(store)
        while not until(store, job := jobs.job(job_id)):
            assert time.monotonic() < deadline_s, f"still {job}"
            time.sleep(0.05)
    return job


def has_begun(store: Store, job: JobRow) -> bool:
    return job.sweep_id is not None


def has_a_run(store: Store, job: JobRow) -> bool:
    return job.has_ended or (job.sweep_id is not None and store.sweep(job.sweep_id).runs > 0)


def statuses(db_url: str, sweep_id: str | None) -> list[bool]:
    """Of each run of the sweep, whether it was cut short."""
    assert sweep_id is not None
    with Store.open(db_url, read_only=True) as store:
        return [run["interrupted"] for run in store.runs(sweep_id)]


def test_jobs_of_one_server_are_measured_one_after_the_other(
    begun: Queue, db_url: str, simulator: SimulatorProcess
) -> None:
    first, second, beside = (send(begun, values) for values in (spec(simulator), spec(simulator), {**SIM, "seed": 1}))
    ended = {each: wait_for(db_url, each) for each in (first, second, beside)}
    assert {job.status for job in ended.values()} == {"finished"}
    assert (ended[first].ended_at or "") <= (ended[second].started_at or "")
    assert (ended[beside].started_at or "") < (ended[first].ended_at or "")  # another server, so it did not wait
    assert statuses(db_url, ended[second].sweep_id) == [False, False]
    log = begun.log(first)
    assert log is not None
    told = [event["event"] for _, event in log.after(0)]
    assert told[:2] == ["way", "sweep"]
    assert (told.count("run"), told[-1]) == (2, "end")


def test_a_cancelled_job_keeps_what_ended_and_is_resumed_from_there(
    begun: Queue, db_url: str, simulator: SimulatorProcess
) -> None:
    job_id = send(begun, spec(simulator, concurrency=[1, 2, 3, 4], requests=10))
    wait_for(db_url, job_id, has_a_run)
    begun.cancel(job_id)
    cancelled = wait_for(db_url, job_id)
    assert (cancelled.status, cancelled.exit_code) == ("cancelled", 130)
    with Store.open(db_url, read_only=True) as store:
        kept = [run["run_id"] for run in store.runs(cancelled.sweep_id or "") if not run["interrupted"]]
    assert kept
    begun.resume(job_id)
    finished = wait_for(db_url, job_id)
    assert (finished.status, finished.sweep_id, finished.attempts) == ("finished", cancelled.sweep_id, 2)
    with Store.open(db_url, read_only=True) as store:
        runs = [run["run_id"] for run in store.runs(finished.sweep_id or "")]
    assert (len(runs), set(kept) <= set(runs)) == (4, True)


def test_each_of_two_equal_jobs_goes_on_with_its_own_sweep(
    begun: Queue, db_url: str, simulator: SimulatorProcess
) -> None:
    same = spec(simulator, concurrency=[1, 2, 3], requests=10)
    ids = []
    for _ in range(2):
        ids.append(send(begun, same))
        wait_for(db_url, ids[-1], has_a_run)
        begun.cancel(ids[-1])
        wait_for(db_url, ids[-1])
    before = job_of(db_url, ids[0]).sweep_id
    begun.resume(ids[0])
    assert wait_for(db_url, ids[0]).sweep_id == before
    assert job_of(db_url, ids[1]).status == "cancelled"


def test_a_process_that_is_killed_leaves_an_interrupted_job(
    begun: Queue, db_url: str, simulator: SimulatorProcess
) -> None:
    job_id = send(begun, spec(simulator, requests=2_000))
    wait_for(db_url, job_id, has_begun)
    begun._running[job_id].process.kill()
    assert wait_for(db_url, job_id).status == "interrupted"


def test_a_server_that_does_not_answer_is_the_jobs_failure(db_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with make_queue(db_url, f"http://127.0.0.1:{port}") as queue:
        values = {"url": f"http://127.0.0.1:{port}", "model": "m", "concurrency": 1}
        job = wait_for(db_url, send(queue, {**values, "input_tokens": 8, "output_tokens": 8}))
    assert (job.status, job.exit_code) == ("failed", 5)
    assert "nothing answers" in (job.message or "")


def test_what_is_measured_ends_with_the_service_and_what_waits_waits_on(
    db_url: str, simulator: SimulatorProcess
) -> None:
    with make_queue(db_url, simulator.url) as queue:
        running = send(queue, spec(simulator, requests=2_000))
        waiting = send(queue, spec(simulator, concurrency=1))
        wait_for(db_url, running, has_begun)
    assert (job_of(db_url, running).status, job_of(db_url, waiting).status) == ("interrupted", "queued")
    with make_queue(db_url, simulator.url):
        assert wait_for(db_url, waiting).status == "finished"


def test_one_service_works_on_the_queue_of_a_database(begun: Queue, db_url: str) -> None:
    with pytest.raises(UsageError, match="another service"), make_queue(db_url):
        pass


def test_a_service_that_another_replaced_ends_its_jobs_and_takes_no_more(
    begun: Queue, db_url: str, simulator: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id = send(begun, spec(simulator, requests=2_000))
    wait_for(db_url, job_id, has_begun)
    process = begun._running[job_id].process
    with Store.open(db_url) as store:
        claim = QueueClaim(store, replace(this_process(), host_name="bench-2"))
        while not claim.take(claim.found()):  # unless it was just being renewed
            pass
    process.wait(MAX_WAIT_S)
    assert begun.lost is not None
    with pytest.raises(ClaimLostError, match="on bench-2 took them over"):
        send(begun, spec(simulator))
    with pytest.raises(ClaimLostError):
        begun.cancel(job_id)
    assert job_of(db_url, job_id).status == "running"  # what became of it is for the other one to find out
    assert "this service no longer works on its jobs" in capsys.readouterr().err


def test_a_queue_does_not_begin_over_a_database_that_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "service.db").write_text("no database at all, but long enough to be taken for one" * 100)
    with pytest.raises(StoreError), make_queue(f"sqlite:///{tmp_path}/service.db"):
        pass


def test_a_service_that_is_killed_finds_its_jobs_again(db_url: str, simulator: SimulatorProcess) -> None:
    """SIGKILL, and nothing else: the running job saves what it has and is marked, and can be gone on with."""
    values = spec(simulator, concurrency=[1, 2, 3], requests=10)
    with serving(db_url, simulator.url) as (process, address):
        posted = [httpx2.post(f"{address}/api/v1/sweeps", json=values, headers=BEARER).json() for _ in range(2)]
        running, waiting = (each["job_id"] for each in posted)
        wait_for(db_url, running, has_a_run)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert job_of(db_url, running).status == "running"  # nobody was left to say otherwise
    with serving(db_url, simulator.url) as (process, address):
        interrupted = wait_for(db_url, running)
        assert interrupted.status == "interrupted"
        with Store.open(db_url, read_only=True) as store:
            kept = [run["run_id"] for run in store.runs(interrupted.sweep_id or "") if not run["interrupted"]]
        assert kept
        assert wait_for(db_url, waiting).status == "finished"
        resumed = httpx2.post(f"{address}/api/v1/jobs/{running}/resume", headers=BEARER)
        assert resumed.status_code == 202
        followed = httpx2.get(f"{address}/api/v1/jobs/{running}/events", timeout=MAX_WAIT_S).text
        last = json.loads(followed.strip().rsplit("data: ", 1)[1])
        assert (last["status"], last["sweep_id"], last["exit_code"]) == ("finished", interrupted.sweep_id, 0)
        sweep = httpx2.get(f"{address}/api/v1/sweeps/{last['sweep_id']}").json()
        assert set(kept) <= {run["run_id"] for run in sweep["runs"]}
        assert (sweep["status"], len(sweep["runs"])) == ("finished", 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_what_the_service_says_and_stores_has_no_secret(db_url: str, tmp_path: Path) -> None:
    with serving(db_url, is_forked=False) as (process, address):
        job_id = httpx2.post(f"{address}/api/v1/sweeps", json=SIM, headers=BEARER).json()["job_id"]
        wait_for(db_url, job_id)
        httpx2.post(f"{address}/api/v1/sweeps", content=b"\xff", headers={**BEARER, "Content-Type": "application/json"})
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert TOKEN not in errors
    assert all(TOKEN.encode() not in file.read_bytes() for file in tmp_path.glob("service.db*"))


@contextmanager
def listening(answer: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """A port of this machine that notes what comes, and answers each connection once."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(65_536))
                    connection.sendall(answer)

        threading.Thread(target=listen, daemon=True).start()
        yield listener.getsockname()[1], heard


def test_a_proxy_of_the_environment_is_no_way_around(db_url: str) -> None:
    """Which would look the name up by itself, and reach what the list does not have."""
    with listening() as (proxy, through_proxy), listening(b"HTTP/1.1 404 Not Found\r\n\r\n") as (port, heard):
        named = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), f"http://127.0.0.1:{proxy}")
        url = f"http://0.0.0.0:{port}"  # this machine too, and not by a name for which no proxy is asked anyway
        assert proxy_for(url, named) is not None
        with make_queue(db_url, url, environ={**os.environ, **named}) as queue:
            values = {"url": url, "model": "m", "concurrency": 1, "input_tokens": 8, "output_tokens": 8}
            job = wait_for(db_url, send(queue, values))
    assert job.status == "failed"
    assert through_proxy == []
    assert heard


def test_a_redirect_leads_nowhere(db_url: str) -> None:
    with listening() as (forbidden, reached):
        moved = f"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{forbidden}/\r\nContent-Length: 0\r\n\r\n"
        with listening(moved.encode()) as (port, heard), make_queue(db_url, f"http://127.0.0.1:{port}") as queue:
            values = {"url": f"http://127.0.0.1:{port}", "model": "m", "concurrency": 1}
            job = wait_for(db_url, send(queue, {**values, "input_tokens": 8, "output_tokens": 8, "requests": 2}))
    assert heard
    assert reached == []
    assert job.has_ended
