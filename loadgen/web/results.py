"""The list of sweeps, a sweep, and a run, each as a page and as JSON."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from loadgen.errors import UsageError
from loadgen.report.comparison.selection import filtered
from loadgen.report.comparison.view import Filters, check_words, read_filters
from loadgen.report.export.results import run_document, sweep_document
from loadgen.report.pages.contexts import run_page, sweep_page
from loadgen.report.pages.live_view import live_view
from loadgen.report.pages.sweep_figures import sweeps_document
from loadgen.report.pages.sweeps_list import sweeps_page
from loadgen.report.run_selection import outline_of
from loadgen.web.answers import document, html
from loadgen.web.dashboard_store import DashboardStore, Reading
from loadgen.web.live import progress_of

router = APIRouter()


def _filters(request: Request) -> Filters:
    query = request.query_params
    check_words(query, (*(each.name for each in fields(Filters)), "page"), "the list")
    return read_filters({name: query.getlist(name) for name in query})


Asked = Annotated[Filters, Depends(_filters)]


@router.get("/")
def sweeps(request: Request, filters: Asked) -> Response:
    """The sweeps that the filters in the address let through, newest first, a page of them at a time."""
    database: DashboardStore = request.app.state.database
    rows, empty_because = database.sweeps()
    number = request.query_params.get("page") or "1"
    if not (number.isascii() and number.isdigit() and 1 <= len(number) <= 9):
        raise UsageError(f"page is '{number[:20]}', which is no number of a page: the first is 1")
    page = sweeps_page(
        rows,
        datetime.now(UTC),
        empty_because=empty_because,
        filters=filters,
        page=int(number),
        progress=database.progress(rows),
        open_runs=database.run_figures,
    )
    return html(page)


@router.get("/sweeps.json")
def sweeps_json(request: Request, filters: Asked) -> Response:
    """All sweeps that the filters let through, newest first, without their runs."""
    database: DashboardStore = request.app.state.database
    rows, _ = database.sweeps()
    listed = filtered(rows, filters)
    return document(sweeps_document(listed, database.run_figures(listed)))


@router.get("/sweeps/{sweep_id}.json")
def sweep_json(sweep_id: str, store: Reading) -> Response:
    return document(sweep_document(store.sweep(sweep_id), store.runs(sweep_id)))


@router.get("/sweeps/{sweep_id}")
def sweep(sweep_id: str, store: Reading) -> Response:
    found = store.sweep(sweep_id)
    siblings = [] if found.group_id is None else store.group(found.group_id)
    runs, now = store.runs(sweep_id), datetime.now(UTC)
    live = live_view(progress_of(store, found), now) if found.status == "running" else None
    return html(sweep_page(found, runs, now, siblings=siblings, open_outline=store.outline, live=live))


@router.get("/runs/{run_id}.json")
def run_json(run_id: str, store: Reading) -> Response:
    found = store.run(run_id)
    return document(run_document(store.sweep(found["sweep_id"]), found))


@router.get("/runs/{run_id}")
def run(run_id: str, store: Reading) -> Response:
    found, samples, gpus = store.run(run_id), store.samples(run_id), store.gpus(run_id)
    return html(run_page(found, outline_of(store, found), datetime.now(UTC), samples=samples, gpus=gpus))
