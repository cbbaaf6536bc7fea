"""A run, as a page and as JSON.

May import report, store and the rest of web.
"""

from datetime import UTC, datetime

from fastapi import APIRouter, Response

from loadgen.report.pages import run_page
from loadgen.web.answers import document, html
from loadgen.web.database import Reading

router = APIRouter()


@router.get("/runs/{run_id}.json")
def run_json(run_id: str, store: Reading) -> Response:
    """A run's document."""
    return document(store.run(run_id))


@router.get("/runs/{run_id}")
def run(run_id: str, store: Reading) -> Response:
    """A run's page."""
    samples, gpus = store.samples(run_id), store.gpus(run_id)
    return html(run_page(store.run(run_id), store.records(run_id), datetime.now(UTC), samples=samples, gpus=gpus))
