"""A sweep's tables: load points, means over the repeats that are not invalid, each with its verdict; and runs."""

from pathlib import Path
from typing import Any

import pytest

from loadgen.importers.importing import read_sweep
from loadgen.load.shapes import ClosedLoop
from loadgen.report.words.sweep_tables import PointLine, RunsTable, points_table, runs_table
from tests.report.documents import Document, measured_run, specs

COLUMNS = ("load", "in", "out", "ttft", "gap", "tpot", "output", "requests", "ok", "repeats")


def repeats(throughputs: list[float], statuses: list[str], **changed: Any) -> list[Document]:
    """The repeats of one load point."""
    planned = specs([ClosedLoop(4)], (32,), 4, repeats=len(throughputs), requests_per_slot=4)
    runs = [measured_run(spec, "s1", status=status)[0] for spec, status in zip(planned, statuses, strict=True)]
    for run, throughput in zip(runs, throughputs, strict=True):
        run |= {"output_tokens_per_s": throughput, **changed}
    return runs


def cell(line: PointLine, name: str) -> tuple[str, str]:
    found = line.cells[COLUMNS.index(name)]
    return found.value, found.spread


@pytest.mark.parametrize(
    ("throughputs", "statuses", "output", "counted", "verdict", "all_invalid"),
    [
        ([100.0], ["valid"], ("100", ""), "1", "valid", False),
        ([100.0, 104.0], ["valid"] * 2, ("102", "2.00"), "2", "valid", False),
        ([100.0, 110.0, 120.0], ["valid"] * 3, ("110", "24.8"), "3", "doubtful", False),  # the repeats differ
        ([100.0, 900.0], ["valid", "invalid"], ("100", ""), "1 of 2", "invalid", False),
        ([100.0, 102.0], ["doubtful", "valid"], ("101", "1.00"), "2", "doubtful", False),
        ([100.0, 200.0], ["invalid"] * 2, ("150", "50.0"), "0 of 2", "invalid", True),
    ],
)
def test_a_point_is_the_mean_of_its_repeats_that_are_not_invalid(
    throughputs: list[float],
    statuses: list[str],
    output: tuple[str, str],
    counted: str,
    verdict: str,
    all_invalid: bool,
) -> None:
    (line,) = points_table(repeats(throughputs, statuses)).lines
    assert cell(line, "output") == output
    assert cell(line, "repeats") == (counted, "")
    assert (line.status, line.all_invalid) == (verdict, all_invalid)
    assert cell(line, "load") == ("concurrency 4", "")


def test_points_stand_in_the_order_of_the_charts_with_their_lengths() -> None:
    planned = specs([ClosedLoop(16), ClosedLoop(1)], (64, 32), 4, requests_per_slot=4)
    table = points_table([measured_run(spec, "s1")[0] for spec in planned])
    shown = [(cell(line, "in")[0], cell(line, "load")[0]) for line in table.lines]
    expected = [("32", "concurrency 1"), ("32", "concurrency 16"), ("64", "concurrency 1"), ("64", "concurrency 16")]
    assert shown == expected
    assert all(len(line.cells) == len(table.columns) == len(COLUMNS) for line in table.lines)
    assert table.note == ""


def test_a_figure_that_no_repeat_has_is_a_dash_and_requests_that_failed_are_counted() -> None:
    runs = repeats([100.0, 100.0], ["valid"] * 2, ttft_s=None, requests_per_s=None)
    runs[0]["outcomes"] |= {"planned": 32, "ok": 30}
    runs[1]["outcomes"] |= {"planned": 32, "ok": 32}
    (line,) = points_table(runs).lines
    assert cell(line, "ttft") == ("–", "")
    assert cell(line, "requests") == ("–", "")
    assert cell(line, "ok") == ("62 of 64", "")


def in_column(table: RunsTable, heading: str) -> list[str]:
    """The cells of the runs under a heading."""
    assert all(len(line.cells) == len(table.columns) for line in table.lines)
    column = [name for name, _ in table.columns].index(heading)
    return [line.cells[column] for line in table.lines]


def test_the_row_of_a_run_has_the_highest_percentile_that_there_is() -> None:
    (run,) = repeats([100.0], ["valid"])
    run["ttft_s"] |= {"p90": 0.1, "p95": 0.112, "p99": None}
    assert in_column(runs_table([run]), "TTFT high") == ["112 p95"]
    run["ttft_s"] |= {"p90": None, "p95": None}
    assert in_column(runs_table([run]), "TTFT high") == ["–"]


@pytest.mark.parametrize(("token_gap_p50_s", "name"), [(0.01, "token gap"), (None, "chunk gap")])
def test_the_heading_says_whose_gap_it_is(token_gap_p50_s: float | None, name: str) -> None:
    (run,) = repeats([100.0], ["valid"])
    run["token_gap_s"] |= {"p50": token_gap_p50_s}
    assert (f"{name} p50", "ms") in points_table([run]).columns
    assert {(f"{name} p50", "ms"), (f"{name} high", "ms")} <= set(runs_table([run]).columns)


def test_columns_that_only_some_sweeps_have() -> None:
    plain, measured = repeats([100.0, 100.0], ["valid"] * 2)
    plain |= {"server_account": {"prefix_cache_hit_ratio": 0.0}}
    assert runs_table([plain]).columns[-1] == ("ok", "of planned")
    measured |= {"server_account": {"prefix_cache_hit_ratio": 0.25}, "gpu": {"energy_per_output_token_j": 0.31}}
    table = runs_table([plain, measured])
    assert table.columns[-2:] == (("cached", "% of prompt"), ("energy", "J/token"))
    assert in_column(table, "cached") == ["0", "25.0"]
    assert in_column(table, "energy") == ["–", "0.310"]


def test_the_share_of_the_bound_is_a_column_where_it_is_known() -> None:
    results = Path(__file__).resolve().parents[3] / "results"
    runs = read_sweep(results / "2026-11-26-h200-mixtral-8x7b-bf16-dummy-1024-256.json").runs
    table = points_table(runs)
    place = table.columns.index(("of the bound", "%"))
    assert [line.cells[place].value for line in table.lines] == ["66.7", "75.9", "57.8"]
    assert ("of the bound", "%") not in points_table(repeats([100.0], ["valid"])).columns
