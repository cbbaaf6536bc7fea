"""Accuracy against speed: one mark a load point, with both intervals, of servers that were evaluated on the same tasks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.load.shapes import ClosedLoop
from loadgen.report.charts.accuracy import accuracy_chart
from loadgen.report.charts.plots import plot
from loadgen.report.figures import E2E_LATENCY, THROUGHPUT
from loadgen.report.run_selection import RunSelection, gather
from loadgen.store.repository import Store
from loadgen.store.rows import Evaluation
from tests.report.documents import fill, specs, sweep_row
from tests.store.test_accuracy_results import result

SWEEPS = ("s261123-152900-0001", "s261123-152900-0002")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """Two sweeps, on servers of their own, with two loads and three repeats each."""
    path = tmp_path / "loadgen.db"
    for at, sweep_id in enumerate(SWEEPS):
        planned = specs([ClosedLoop(1 + at), ClosedLoop(4 + at)], (32,), 4, repeats=3, requests_per_slot=4)
        row = sweep_row(sweep_id, planned, f"sweep {at}")
        fill(path, replace(row, server={**row.server, "version": f"0.3{at}"}), planned)
    with Store.open(f"sqlite:///{path}") as opened:
        yield opened


def evaluate(store: Store, sweep_id: str, **shares: float) -> None:
    rows = tuple(
        result(task, sweep_id=sweep_id, evaluation_id=f"a-{sweep_id}", value=share, standard_error=0.02)
        for task, share in shares.items()
    )
    store.add_evaluation(Evaluation(store.sweep(sweep_id).server, rows))


def selected(store: Store) -> RunSelection:
    return gather(store, SWEEPS)


def test_a_mark_has_both_intervals_over_the_common_tasks(store: Store) -> None:
    evaluate(store, SWEEPS[0], copy=0.9, sort=0.5, add=0.1)
    evaluate(store, SWEEPS[1], sort=0.7, copy=0.5)
    chart = accuracy_chart(selected(store), THROUGHPUT)
    assert chart is not None
    assert chart.spec is not None
    marks = chart.spec["data"]["values"]
    assert [(mark["series"], mark["load"], mark["accuracy"]) for mark in marks] == [
        ("sweep 0", "1", pytest.approx(70)),
        ("sweep 0", "4", pytest.approx(70)),
        ("sweep 1", "2", pytest.approx(60)),
        ("sweep 1", "5", pytest.approx(60)),
    ]
    half = 100 * 1.959964 * 0.02 * 2**0.5 / 2
    for mark in marks:
        assert mark["accuracy_high"] - mark["accuracy"] == pytest.approx(half)
        assert mark["value_low"] < mark["value"] < mark["value_high"]
    assert "mean over copy, sort" in chart.caption
    assert "tiny" in chart.caption
    assert chart.table is not None
    assert len(chart.table.rows) == 4


def test_latency_is_drawn_in_milliseconds(store: Store) -> None:
    evaluate(store, SWEEPS[0], copy=0.9)
    chart = accuracy_chart(selected(store), E2E_LATENCY)
    assert chart is not None
    assert chart.spec is not None
    runs = [run for run in selected(store).runs if run["sweep_id"] == SWEEPS[0]]
    first = [E2E_LATENCY.read(run) for run in runs if run["spec"]["shape"].get("concurrency") == 1]
    mean_s = sum(value for value in first if value is not None) / len(first)
    assert chart.spec["data"]["values"][0]["value"] == pytest.approx(1000 * mean_s)


def test_without_an_evaluation_or_a_common_task_there_is_nothing_to_draw(store: Store) -> None:
    with pytest.raises(UsageError, match="'accuracy' has nothing to draw"):
        plot("accuracy").draw(selected(store))
    evaluate(store, SWEEPS[0], copy=0.9)
    evaluate(store, SWEEPS[1], sort=0.9)
    assert accuracy_chart(selected(store), THROUGHPUT) is None
