"""Distributions of several runs on one pair of axes."""

from typing import Any

import pytest

from loadgen.analysis.figure_table import FIGURES
from loadgen.load.shapes import ClosedLoop
from loadgen.report.charts.cdf import MAX_RUNS, cdf_chart, one_of_each
from loadgen.report.charts.chart import Chart
from tests.report.documents import Document, measured_run, outlined, page_charts, specs

TTFT = FIGURES["ttft_s"]


@pytest.fixture(scope="module")
def measured() -> tuple[list[Document], dict[str, Document]]:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 8, 2, requests_per_slot=8)
    made = [measured_run(spec, "s1", status="valid") for spec in planned]
    return [run for run, _ in made], {run["run_id"]: outlined(run, records) for run, records in made}


def drawn(chart: Chart | None) -> dict[str, list[tuple[float, float]]]:
    assert chart is not None
    assert chart.spec is not None
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in chart.spec["data"]["values"]:
        lines.setdefault(row["run"], []).append((row["ms"], row["share"]))
    return lines


def names(chart: Chart | None) -> set[str]:
    assert chart is not None
    assert chart.spec is not None
    return {row["line"] for row in chart.spec["data"]["values"]}


def test_each_run_is_a_line_from_its_least_value_to_its_greatest_that_never_falls(measured: Any) -> None:
    runs, outlines = measured
    chart = cdf_chart(runs, TTFT, lambda run: outlines[run["run_id"]])
    lines = drawn(chart)
    assert set(lines) == set(outlines)
    for run in runs:
        line = lines[run["run_id"]]
        assert line == sorted(line)
        ends_ms = [1000 * run["ttft_s"][name] for name in ("min", "max")]
        assert [line[0][0], line[-1][0]] == pytest.approx(ends_ms, rel=1e-4)
        assert [line[0][1], line[-1][1]] == [0, 100]
    assert names(chart) == {"concurrency 1", "concurrency 4"}  # repeats share a line's name and colour


def test_a_run_without_requests_is_drawn_through_the_percentiles_on_record(measured: Any) -> None:
    runs, outlines = measured
    runs[0]["ttft_s"] |= {"p95": None, "p99": None}
    chart = cdf_chart(runs[:2], TTFT, lambda run: outlines[run["run_id"]] if run is runs[1] else None)
    shares = [share for _, share in drawn(chart)[runs[0]["run_id"]]]
    assert shares == [
        share for share, name in ((0, "min"), (50, "p50"), (90, "p90"), (100, "max")) if runs[0]["ttft_s"][name]
    ]
    assert chart is not None
    assert "percentiles on record" in chart.caption
    assert chart.spec is not None
    assert len(chart.spec["layer"][1]["data"]["values"]) == len(shares)
    whole = cdf_chart(runs[1:], TTFT, lambda run: outlines[run["run_id"]])
    assert whole is not None
    assert "on record" not in whole.caption


def test_invalid_runs_are_left_out_and_doubtful_ones_have_a_question_mark(measured: Any) -> None:
    runs, outlines = measured
    judged = [
        run | {"verdict": {"status": status, "findings": []}}
        for run, status in zip(runs, ("invalid", "doubtful", "invalid", "valid"), strict=True)
    ]
    assert names(cdf_chart(judged, TTFT, lambda run: outlines[run["run_id"]])) == {"concurrency 4 ?", "concurrency 4"}
    nothing = [run | {"verdict": {"status": "invalid", "findings": []}} for run in runs]
    assert cdf_chart(nothing, TTFT, lambda run: None) is None


def test_of_very_many_runs_some_are_drawn_and_the_rest_counted(measured: Any) -> None:
    runs, _ = measured
    many = [runs[number % 4] | {"run_id": f"r{number}"} for number in range(3 * MAX_RUNS)]
    chart = cdf_chart(many, TTFT, lambda run: None)
    assert len(drawn(chart)) == MAX_RUNS
    assert chart is not None
    assert f"{MAX_RUNS} of {3 * MAX_RUNS} runs" in chart.caption


def test_a_page_draws_a_run_of_each_point_where_there_are_outlines(measured: Any) -> None:
    runs, outlines = measured
    assert [run["repeat"] for run in one_of_each(runs)] == [0, 0]
    assert (
        len(one_of_each([run | {"spec": run["spec"] | {"point_hash": str(n)}} for n in range(40) for run in runs], 12))
        == 12
    )
    charts = {chart.key: chart for chart in page_charts(runs, outlines)}
    assert set(drawn(charts["cdf_ttft_s"])) == {run["run_id"] for run in runs[:2]}
    assert "A run of each point." in charts["cdf_ttft_s"].caption
    assert "cdf_token_gap_s" in charts
    assert not [chart for chart in page_charts(runs) if chart.key.startswith("cdf")]


def test_values_of_zero_do_not_break_a_logarithmic_axis(measured: Any) -> None:
    runs, outlines = measured
    chart = cdf_chart(runs, FIGURES["token_gap_s"], lambda run: outlines[run["run_id"]])
    assert min(ms for line in drawn(chart).values() for ms, _ in line) >= 0.01
    assert chart is not None
    assert chart.spec is not None
    assert chart.spec["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"
    assert "Shorter ones than 0.0100 ms are drawn there." in chart.caption
