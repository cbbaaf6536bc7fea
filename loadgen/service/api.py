"""The API under /api/v1: send a sweep, follow it, cancel it, resume it, and take the results.

Who may ask is the gate's affair (`access`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from loadgen.errors import LoadgenError, NotFoundError, StoreError
from loadgen.report.export.results import Format, export, run_document, sweep_document
from loadgen.report.pages.sweep_figures import sweeps_document
from loadgen.service import examples
from loadgen.service.access import read_body
from loadgen.service.documents import JobDocument, job_document, jobs_document
from loadgen.service.queue import FullError, Queue
from loadgen.service.submission import MAX_BYTES, TooLargeError, read_object, submission_of
from loadgen.store.jobs import Jobs
from loadgen.store.repository import Store
from loadgen.store.rows import JobRow, JobStanding
from loadgen.web.answers import document, sent_event
from loadgen.web.dashboard_store import DashboardStore

PREFIX = "/api/v1"
router = APIRouter(prefix=PREFIX)

MAX_FOLLOWERS = 100
_LOOK_AGAIN_S = 0.25
_HEARTBEAT_S = 15.0
_MEDIA = {
    "json": "application/json",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "vllm-bench": "application/jsonl",
}


class NotServingError(LoadgenError):
    """The service takes no jobs."""


def _reading(request: Request) -> Iterator[Store]:
    """The store, for one request. Raises StoreError; that there is no database (any more) is one."""
    database: DashboardStore = request.app.state.database
    try:
        opened = database.open()
    except NotFoundError as absent:
        raise StoreError(str(absent)) from absent
    with opened as store:
        yield store


def _queue(request: Request) -> Queue:
    queue: Queue | None = request.app.state.queue
    if queue is None:
        raise NotServingError(
            "this dashboard takes no jobs: whoever runs it can start it with --token-env NAME, and then it does"
        )
    return queue


_opened = contextmanager(_reading)
Reading = Annotated[Store, Depends(_reading)]
TakingJobs = Annotated[Queue, Depends(_queue)]
Limit = Annotated[int, Query(ge=1, le=500, description="at most so many, the newest first")]


@router.post("/sweeps", status_code=202, response_model=JobDocument, **examples.SUBMIT)
async def submit(request: Request, queue: TakingJobs) -> Response:
    """Send a sweep: its spec as JSON, with the keys of a spec file. It is measured when its server's turn has come."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return document({"schema_version": 1, "error": "the request must be of the type application/json"}, 415)
    body = await read_body(request, MAX_BYTES)
    if body is None:
        raise TooLargeError(f"the request has more than {MAX_BYTES:,} bytes, and no spec does")

    def put() -> JobDocument:
        return _document(request, queue.submit(submission_of(read_object(body), queue.targets)))

    job = await run_in_threadpool(put)
    answer = document(job.model_dump(), 202)
    answer.headers["Location"] = f"{PREFIX}/jobs/{job.job_id}"
    return answer


@router.get("/jobs", **examples.JOBS)
def jobs(store: Reading, limit: Limit = 50, before: str | None = None, spec_hash: str | None = None) -> Response:
    """The jobs, the newest first; with `before`, those older than that job; with `spec_hash`, those of that grid."""
    rows = Jobs(store).newest(limit=limit, before=before, spec_hash=spec_hash)
    return document(jobs_document(Jobs(store), rows))


@router.get("/jobs/{job_id}", response_model=JobDocument, **examples.JOB)
def job(job_id: str, store: Reading) -> Response:
    """One job, by its id or the unique beginning of it."""
    return document(job_document(*_with_standing(store, job_id)).model_dump())


@router.post("/jobs/{job_id}/cancel", response_model=JobDocument, **examples.CANCEL)
def cancel(job_id: str, request: Request, queue: TakingJobs) -> Response:
    """Take a job out of the queue, or end its measurement: it waits for the answers on their way; a second time, it does not."""
    return document(_document(request, queue.cancel(job_id)).model_dump())


