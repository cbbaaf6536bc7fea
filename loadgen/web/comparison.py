"""The comparison: the page, its twin in JSON, and its figures as CSV, all from the address alone."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from loadgen.report.comparison.compared import Compared, compared
from loadgen.report.comparison.page import comparison_page, flat_rows
from loadgen.report.comparison.selection import select
from loadgen.report.comparison.table import as_csv
from loadgen.report.comparison.view import NO_BASELINE, View, read_view
from loadgen.web.answers import document, html
from loadgen.web.dashboard_store import Reading

router = APIRouter()


def _view(request: Request) -> View:
    query = request.query_params
    return read_view({name: query.getlist(name) for name in query})


Asked = Annotated[View, Depends(_view)]


@router.get("/compare")
def comparison(view: Asked, store: Reading) -> Response:
    return html(comparison_page(view, select(store, view)))


@router.get("/compare.json")
def comparison_json(view: Asked, store: Reading) -> Response:
    selection = select(store, view)
    made = compared(view, selection)
    return document(
        {
            "schema_version": 1,
            "view": dict(_pairs(made)),
            "baseline": made.view.baseline or None,
            "baseline_source": made.baseline_source,
            "chosen": [
                {"id": each.given, "sweep_id": each.sweep.sweep_id, "name": each.label} for each in selection.chosen
            ],
            "cells": flat_rows(made),
        }
    )


@router.get("/compare.csv")
def comparison_csv(view: Asked, store: Reading) -> Response:
    text = as_csv(flat_rows(compared(view, select(store, view))))
    headers = {"Content-Disposition": 'attachment; filename="comparison.csv"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _pairs(made: Compared) -> list[tuple[str, Any]]:
    """Return the view by the names of its address, lists whole, so that it says the same when it is asked for."""
    view = replace(made.view, baseline=NO_BASELINE) if made.baseline_source == "none_asked" else made.view
    many = {name: [value for key, value in view.pairs() if key == name] for name in ("in", "y")}
    return [*many.items(), *((name, value) for name, value in view.pairs() if name not in many)]
