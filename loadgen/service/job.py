"""The process of one job: `python -m loadgen.service.job`, which runs a sweep as the command line does and tells its service.

What it is to do comes as the first line of its standard input, so
that no secret stands among its arguments; the rest of that stream is a lifeline, whose end means that the service is gone:
then it ends at once and saves what has finished. What it tells goes to standard output, an event a line.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

from loadgen.errors import ExitCode, Interrupted, LoadgenError
from loadgen.experiments.events import Event, SweepStarted
from loadgen.experiments.interrupts import Stop, interrupts
from loadgen.experiments.sweep import run_sweep
from loadgen.experiments.sweep_record import Resume
from loadgen.experiments.sweep_request import PlannedSweep
from loadgen.service.job_events import Told, told
from loadgen.service.submission import submission_of
from loadgen.service.targets import Targets
from loadgen.store.claim import held
from loadgen.store.jobs import Jobs
from loadgen.store.repository import Store

_RESUME = "repeat the command with --resume"  # which is what the command line's users are told


def claim_of(job_id: str) -> str:
    """What a job's process holds for as long as it lives."""
    return f"job/{job_id}"


def main() -> int:
    """Measure, and answer the exit code that the command line would end with."""
    try:
        task = json.loads(sys.stdin.readline())
    except ValueError:
        return ExitCode.UNEXPECTED  # the service was gone before it said anything
    _watch(sys.stdin)
    try:
        code, message = _measure(task)
    except Interrupted as error:
        code, message = error.exit_code, str(error)
    except KeyboardInterrupt:
        code, message = ExitCode.INTERRUPTED, "interrupted before its first run"
    except LoadgenError as error:
        code, message = error.exit_code, str(error)
    except Exception as error:
        traceback.print_exc()
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        code, message = ExitCode.UNEXPECTED, f"unexpected failure: {said}"
    _tell({"event": "end", "exit_code": int(code), "message": message and message.replace(_RESUME, "resume the job")})
    return code


def _measure(task: Mapping[str, Any]) -> tuple[ExitCode, str | None]:
    targets = Targets.of(task["allowed"])
    stop = Stop()
    with Store.open(task["db_url"]) as store, held(claim_of(task["job_id"]), "this job is being measured already"):
        jobs = Jobs(store)
        job = jobs.job(task["job_id"])
        submission = submission_of(job.values, targets)
        target = targets.checked(submission.spec.url)

        def on_event(event: Event) -> None:
            if isinstance(event, SweepStarted):
                jobs.change(job.job_id, ("running",), sweep_id=event.sweep_id)
            if (words := told(event)) is not None:
                _tell(words)

        with interrupts(stop, lambda note: _tell({"event": "note", "message": note})):
            result = run_sweep(
                PlannedSweep(submission.spec, addresses=target.addresses),
                store,
                environ=os.environ,
                stop=stop,
                on_event=on_event,
                resume=None if job.sweep_id is None else Resume(job.sweep_id),
            )
    return result.exit_code, None if result.failure is None else str(result.failure)


def _tell(event: Told) -> None:
    """One line. Nobody may listen any more: that must not keep a run from being saved."""
    try:
        sys.stdout.write(json.dumps(event, allow_nan=False) + "\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        return


def _watch(lifeline: TextIO) -> None:
    descriptor = lifeline.fileno()

    def wait() -> None:
        while os.read(descriptor, 64):  # not through the stream, whose lock Python wants when it ends
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
