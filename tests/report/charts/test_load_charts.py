"""A sweep's charts: which percentiles, which marks, what is cut and what is said."""

import json
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from loadgen.importers.importing import read_sweep
from loadgen.load.shapes import ClosedLoop
from loadgen.report.charts.chart import Chart
from loadgen.report.charts.load_charts import figure_chart, throughput_chart
from loadgen.report.figures import CHUNK_GAP, E2E_LATENCY, TOKEN_GAP, gap_figure, reading_note
from tests.report.documents import Document, measured_run, page_charts, specs


def set_distribution(run: Document, metric: str, **values: float | None) -> None:
    run[metric] = {
        "n": 100,
        "mean": 0.1,
        "min": 0.1,
        "p50": 0.1,
        "p90": None,
        "p95": None,
        "p99": None,
        "max": 0.1,
    } | values


def grid(repeats: int = 2, statuses: tuple[str, ...] = ()) -> list[Document]:
    planned = specs([ClosedLoop(1), ClosedLoop(4), ClosedLoop(16)], (32,), 8, repeats, requests_per_slot=4)
    padded = [*statuses, *["valid"] * (len(planned) - len(statuses))]
    return [measured_run(spec, "s1", status=status)[0] for spec, status in zip(planned, padded, strict=True)]


def rows(chart: Chart) -> list[dict[str, Any]]:
    assert chart.spec is not None
    values: list[dict[str, Any]] = chart.spec["data"]["values"]
    return values


def test_three_charts_in_order_with_a_table_behind_each() -> None:
    charts = page_charts(grid())[:3]
    assert [chart.key for chart in charts] == ["ttft_s", "token_gap_s", "output_tokens_per_s"]
    assert all(chart.table is not None and chart.table.rows for chart in charts)


def test_the_highest_percentile_that_all_points_have_is_drawn_beside_the_median() -> None:
    runs = grid(repeats=1)
    for run in runs:
        set_distribution(run, "ttft_s", p90=0.2)
    set_distribution(runs[0], "ttft_s", p90=0.2, p95=0.3, p99=0.4)
    ttft = page_charts(runs)[0]
    assert {row["statistic"] for row in rows(ttft)} == {"p50", "p90"}
    assert "p90 is drawn" in ttft.caption
    for run in runs:
        set_distribution(run, "ttft_s", p90=0.2, p95=0.3, p99=0.4)
    ttft = page_charts(runs)[0]
    assert {row["statistic"] for row in rows(ttft)} == {"p50", "p99"}
    assert ttft.caption == ""


def test_without_any_percentile_above_it_the_median_stands_alone_and_the_chart_says_so() -> None:
    runs = grid(repeats=1)
    for run in runs:
        set_distribution(run, "ttft_s")
    ttft = page_charts(runs)[0]
    assert {row["statistic"] for row in rows(ttft)} == {"p50"}
    assert "only the median" in ttft.caption


def test_unknown_tokens_turn_the_token_gap_into_the_chunk_gap() -> None:
    runs = grid(repeats=1)
    for run in runs:
        run["token_gap_s"] = None
    assert gap_figure(runs) is CHUNK_GAP
    assert page_charts(runs)[1].title == "Chunk gap"


def test_one_run_of_unknown_tokens_makes_it_the_chunk_gap_of_all() -> None:
    runs = grid(repeats=1)
    assert gap_figure(runs) is TOKEN_GAP
    runs[0]["token_gap_s"] = None
    assert gap_figure(runs) is CHUNK_GAP
    runs[0]["chunk_gap_s"] = None  # one token an answer: it has no gaps at all
    assert gap_figure(runs) is TOKEN_GAP


def test_invalid_runs_are_not_in_the_data_and_doubtful_ones_are_marked() -> None:
    runs = grid(repeats=1, statuses=("invalid", "doubtful"))
    throughput = rows(page_charts(runs)[2])
    assert [(row["x"], row["status"]) for row in throughput] == [(4.0, "doubtful"), (16.0, "valid")]
    note = reading_note(runs)
    assert "Hollow marks are doubtful." in note
    assert "Invalid runs are left out." in note


def test_a_sweep_of_invalid_runs_alone_draws_nothing_and_says_so() -> None:
    runs = grid(repeats=1, statuses=("invalid",) * 3)
    assert [(chart.spec, chart.caption) for chart in page_charts(runs)] == [
        (None, "No usable run has this figure.")
    ] * 3


