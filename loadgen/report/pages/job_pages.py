"""The page of the service's jobs, and the form to log in: a context each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from loadgen.errors import ExitCode
from loadgen.report.format import ago, number, ordinal, percent, plural, seconds, timestamp
from loadgen.report.pages.job_progress import JobProgress, job_progress
from loadgen.store.rows import JobRow, JobStanding

SIMULATOR = "simulator"  # the target of jobs on the embedded one


@dataclass(frozen=True, slots=True)
class JobLine:
    job: JobRow
    standing: JobStanding
    status: str  # as shown: a running job may be about to be cancelled
    submitted: str
    submitted_ago: str
    planned: str  # how many runs it asked for
    most_runs: int | None  # None: the number of runs is not known beforehand
    ended: str  # "2 of 9 runs ended"; empty for a job that has never run
    present: str  # the run that is being measured
    times: str  # elapsed and remaining
    queue: str  # its place in the queue
    waits_for_job_id: str  # only if that job is on the same page
    message: str
    simulated: bool
    can_cancel: bool
    can_resume: bool


@dataclass(frozen=True, slots=True)
class JobsPage:
    """The jobs, newest first. `older_than` is where the next page begins."""

    title: str
    lines: tuple[JobLine, ...]
    takes_jobs: bool
    logged_in: bool
    older_than: str
    moving: bool  # some job waits or is measured: the page looks again by itself


@dataclass(frozen=True, slots=True)
class LoginPage:
    """The form to log in, with what was wrong the last time."""

    goes_to: str
    problem: str = ""
    title: str = "Log in"


def jobs_page(
    jobs: Sequence[JobRow],
    now: datetime,
    *,
    takes_jobs: bool,
    logged_in: bool,
    standings: Sequence[JobStanding] = (),
    older_than: str = "",
) -> JobsPage:
    """The list of `jobs`, in the order given, with the standing of each."""
    shown = {job.job_id for job in jobs}
    lines = tuple(
        _line(job, standing, now, shown, can_change=takes_jobs and logged_in)
        for job, standing in zip(jobs, standings, strict=True)
    )
    moving = any(not job.has_ended for job in jobs)
    return JobsPage("Jobs", lines, takes_jobs, logged_in, older_than, moving)


def _line(job: JobRow, standing: JobStanding, now: datetime, shown: Collection[str], *, can_change: bool) -> JobLine:
    progress = job_progress(job, standing, now)
    has_runs = job.sweep_id is not None or job.status == "running"
    return JobLine(
        job=job,
        standing=standing,
        status="ending" if job.status == "running" and job.cancel_requested else job.status,
        submitted=timestamp(job.submitted_at),
        submitted_ago=ago(job.submitted_at, now),
        planned=plural(job.planned_runs, "run"),
        most_runs=None if progress.at_most and not job.has_ended else progress.planned_runs,
        ended=_ended(standing, progress) if has_runs else "",
        present=_present(job, progress),
        times=_times(job, progress),
        queue=""
        if standing.queue_position is None
        else f"{ordinal(standing.queue_position)} in the queue of this server",
        waits_for_job_id=before if (before := standing.waits_for_job_id) and before in shown else "",
        message=job.message or ("some run is invalid" if job.exit_code == ExitCode.INVALID_RUN else ""),
        simulated=standing.simulated or job.target == SIMULATOR,
        can_cancel=can_change and not job.has_ended,
        can_resume=can_change and job.is_resumable,
    )


def _ended(standing: JobStanding, progress: JobProgress) -> str:
    of = "at most " if progress.at_most else ""
    said = f"{standing.ended_runs:,} of {of}{plural(progress.planned_runs, 'run')} ended"
    return f"{said}, {standing.cut_short_runs:,} cut short" if standing.cut_short_runs else said


def _present(job: JobRow, progress: JobProgress) -> str:
    run = progress.present_run
    if job.status != "running":
        return ""
    if run is None:
        if job.sweep_id is None:
            return "waiting for the server's first reply"
        return "" if progress.progress_at is None or progress.quiet_s else "between two runs"
    of = "at most " if progress.at_most else ""
    lengths = f"{number(run['input_tokens'])} in, {number(run['output_tokens'])} out"
    phase = run["phase"]
    if phase == "measuring" and run["done_ratio"] is not None:
        phase = f"{phase}, {percent(run['done_ratio'])}"
    return f"Run {run['position']:,} of {of}{progress.planned_runs:,}: {run['load_label']}, {lengths}: {phase}"


def _times(job: JobRow, progress: JobProgress) -> str:
    """How long the job has taken so far, or took, and how much is left."""
    if progress.elapsed_s is None:
        return ""
    elapsed = seconds(round(progress.elapsed_s))
    if job.has_ended:
        return f"took {elapsed}"
    if progress.quiet_s:
        return f"{elapsed} so far, nothing new for {seconds(round(progress.quiet_s))}"
    if progress.left_s is None:
        return f"{elapsed} so far"
    return f"{elapsed} so far, about {seconds(round(progress.left_s))} left"
