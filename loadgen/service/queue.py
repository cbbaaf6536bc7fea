"""The queue: jobs in the store, one at a time for each target, each in a process of its own.

The store is what counts: a service that is killed finds its queue there again, and
a job that was being measured is marked as interrupted once its process is gone, which ends itself when its service does.
One service works on the queue of a database (`ownership`).
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import loadgen
from loadgen.errors import ExitCode, LoadgenError, NotFoundError, StoreError
from loadgen.service import ownership
from loadgen.service.job import claim_of
from loadgen.service.job_events import Log, Told
from loadgen.service.submission import Submission
from loadgen.service.targets import Targets
from loadgen.store.claim import is_held
from loadgen.store.jobs import Jobs
from loadgen.store.queue_claim import ClaimLostError, QueueClaim, this_process
from loadgen.store.repository import Store
from loadgen.store.rows import JobRow, JobStatus

MAX_WAITING = 500
_MAX_LOGS = 200
_LOOK_AGAIN_S = 1.0  # for what nobody tells of: a process of an earlier service that is about to end
_SAVING_S = 60.0  # how long jobs may take to save what they have when the service ends
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class TooLateError(LoadgenError):
    """The job is in no state for what was asked."""


class FullError(LoadgenError):
    """So many jobs wait that no more are taken."""


@dataclass(slots=True)
class _Running:
    job: JobRow
    process: "subprocess.Popen[str]"
    end: Told | None = None  # what its process said last
    other_lines: deque[str] = field(default_factory=lambda: deque(maxlen=40))  # such as a traceback


class Queue:
    """A context manager: jobs are measured from its beginning to its end."""

    def __init__(self, db_url: str, targets: Targets, allowed: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self._db_url = db_url
        self.targets = targets
        self._allowed = allowed
        self._environ = environ
        self._lock = threading.RLock()
        self._running: dict[str, _Running] = {}
        self._logs: OrderedDict[str, Log] = OrderedDict()
        self._readers: list[threading.Thread] = []
        self._wake, self._closing = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)
        self._owner = this_process()
        self._ownership = ExitStack()
        self.lost: ClaimLostError | None = None  # set once another service works on the jobs
        self.version = 0  # grows with every change of any job

    def __enter__(self) -> "Queue":
        with ExitStack() as stack:
            with Store.open(self._db_url) as store:  # makes it, or says now what is wrong
                ownership.take(QueueClaim(store, self._owner), store.place, _note)
            stack.enter_context(ownership.Ownership(self._owner, self._opened, self._on_lost))
            self._ownership = stack.pop_all()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the jobs that are measured now; what they have finished is saved, and they can be resumed."""
        with self._lock:
            self._closing = True
        self._end_running()
        for reader in list(self._readers):
            reader.join(_SAVING_S)
        self._thread.join(_SAVING_S)
        self._ownership.close()

    def submit(self, submission: Submission) -> JobRow:
        """Put it into the queue. Raises FullError, and StoreError."""
        job = submission.job()
        with self._lock, self._jobs() as jobs:
            if jobs.count("queued") >= MAX_WAITING:
                raise FullError(f"{MAX_WAITING} jobs are waiting already, and no more are taken: try again later")
            jobs.add(job)
        self._changed()
        return job

    def cancel(self, job_id: str) -> JobRow:
        """Take a job out of the queue, or end its measurement: at first once the answers on their way are here, then at once.

        Raises NotFoundError, TooLateError for one that has ended, and StoreError.
        """
        with self._lock, self._jobs() as jobs:
            job_id = jobs.job(job_id).job_id
            now = _now()
            job = jobs.change(job_id, ("queued",), status="cancelled", cancel_requested=True, ended_at=now)
            if job is None:
                job = jobs.change(job_id, ("running",), cancel_requested=True)
                if job is None:
                    raise TooLateError(f"the job {job_id} has ended: there is nothing to cancel")
                if (ours := self._running.get(job_id)) is not None:
                    ours.process.send_signal(signal.SIGINT)
        self._changed()
        return job

    def resume(self, job_id: str) -> JobRow:
        """Queue a job again that ended early: its finished runs are kept. Raises NotFoundError, TooLateError, StoreError."""
        with self._lock, self._jobs() as jobs:
            before = jobs.job(job_id)
            job = jobs.queue_again(before.job_id)
            if job is None:
                said = "has finished" if before.status == "finished" else f"is {before.status}"
                raise TooLateError(f"the job {before.job_id} {said}: there is nothing to resume")
        self._changed()
        return job

    def log(self, job_id: str) -> Log | None:
        """What the latest attempt at the job has told, if it began since this service did."""
        # Without the lock, which may be held while the database is waited for: pages ask here.
        return self._logs.get(job_id)

    @contextmanager
    def _opened(self) -> Iterator[Store]:
        """A database that is there: one that somebody deleted is not made anew. Raises StoreError."""
        try:
            Store.open(self._db_url, read_only=True).close()
        except NotFoundError as gone:
            raise StoreError(f"{gone}; it was there when the service began") from gone
        with Store.open(self._db_url) as store:
            yield store

    @contextmanager
    def _jobs(self) -> Iterator[Jobs]:
        """The jobs, for the service that works on them. Raises StoreError, of which ClaimLostError."""
        if self.lost is not None:
            raise ClaimLostError(str(self.lost))
        with self._opened() as store:
            yield Jobs(store, self._owner)

    def _on_lost(self, lost: ClaimLostError) -> None:
        self.lost = lost
        self._end_running()
        self._changed()

    def _end_running(self) -> None:
        """End the jobs that are measured now; they save what they have finished."""
        with self._lock:
            running = list(self._running.values())
        self._wake.set()
        for each in running:
            with suppress(OSError):
                assert each.process.stdin is not None
                each.process.stdin.close()  # its lifeline

    def _changed(self) -> None:
        self.version += 1
        self._wake.set()

    def _work(self) -> None:
        said = ""
        while not self._closing and self.lost is None:
            self._wake.clear()
            try:
                waits = self._advance()
                said = ""
            except (LoadgenError, OSError) as error:  # the latter: no more processes, no more files
                waits = True
                if str(error) != said:  # once, and not every second
                    said = str(error)
                    _note(said)
            self._wake.wait(_LOOK_AGAIN_S if waits else None)

    def _advance(self) -> bool:
        """Begin what can begin. Answers whether to look again soon."""
        with self._lock, self._jobs() as jobs:
            if self._closing or self.lost is not None:
                return False
            orphans = [job for job in jobs.of_status("running") if job.job_id not in self._running]
            for job in [each for each in orphans if not is_held(claim_of(each.job_id))]:
                orphans.remove(job)
                _settle(jobs, job)
                self.version += 1
            busy = {job.target for job in [*orphans, *(each.job for each in self._running.values())]}
            for job in jobs.of_status("queued"):
                if job.target not in busy:
                    busy.add(job.target)
                    self._begin(jobs, job)
        return bool(orphans)

    def _begin(self, jobs: Jobs, job: JobRow) -> None:
        begun = jobs.change(job.job_id, ("queued",), status="running", started_at=_now())
        if begun is None:
            return
        process = _start_process(self._environment(job))
        running = _Running(begun, process)
        self._running[job.job_id] = running
        log = self._logs[job.job_id] = Log(begun.attempts)
        self._logs.move_to_end(job.job_id)
        while len(self._logs) > _MAX_LOGS:
            self._logs.popitem(last=False)
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError):  # it died at once, as its reader will find
            task = {"db_url": self._db_url, "job_id": job.job_id, "allowed": self._allowed}
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
        reader = threading.Thread(target=self._read, args=(running, log, process.stdout), name=job.job_id, daemon=True)
        self._readers = [each for each in self._readers if each.is_alive()] + [reader]
        reader.start()
        self.version += 1

    def _environment(self, job: JobRow) -> dict[str, str]:
        """Ours, without proxies, which would connect elsewhere, and of all keys that of this target alone."""
        key_env = None
        with suppress(LoadgenError):
            key_env = self.targets.named(str(job.values.get("url"))).key_env
        secret = {rule.key_env for rule in self.targets.rules} - {key_env}
        kept = {
            name: value
            for name, value in self._environ.items()
            if name.lower() not in _PROXY_VARIABLES and name not in secret
        }
        package_parent = str(Path(loadgen.__file__).resolve().parents[1])
        return {**kept, "PYTHONPATH": os.pathsep.join([package_parent, *filter(None, [kept.get("PYTHONPATH")])])}

    def _read(self, running: _Running, log: Log, lines: IO[str]) -> None:
        for line in lines:
            try:
                event = json.loads(line)
                is_event = isinstance(event, dict) and "event" in event
            except ValueError:
                is_event = False
            if not is_event:
                running.other_lines.append(line)
                continue
            if event["event"] == "end":
                running.end = event
            log.add(event)
        code = running.process.wait()
        with self._lock:
            del self._running[running.job.job_id]
            try:
                with self._jobs() as jobs:
                    self._ended(jobs, running, code)
            except LoadgenError as error:
                _note(f"the end of the job {running.job.job_id} is not on record: {error}")
        self._changed()

    def _ended(self, jobs: Jobs, running: _Running, code: int) -> None:
        job = jobs.job(running.job.job_id)
        message = None if running.end is None else running.end["message"]
        status: JobStatus
        if code in (ExitCode.OK, ExitCode.INVALID_RUN):
            status = "finished"
        elif job.cancel_requested:
            status, code, message = "cancelled", ExitCode.INTERRUPTED, "cancelled; what had ended is saved"
        elif self._closing or code == ExitCode.INTERRUPTED or code < 0:
            why = "the service was ended" if self._closing else "its process was ended"
            status, code, message = "interrupted", ExitCode.INTERRUPTED, f"{why}; what had ended is saved"
        else:
            status = "failed"
            if running.end is None or code == ExitCode.UNEXPECTED:
                sys.stderr.write(f"loadgen: the job {job.job_id} failed:\n{''.join(running.other_lines)}")
                message = message or "its process failed; the service's own log says how"
        jobs.change(job.job_id, ("running",), status=status, ended_at=_now(), exit_code=int(code), message=message)


def _settle(jobs: Jobs, job: JobRow) -> None:
    """Put on record how a job ended that an earlier service began."""
    status: JobStatus = "cancelled" if job.cancel_requested else "interrupted"
    code, message = ExitCode.INTERRUPTED, "the service was ended; what had ended is saved"
    sweep = jobs.sweep_of(job)
    if sweep is not None and sweep.status == "finished":
        status, message = "finished", ""
        code = ExitCode.INVALID_RUN if sweep.invalid else ExitCode.OK
    jobs.change(job.job_id, ("running",), status=status, ended_at=_now(), exit_code=int(code), message=message or None)


def _note(message: str) -> None:
    sys.stderr.write(f"loadgen: {message}\n")


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _start_process(environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    """Start the process of a job, which reads from a pipe what it is to do and tells what happens on another."""
    return subprocess.Popen(
        [sys.executable, "-m", "loadgen.service.job"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,  # Ctrl-C is for the service, which ends its jobs in order
    )
