"""How far a job is: its runs, the one that is being measured, and the time, from its row and what its process reported last.

The page of jobs and its JSON are both made from this. What is not known is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from loadgen.report.format import utc
from loadgen.report.pages.live_view import QUIET_S, reported
from loadgen.store.rows import JobRow, JobStanding, ProgressDocument, ProgressRow

_OF_STANDING = (
    *("queue_position", "waits_for_job_id"),
    *("ended_runs", "cut_short_runs", "valid_runs", "doubtful_runs", "invalid_runs"),
)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is. `elapsed_s` is that of its latest attempt; `left_s` is an estimate of the process that measures it.

    `at_most` means that `planned_runs` is only a bound, as in a search, which ends when it has its answer.
    """

    planned_runs: int
    at_most: bool
    elapsed_s: float | None
    left_s: float | None
    progress_at: str | None  # when the process reported last; None: it has not, or the job is not running
    quiet_s: float  # how long ago that was, 0 while reports come as they should
    present_run: dict[str, Any] | None  # what is measured: its number in the grid, its load, how far it is in its phase


def job_progress(job: JobRow, standing: JobStanding, now: datetime) -> JobProgress:
    row = _of_this_attempt(job, standing.progress)
    document = reported(row)
    runs: Mapping[str, object] = document.get("runs") or {}
    since_s = None if row is None else _between_s(row.updated_at, now)
    is_quiet = since_s is not None and since_s > QUIET_S
    left_s = _figure(document.get("left_s"))
    return JobProgress(
        planned_runs=int(_figure(runs.get("planned")) or job.planned_runs),
        at_most=bool(runs.get("at_most")),
        elapsed_s=_between_s(job.started_at, now if job.ended_at is None else utc(job.ended_at)),
        left_s=None if left_s is None or since_s is None or is_quiet else max(0.0, left_s - since_s),
        progress_at=None if row is None else row.updated_at,
        quiet_s=since_s if since_s is not None and is_quiet else 0.0,
        present_run=_present_run(document),
    )


def job_figures(job: JobRow, standing: JobStanding, now: datetime) -> dict[str, Any]:
    """What a job's JSON says of its standing and progress."""
    progress = job_progress(job, standing, now)
    return {
        **{name: getattr(standing, name) for name in _OF_STANDING},
        "planned_runs_at_most": progress.at_most,
        "elapsed_s": progress.elapsed_s,
        "left_s": progress.left_s,
        "progress_at": progress.progress_at,
        "present_run": progress.present_run,
    }


def _present_run(document: ProgressDocument) -> dict[str, Any] | None:
    run = document.get("run")
    if not isinstance(run, Mapping):
        return None
    words = {name: str(run.get(name, "")) for name in ("load_label", "phase")}
    figures = {name: _figure(run.get(name)) for name in ("elapsed_s", "done_ratio")}
    counts = {
        name: None if (value := _figure(run.get(name))) is None else int(value)
        for name in ("position", "input_tokens", "output_tokens")
    }
    return None if counts["position"] is None else {**counts, **words, **figures}


def _of_this_attempt(job: JobRow, row: ProgressRow | None) -> ProgressRow | None:
    """The report, unless a killed process of an earlier attempt left it."""
    if row is None or job.status != "running":
        return None
    started, reported_at = utc(job.started_at), utc(row.updated_at)
    return None if started is not None and reported_at is not None and reported_at < started else row


def _figure(value: object) -> float | None:
    """A number that a process reported; None if it is none."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) else None


def _between_s(start: str | None, end: datetime | None) -> float | None:
    """Seconds from one time to another; never below 0, since two machines' clocks may differ."""
    begin = utc(start)
    return None if begin is None or end is None else max(0.0, (end - begin).total_seconds())
