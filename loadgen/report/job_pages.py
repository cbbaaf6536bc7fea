"""The page of the service's jobs, and the form to log in: a context each.

May import store and the rest of report, but for `pages`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import loadgen
from loadgen.errors import ExitCode
from loadgen.report.readable import ago, moment, plural
from loadgen.store.rows import JobRow

SIMULATOR = "simulator"  # the target of jobs on the embedded one


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job's row in the list."""

    job_id: str
    name: str
    target: str
    status: str  # as it is shown: a running one may be about to be cancelled
    kind: str  # the status itself
    submitted: str
    submitted_ago: str
    runs: str
    message: str
    sweep_id: str
    simulated: bool
    can_cancel: bool
    can_resume: bool


@dataclass(frozen=True, slots=True)
class JobsPage:
    """The jobs, newest first. `empty_because` says why there is none; `older_than` is where the next page begins."""

    title: str
    lines: tuple[JobLine, ...]
    empty_because: str
    takes_jobs: bool
    logged_in: bool
    older_than: str
    moving: bool  # some job waits or is measured: the page looks again by itself
    draws: bool = False
    version: str = loadgen.__version__


@dataclass(frozen=True, slots=True)
class LoginPage:
    """The form to log in, with what was wrong the last time."""

    goes_to: str
    problem: str = ""
    title: str = "Log in"
    draws: bool = False
    version: str = loadgen.__version__


def jobs_page(
    jobs: Sequence[JobRow],
    now: datetime,
    *,
    takes_jobs: bool,
    logged_in: bool,
    simulated: Collection[str] = (),
    empty_because: str = "Nobody has sent a job yet.",
    older_than: str = "",
) -> JobsPage:
    """The list of `jobs`, in the order given; `simulated` are the ids of those whose server turned out to be a simulator."""
    lines = tuple(
        JobLine(
            job_id=job.job_id,
            name=job.name,
            target=job.target,
            status="ending" if job.status == "running" and job.cancel_requested else job.status,
            kind=job.status,
            submitted=moment(job.submitted_at),
            submitted_ago=ago(job.submitted_at, now),
            runs=plural(job.planned_runs, "run"),
            message=job.message or ("some run is invalid" if job.exit_code == ExitCode.INVALID_RUN else ""),
            sweep_id=job.sweep_id or "",
            simulated=job.job_id in simulated or job.target == SIMULATOR,
            can_cancel=takes_jobs and logged_in and not job.has_ended,
            can_resume=takes_jobs and logged_in and job.is_resumable,
        )
        for job in jobs
    )
    moving = any(not job.has_ended for job in jobs)
    return JobsPage("Jobs", lines, empty_because, takes_jobs, logged_in, older_than, moving)
