"""Predictions next to what was measured on the same hardware."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.importers.importing import read_sweep
from loadgen.report.study.agreement import agreements
from loadgen.report.study.results import StudyResults, study_results
from loadgen.store.repository import Store
from loadgen.study.study_file import read_study
from tests.report.study.conftest import RESULTS

WAVE = RESULTS / "2026-11-30-h200-deepseek-v2-lite-dummy-waves-128.json.gz"


def results(folder: Path, *, predicted: float | None) -> StudyResults:
    """What was measured, and the same `predicted` times as fast, on the same hardware."""
    found = read_sweep(WAVE)
    with Store.open(f"sqlite:///{folder / 'both.db'}") as store:
        store.add_imported(found.sweep, found.runs)
        if predicted is not None:
            runs: Any = copy.deepcopy(list(found.runs))
            for at, run in enumerate(runs):
                run |= {"simulated": True, "run_id": f"r-predicted-{at}", "sweep_id": "s-predicted"}
                run["output_tokens_per_s"] *= predicted
                run["ttft_s"]["p50"] /= predicted
                run["e2e_latency_s"]["p50"] /= predicted
            assert found.sweep.imported is not None
            mark = replace(found.sweep.imported, sha256="0" * 64)
            store.add_imported(replace(found.sweep, sweep_id="s-predicted", simulated=True, imported=mark), runs)
        return study_results(read_study("fig06"), store)


@pytest.mark.parametrize(("predicted", "error"), [(1.1, 0.1), (0.8, 0.2), (1.0, 0.0)])
def test_the_error_is_a_share_of_what_was_measured(tmp_path: Path, predicted: float, error: float) -> None:
    throughput, ttft, tpot, e2e = agreements(results(tmp_path, predicted=predicted))
    assert throughput.hardware == "H200"
    assert throughput.measured.label == "H200, measured, dummy weights and routers"
    assert [each.figure for each in (throughput, ttft, tpot, e2e)] == [
        "Output throughput",
        "TTFT p50",
        "TPOT p50",
        "End-to-end latency p50",
    ]
    assert {each.points for each in (throughput, ttft, tpot, e2e)} == {7}
    assert ttft.median_ratio == e2e.median_ratio == pytest.approx(abs(1 / predicted - 1), abs=1e-9)
    assert tpot.max_ratio == 0
    assert throughput.median_ratio == pytest.approx(error, abs=1e-9)
    assert throughput.max_ratio == pytest.approx(error, abs=1e-9)


def test_without_a_prediction_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert agreements(results(tmp_path, predicted=None)) == ()