def test_an_interval_wider_than_the_chart_is_cut_in_the_drawing_and_whole_in_the_table() -> None:
    runs = grid(repeats=3)
    for run in runs:
        run["output_tokens_per_s"] = (50.0, 50.0, 125.0)[run["repeat"]]
    chart = page_charts(runs)[2]
    assert {(row["bar_from"], row["bar_to"]) for row in rows(chart)} == {(0.0, 75 * 1.25)}
    assert "cut off" in chart.caption
    assert chart.table is not None
    assert "95 % interval" in chart.table.columns
    assert chart.table.rows[0] == ("1", "75.0", "0 … 183", "3")
    assert reading_note(runs).startswith(
        "Marks are means over the repeats of a point; bars, the 95 % interval of that mean."
    )


def test_two_repeats_are_drawn_as_their_range() -> None:
    runs = grid(repeats=2)
    for run in runs:
        run["output_tokens_per_s"] = 80.0 if run["repeat"] else 70.0
    chart = page_charts(runs)[2]
    assert {(row["bar_from"], row["bar_to"]) for row in rows(chart)} == {(70.0, 80.0)}
    assert "cut off" not in chart.caption
    assert chart.table is not None
    assert "range of repeats" in chart.table.columns
    assert chart.table.rows[0] == ("1", "75.0", "70.0 … 80.0", "2")
    assert "bars, the least and greatest repeat." in reading_note(runs)


def test_where_some_points_have_more_repeats_the_note_names_both_bars() -> None:
    runs = grid(repeats=3)
    assert "interval of that mean, or the least and greatest repeat where there are only two." in reading_note(
        runs[:-1]
    )


def test_a_wide_range_of_latencies_gets_a_logarithmic_axis() -> None:
    runs = grid(repeats=1)
    for run, p50 in zip(runs, (0.01, 0.1, 1.0), strict=True):
        set_distribution(run, "ttft_s", p50=p50)
    spec = page_charts(runs)[0].spec
    assert spec is not None
    scale = spec["layer"][0]["encoding"]["y"]["scale"]
    assert scale["type"] == "log"
    assert scale["domain"][0] > 0


def test_seconds_in_the_data_milliseconds_on_the_axis() -> None:
    runs = grid(repeats=1)
    ttft = page_charts(runs)[0]
    assert rows(ttft)[0]["value"] == runs[0]["ttft_s"]["p50"]
    assert rows(ttft)[0]["mark"] == pytest.approx(1000 * runs[0]["ttft_s"]["p50"])
    assert ttft.unit == "ms"
    assert ttft.spec is not None
    assert ttft.spec["layer"][0]["encoding"]["y"]["field"] == "mark"


@pytest.mark.parametrize("number", range(3))
def test_vega_draws_every_point(number: int) -> None:
    runs = grid(repeats=2, statuses=("doubtful",))
    spec = page_charts(runs)[number].spec
    assert spec is not None
    svg = vl_convert.vegalite_to_svg(json.dumps(spec | {"width": 300}), allowed_base_urls=[])
    assert svg.count('aria-roledescription="point"') == len(spec["data"]["values"])


RESULTS = Path(__file__).resolve().parents[3] / "results"


def test_the_bound_is_a_line_of_its_own_where_it_is_known() -> None:
    runs = read_sweep(RESULTS / "2026-11-30-h200-qwen1.5-moe-a2.7b-dummy-waves-512.json.gz").runs
    chart = throughput_chart(runs)
    assert "roofline bound" in chart.caption
    assert chart.table is not None
    assert chart.table.columns[-1] == "roofline bound"
    assert chart.spec is not None
    first = chart.spec["layer"][0]
    assert first["encoding"]["y"]["field"] == "bound"
    assert all(row["bound"] > row["value"] for row in rows(chart))
    top = first["encoding"]["y"]["scale"]["domain"][1]
    assert top > max(row["bound"] for row in rows(chart))
    vl_convert.vegalite_to_svg(chart.spec)


def test_runs_of_unknown_models_have_no_bound() -> None:
    chart = throughput_chart(grid())
    assert "roofline" not in chart.caption
    assert chart.table is not None
    assert "roofline bound" not in chart.table.columns
    assert not any("bound" in row for row in rows(chart))


def test_a_latency_has_its_bound_below() -> None:
    runs = read_sweep(RESULTS / "2026-11-30-h200-qwen1.5-moe-a2.7b-dummy-waves-512.json.gz").runs
    chart = figure_chart(runs, E2E_LATENCY, "p50")
    assert chart is not None
    assert all(row["bound"] < row["mark"] for row in rows(chart))  # both in ms