@router.post("/jobs/{job_id}/resume", status_code=202, response_model=JobDocument, **examples.RESUME)
def resume(job_id: str, request: Request, queue: TakingJobs) -> Response:
    """Queue a job again that ended early. The runs that ended are kept."""
    return document(_document(request, queue.resume(job_id)).model_dump(), 202)


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse, **examples.EVENTS)
async def events(job_id: str, request: Request, queue: TakingJobs) -> Response:
    """How a job goes, as server-sent events, until it has ended. `Last-Event-ID` goes on where a stream broke off."""
    found = await run_in_threadpool(_job_of, request, job_id)
    state = request.app.state
    if state.followers >= MAX_FOLLOWERS:
        raise FullError(f"{MAX_FOLLOWERS} follow jobs already, and no more are taken: ask for the job itself")
    return StreamingResponse(
        _follow(request, queue, *found),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/sweeps", **examples.SWEEPS)
def sweeps(store: Reading) -> Response:
    """All sweeps, newest first, without their runs."""
    return document(sweeps_document(store.sweeps(), store.run_figures()))


@router.get("/sweeps/{sweep_id}", **examples.SWEEP)
def sweep(sweep_id: str, store: Reading) -> Response:
    """A sweep with the documents of its runs, as `loadgen sweep --json` writes it."""
    return document(sweep_document(store.sweep(sweep_id), store.runs(sweep_id)))


@router.get("/sweeps/{sweep_id}/export", response_class=Response, **examples.EXPORT)
def export_sweep(sweep_id: str, store: Reading, format: Format = "json", requests: bool = False) -> Response:
    """A sweep as a file: JSON, or a table with a row for each run, or with `requests` for each request."""
    found = store.sweep(sweep_id).sweep_id
    name = f"{found}{'-requests' if requests else ''}.{format}"
    return Response(
        export(store, found, format, requests),
        media_type=_MEDIA[format],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/runs/{run_id}", **examples.RUN)
def run(run_id: str, store: Reading) -> Response:
    """A run's document, with what is known of its sweep."""
    found = store.run(run_id)
    return document(run_document(store.sweep(found["sweep_id"]), found))


def _job_of(request: Request, job_id: str) -> tuple[JobRow, JobStanding]:
    with _opened(request) as store:
        return _with_standing(store, job_id)


def _with_standing(store: Store, job_id: str) -> tuple[JobRow, JobStanding]:
    jobs = Jobs(store)
    job = jobs.job(job_id)
    return job, jobs.standings([job])[0]


def _document(request: Request, job: JobRow) -> JobDocument:
    """The job that was just changed, as a document. A database that fails only now does not undo the change."""
    standing = None
    with suppress(StoreError), _opened(request) as store:
        (standing,) = Jobs(store).standings([job])
    return job_document(job, standing)


async def _follow(request: Request, queue: Queue, job: JobRow, standing: JobStanding) -> AsyncIterator[str]:
    state = request.app.state
    state.followers += 1
    try:
        attempt, _, number = request.headers.get("last-event-id", "").partition(".")
        told = (int(attempt), int(number)) if attempt.isdigit() and number.isdigit() else (0, 0)
        if not job.has_ended:
            yield sent_event("job", job_document(job, standing).model_dump())
        version, quiet_s = queue.version, 0.0
        while True:
            if await request.is_disconnected():
                return
            if queue.lost is not None and not job.has_ended:
                raise StoreError(str(queue.lost))
            ended = job.has_ended  # looked at before the log, whose last event comes before the end
            log = queue.log(job.job_id)
            if log is not None and log.attempt == job.attempts:
                for number_, event in log.after(told[1] if told[0] == log.attempt else 0):
                    told, quiet_s = (log.attempt, number_), 0.0
                    words = {key: value for key, value in event.items() if key != "event"}
                    yield sent_event(event["event"], words, f"{log.attempt}.{number_}")
            if ended:
                yield sent_event("job", job_document(job, standing).model_dump())
                return
            if queue.version != version:
                version = queue.version
                before = job, standing.queue_position
                job, standing = await run_in_threadpool(_job_of, request, job.job_id)
                if (job, standing.queue_position) != before:
                    quiet_s = 0.0
                    if not job.has_ended:
                        yield sent_event("job", job_document(job, standing).model_dump())
                    continue
            await asyncio.sleep(_LOOK_AGAIN_S)
            quiet_s += _LOOK_AGAIN_S
            if quiet_s >= _HEARTBEAT_S:
                quiet_s = 0.0
                yield ": still here\n\n"
    except StoreError as error:
        yield sent_event("error", {"error": str(error)})
    finally:
        state.followers -= 1
