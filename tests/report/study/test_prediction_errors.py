"""Predictions against runs on a real H200 (results/), and the table of their errors."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from loadgen.cli.tables.study_prediction import error_tables
from loadgen.report.study.prediction_errors import FIGURES_COMPARED, RunKind, error_table, run_error
from loadgen.servers.prediction.fitted import CALIBRATIONS, OUTLIERS

RESULTS = Path(__file__).resolve().parents[3] / "results"
QWEN = "2026-11-30-h200-qwen1.5-moe-a2.7b-dummy-waves-{}.json.gz"


def runs_of(name: str) -> list[Any]:
    data = (RESULTS / name).read_bytes()
    found: list[Any] = json.loads(gzip.decompress(data) if name.endswith(".gz") else data)["runs"]
    return found


def test_a_run_that_took_no_part_in_the_fit_is_predicted_from_its_own_record() -> None:
    run = runs_of(QWEN.format(512))[4]
    found = run_error(run)
    assert found.kind == RunKind("qwen1.5-moe-a2.7b", "bf16", "wave", 512)
    assert not found.is_fitted
    assert {name for name, value in found.errors.items() if value is not None} == set(FIGURES_COMPARED)
    slower = CALIBRATIONS["h200"].on_slower_host(3.0)
    ttft, usual_ttft = run_error(run, slower).errors["ttft"], found.errors["ttft"]
    assert ttft is not None
    assert usual_ttft is not None
    assert ttft > usual_ttft


@pytest.mark.parametrize("tokens", [512, 1024])
def test_held_out_runs_are_predicted_within_what_is_promised(tokens: int) -> None:
    (row,) = error_table(runs_of(QWEN.format(tokens))).rows
    assert (row.is_fitted, row.runs) == (False, 7)
    for name, promised in {"throughput": 0.10, "e2e": 0.10, "ttft": 0.20, "tpot": 0.10}.items():
        median = row.median[name]
        assert median is not None
        assert median < promised


def test_outliers_are_named_and_counted_apart() -> None:
    table = error_table(runs_of(QWEN.format(128)))
    totals = dict(table.totals)
    assert {each.run["run_id"] for each in table.outliers} == {
        run for run, why in OUTLIERS.items() if "compiled" in why
    }
    assert (totals["held out"].runs, totals["held out, with outliers"].runs) == (5, 7)
    assert totals["fitted"].median == dict.fromkeys(FIGURES_COMPARED)
    console = Console(width=110, record=True, file=io.StringIO())
    for each in error_tables(table):
        console.print(each)
    shown = console.export_text()
    assert "qwen1.5-moe-a2.7b" in shown
    assert "wave of 32, 128 tokens in: a kernel was compiled in the run" in shown


def test_simulated_runs_are_no_measure_and_unknown_accelerators_are_named() -> None:
    (run,) = runs_of(QWEN.format(128))[:1]
    elsewhere = json.loads(json.dumps(run))
    elsewhere["server"]["launch"]["gpus"][0]["name"] = elsewhere["gpu"]["devices"][0]["name"] = "NVIDIA T4"
    simulated = json.loads(json.dumps(run)) | {"simulated": True}
    table = error_table([simulated, elsewhere])
    assert table.rows == ()
    assert "there is no accelerator 'NVIDIA T4'" in dict(table.left_out)["qwen1.5-moe-a2.7b, wave of 1"]


def test_the_fitted_sweeps_are_in_results() -> None:
    for sweep_id, name in CALIBRATIONS["h200"].fitted_on.items():
        assert {run["sweep_id"] for run in runs_of(name)} == {sweep_id}
