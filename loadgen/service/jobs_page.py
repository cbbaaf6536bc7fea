"""The page of the jobs, its twin in JSON, its buttons, and the form to log in."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from loadgen.report.pages.job_pages import LoginPage, jobs_page
from loadgen.service.access import LOGIN, LOGOUT, Access
from loadgen.service.documents import jobs_document
from loadgen.service.queue import Queue
from loadgen.store.jobs import Jobs
from loadgen.store.rows import JobRow, JobStanding
from loadgen.web.answers import document, html

router = APIRouter()
_ON_A_PAGE = 50


@router.get("/jobs")
def jobs(request: Request, before: str | None = None) -> Response:
    access, queue = _parts(request)
    rows: list[JobRow] = []
    standings: list[JobStanding] = []
    if (opened := request.app.state.database.open_if_there()) is not None:
        with opened as store:
            rows = Jobs(store).newest(limit=_ON_A_PAGE + 1, before=before)
            standings = Jobs(store).standings(rows[:_ON_A_PAGE])
    page = jobs_page(
        rows[:_ON_A_PAGE],
        datetime.now(UTC),
        takes_jobs=queue is not None,
        logged_in=access.has_session(request),
        standings=standings,
        older_than=rows[_ON_A_PAGE - 1].job_id if len(rows) > _ON_A_PAGE else "",
    )
    return html(page)


@router.get("/jobs.json")
def jobs_json(request: Request, before: str | None = None) -> Response:
    opened = request.app.state.database.open_if_there()
    if opened is None:
        return document({"schema_version": 1, "jobs": []})
    with opened as store:
        jobs = Jobs(store)
        return document(jobs_document(jobs, jobs.newest(limit=_ON_A_PAGE, before=before)))


@router.post("/jobs/{job_id}/cancel")
def cancel(job_id: str, request: Request) -> Response:
    _, queue = _parts(request)
    if queue is not None:
        queue.cancel(job_id)
    return RedirectResponse("/jobs", 303)


@router.post("/jobs/{job_id}/resume")
def resume(job_id: str, request: Request) -> Response:
    _, queue = _parts(request)
    if queue is not None:
        queue.resume(job_id)
    return RedirectResponse("/jobs", 303)


@router.get(LOGIN)
def login(request: Request, next: str = "/") -> Response:
    """The form, which the gate itself takes back."""
    return html(LoginPage(next))


@router.post(LOGOUT)
def logout(request: Request) -> Response:
    return _parts(request)[0].log_out(request)


def _parts(request: Request) -> tuple[Access, Queue | None]:
    return request.app.state.access, request.app.state.queue
