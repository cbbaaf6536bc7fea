"""A job as the API tells of it. Imports `store` and pydantic, whose model is what the API's description says of it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from loadgen.store.rows import JobRow, JobStatus


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


def job_document(job: JobRow) -> dict[str, Any]:
    """The job as a document."""
    known = {name: getattr(job, name) for name in JobRow.__dataclass_fields__ if name != "values"}
    return JobDocument(**known, spec=job.values).model_dump()
