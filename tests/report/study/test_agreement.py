"""Predictions next to what was measured on the same hardware."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.importers.importing import read_sweep
from loadgen.report.study.agreement import agreements
from loadgen.report.study.documents import study_document
from loadgen.report.study.prediction_errors import error_table
from loadgen.report.study.results import StudyResults
from loadgen.report.study.site import FILE
from loadgen.report.study.study_page import study_page
from loadgen.store.repository import Store
from loadgen.study.study_file import read_study
from tests.report.study.conftest import RESULTS
from tests.report.study.on_record import study_results

QWEN = RESULTS / "2026-11-30-h200-qwen1.5-moe-a2.7b-dummy-waves-128.json.gz"


def results(folder: Path, *, is_predicted: bool) -> StudyResults:
    """What was measured of Figure 6, and predictions of it on the same hardware."""
    found = read_sweep(QWEN)
    with Store.open(f"sqlite:///{folder / 'both.db'}") as store:
        store.add_imported(found.sweep, found.runs)
        if is_predicted:
            runs: Any = copy.deepcopy(list(found.runs))
            for at, run in enumerate(runs):
                run |= {"simulated": True, "run_id": f"r-predicted-{at}", "sweep_id": "s-predicted"}
            assert found.sweep.imported is not None
            mark = replace(found.sweep.imported, sha256="0" * 64)
            store.add_imported(replace(found.sweep, sweep_id="s-predicted", simulated=True, imported=mark), runs)
        return study_results(read_study("fig06"), store)


@pytest.fixture
def both(tmp_path: Path) -> StudyResults:
    return results(tmp_path, is_predicted=True)


def test_the_errors_are_those_that_the_command_prints_of_the_same_runs(both: StudyResults) -> None:
    (found,) = agreements(both)
    assert found.measured.label == "H200, measured, dummy weights and routers"
    assert found.errors.to_json() == error_table(read_sweep(QWEN).runs).to_json()
    assert {name: row.runs for name, row in found.errors.totals} == {
        "fitted": 0,
        "held out": 5,
        "held out, with outliers": 7,
    }
    (written,) = study_document(both)["prediction_errors"]
    assert written == {"hardware": "H200", "against": found.measured.label, **found.errors.to_json()}


def test_the_page_has_the_errors_of_each_figure_and_names_outliers(both: StudyResults) -> None:
    page = study_page(both, [both], FILE)
    assert page.agreement is not None
    assert page.agreement.columns == ("measured", "which runs", "runs", "throughput", "E2E latency", "TTFT", "TPOT")
    assert [row[1:3] for row in page.agreement.rows] == [("held out", "5"), ("held out, with outliers", "7")]
    assert all(cell.count("%") == 2 for row in page.agreement.rows for cell in row[3:])
    assert "2 outliers: a kernel was compiled in the run" in page.agreement_note


def test_without_a_prediction_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert agreements(results(tmp_path, is_predicted=False)) == ()
