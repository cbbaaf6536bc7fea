"""A job as the API tells of it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from loadgen.report.pages.job_progress import job_figures
from loadgen.store.jobs import Jobs
from loadgen.store.rows import JobRow, JobStanding, JobStatus


class PresentRunDocument(BaseModel):
    """The run of a job that is being measured."""

    model_config = ConfigDict(extra="ignore")

    position: int = Field(description="its number in the grid, from 1")
    load_label: str = Field(examples=["concurrency 4"])
    input_tokens: int | None = None
    output_tokens: int | None = None
    phase: str = Field(examples=["measuring"])
    elapsed_s: float | None = Field(default=None, description="of this phase")
    done_ratio: float | None = Field(default=None, description="of this phase, 0 to 1")


class JobDocument(BaseModel):
    """A sweep that was sent to this service."""

    model_config = ConfigDict(extra="ignore")  # of a newer service, for its clients

    schema_version: int = 1
    job_id: str = Field(examples=["j261126-204324-09af3c51"])
    status: JobStatus = Field(
        description="queued → running → finished (every run ended), failed (something ended it early), cancelled or "
        "interrupted; the last three can be resumed"
    )
    target: str = Field(description="the server, of which one job is measured at a time", examples=["127.0.0.1:8000"])
    name: str
    spec: dict[str, Any] = Field(description="as it was sent")
    spec_hash: str = Field(description="by which the same grid is recognised")
    planned_runs: int
    submitted_at: str = Field(description="UTC, ISO 8601, as the others")
    sweep_id: str | None = Field(description="where its results are; null until the server has answered")
    attempts: int
    started_at: str | None
    ended_at: str | None
    exit_code: int | None = Field(description="what `loadgen sweep` would have ended with: 0, 3 with an invalid run, …")
    message: str | None = Field(description="why it ended early")
    cancel_requested: bool
    queue_position: int | None = Field(
        default=None, description="1 for the next of its server; null unless it is queued", examples=[2]
    )
    waits_for_job_id: str | None = Field(
        default=None,
        description="the job right before it on its server, running or queued; null if it is the next to start",
    )
    ended_runs: int | None = Field(
        default=None, description="of all attempts; null where it is not known, as the next four"
    )
    cut_short_runs: int | None = Field(default=None, description="runs that were ended before their time")
    valid_runs: int | None = Field(default=None, description="of the ended and the cut-short runs, as the next two")
    doubtful_runs: int | None = None
    invalid_runs: int | None = None
    planned_runs_at_most: bool | None = Field(
        default=None, description="whether fewer runs may be enough, as in a search, which ends when it has its answer"
    )
    elapsed_s: float | None = Field(
        default=None, description="of its latest attempt, so far or in all; null before it began"
    )
    left_s: float | None = Field(default=None, description="estimated, of the whole job; null where it cannot be told")
    progress_at: str | None = Field(
        default=None, description="when its process reported last; null unless it is running"
    )
    present_run: PresentRunDocument | None = Field(default=None, description="what is being measured")


def job_document(job: JobRow, standing: JobStanding | None) -> JobDocument:
    """The job as a document; without a standing, what the store would say of it is null."""
    known = {name: getattr(job, name) for name in JobRow.__dataclass_fields__ if name != "values"}
    figures = {} if standing is None else job_figures(job, standing, datetime.now(UTC))
    return JobDocument(**known, **figures, spec=dict(job.values))


def jobs_document(jobs: Jobs, rows: Sequence[JobRow]) -> dict[str, object]:
    """Several jobs as one document, in the order of the rows."""
    documents = [job_document(row, standing) for row, standing in zip(rows, jobs.standings(rows), strict=True)]
    return {"schema_version": 1, "jobs": [each.model_dump() for each in documents]}
