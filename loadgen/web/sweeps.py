"""The list of sweeps, and a sweep, each as a page and as JSON.

May import report, store and the rest of web.
"""

from dataclasses import asdict
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from loadgen.report.export import sweep_document
from loadgen.report.pages import sweep_page, sweeps_page
from loadgen.web.answers import document, html
from loadgen.web.database import Database, Reading

router = APIRouter()


@router.get("/")
def sweeps(request: Request) -> Response:
    """All sweeps, newest first."""
    database: Database = request.app.state.database
    rows, empty_because = database.sweeps()
    return html(sweeps_page(rows, datetime.now(UTC), empty_because))


@router.get("/sweeps.json")
def sweeps_json(request: Request) -> Response:
    """All sweeps, newest first, without their runs."""
    database: Database = request.app.state.database
    rows, _ = database.sweeps()
    return document({"schema_version": 1, "sweeps": [asdict(row) for row in rows]})


@router.get("/sweeps/{sweep_id}.json")
def sweep_json(sweep_id: str, store: Reading) -> Response:
    """A sweep with the documents of its runs."""
    return document(sweep_document(store.sweep(sweep_id), store.runs(sweep_id)))


@router.get("/sweeps/{sweep_id}")
def sweep(sweep_id: str, store: Reading) -> Response:
    """A sweep's page."""
    found = store.sweep(sweep_id)
    siblings = [] if found.group_id is None else store.group(found.group_id)
    runs, now = store.runs(sweep_id), datetime.now(UTC)
    return html(sweep_page(found, runs, now, siblings=siblings, open_outline=store.outline))
