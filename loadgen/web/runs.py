"""A run, as a page and as JSON."""

from datetime import UTC, datetime

from fastapi import APIRouter, Response

from loadgen.report.export.export import run_document
from loadgen.report.pages.pages import run_page
from loadgen.report.select.outlines import outline_of
from loadgen.web.answers import document, html
from loadgen.web.database import Reading

router = APIRouter()


@router.get("/runs/{run_id}.json")
def run_json(run_id: str, store: Reading) -> Response:
    """A run's document, with what is known of its sweep."""
    found = store.run(run_id)
    return document(run_document(store.sweep(found["sweep_id"]), found))


@router.get("/runs/{run_id}")
def run(run_id: str, store: Reading) -> Response:
    """A run's page."""
    found, samples, gpus = store.run(run_id), store.samples(run_id), store.gpus(run_id)
    return html(run_page(found, outline_of(store, found), datetime.now(UTC), samples=samples, gpus=gpus))
