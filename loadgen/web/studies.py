"""Studies: the index, one of them, and all claims, each as a page and as JSON."""

from contextlib import nullcontext
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse

from loadgen.report.comparison.view import check_choice, check_words
from loadgen.report.study.documents import claims_document, studies_document, study_document
from loadgen.report.study.files import render_study
from loadgen.report.study.index_page import claims_page, studies_page
from loadgen.report.study.library import Shelf, StudyLibrary
from loadgen.report.study.results import VERDICTS
from loadgen.report.study.site import DASHBOARD
from loadgen.report.study.study_page import study_page
from loadgen.web.answers import document
from loadgen.web.dashboard_store import DashboardStore

router = APIRouter()


def _shelf(request: Request) -> Shelf:
    """All studies. Raises `StoreError`."""
    database: DashboardStore = request.app.state.database
    library: StudyLibrary = request.app.state.studies
    with database.open_if_there() or nullcontext() as store:
        return library.shelf(store)


Studies = Annotated[Shelf, Depends(_shelf)]


@router.get("/studies")
def studies(shelf: Studies) -> Response:
    return HTMLResponse(render_study(studies_page(shelf.studies, DASHBOARD, shelf.problems)))


@router.get("/studies.json")
def studies_json(shelf: Studies) -> Response:
    return document(studies_document(shelf.studies, shelf.problems))


@router.get("/studies/claims")
def claims(request: Request, shelf: Studies) -> Response:
    """All claims that the address lets through. Raises UsageError for a word in it that is none."""
    asked = dict(request.query_params)
    check_words(asked, ("verdict", "study"), "the page of claims")
    if asked.get("verdict"):
        check_choice("verdict", asked["verdict"], VERDICTS)
    if asked.get("study"):
        check_choice("study", asked["study"], [each.file.study.name for each in shelf.studies])
    return HTMLResponse(render_study(claims_page(shelf.studies, DASHBOARD, asked)))


@router.get("/studies/claims.json")
def claims_json(shelf: Studies) -> Response:
    return document(claims_document(shelf.studies))


@router.get("/studies/{name}.json")
def study_json(name: str, shelf: Studies) -> Response:
    return document(study_document(shelf.study(name)))


@router.get("/studies/{name}")
def study(name: str, shelf: Studies) -> Response:
    return HTMLResponse(render_study(study_page(shelf.study(name), shelf.studies, DASHBOARD)))
