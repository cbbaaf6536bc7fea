"""Pareto, goodput, heat maps and repeats: what is drawn, what is left out, and what is said of it."""

from typing import Any

import pytest

from loadgen.analysis.figure_table import FIGURES, PER_GPU, PER_USER
from loadgen.analysis.server.served_gpus import gpu_count
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from loadgen.report.charts.heat_map import heat_map
from loadgen.report.charts.load_charts import COMPLETED, GOOD, goodput_chart
from loadgen.report.charts.pareto import frontier, pareto_chart
from loadgen.report.charts.repeats import repeats_chart
from tests.report.documents import Document, chart_rows, measured_run, page_charts, specs

THROUGHPUT, TTFT = FIGURES["output_tokens_per_s"], FIGURES["ttft_s"]
GPUS = [{"name": "NVIDIA H100"}] * 8


def grid(repeats: int = 1, lengths: tuple[int, ...] = (32, 64)) -> list[Document]:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], lengths, 8, repeats, requests_per_slot=4)
    return [measured_run(spec, "s1", status="valid")[0] for spec in planned]


def test_gpus_are_those_watched_as_the_servers_own_else_by_its_parallelism() -> None:
    (run,) = grid(lengths=(32,))[:1]
    assert gpu_count(run) is None
    launched = run | {"server": run["server"] | {"launch": {"gpus": GPUS, "arguments": {"tensor-parallel-size": 4}}}}
    assert gpu_count(launched) == 4
    assert gpu_count(launched | {"gpu": {"devices": GPUS[:2], "chosen_by": "processes"}}) == 2
    assert gpu_count(launched | {"gpu": {"devices": GPUS, "chosen_by": "all"}}) == 4
    bare = run | {"server": run["server"] | {"launch": {"gpus": [], "arguments": {"tensor-parallel-size": 4}}}}
    assert gpu_count(bare) is None  # vLLM on a CPU has ranks as well


def test_a_users_speed_is_the_inverse_of_tpot_and_none_without_one() -> None:
    (run, *_) = grid()
    run["tpot_s"] |= {"p50": 0.02}
    assert PER_USER.read(run, "p50") == 50
    assert PER_USER.read(run | {"tpot_s": None}, "p50") is None
    assert PER_GPU.read(run, "p50") is None


def test_the_pareto_chart_is_per_gpu_only_where_every_count_is_known() -> None:
    runs = grid()
    for run in runs:
        run["server"] = run["server"] | {"launch": {"gpus": GPUS, "arguments": {"tensor-parallel-size": 2}}}
        run["output_tokens_per_s"] = 100.0
    assert {row["server"] for row in chart_rows(pareto_chart(runs))} == {50.0}
    runs[0]["server"] = runs[0]["server"] | {"launch": None}
    chart = pareto_chart(runs)
    assert {row["server"] for row in chart_rows(chart)} == {100.0}
    assert chart is not None
    assert "Per server" in chart.caption


def test_the_frontier_is_what_nothing_beats_in_both() -> None:
    marks = [(10, 100), (20, 90), (15, 80), (20.1, 50), (40, 10), (5, 100.5)]
    rows: Any = [{"user": float(user), "server": float(server)} for user, server in marks]
    kept = frontier(rows)
    assert [(row["user"], row["server"]) for row in kept] == [(10, 100), (20, 90), (40, 10)]


def test_without_a_tpot_there_is_no_pareto_chart() -> None:
    assert pareto_chart([run | {"tpot_s": None} for run in grid()]) is None


def test_goodput_stands_beside_all_that_was_completed_with_its_slo() -> None:
    runs = grid(lengths=(32,))
    assert goodput_chart(runs) is None
    for run in runs:
        run["spec"] |= {"slo": {"ttft_s": 0.2}}
        run["goodput_per_s"], run["requests_per_s"] = 3.0, 4.0
    chart = goodput_chart(runs)
    assert {(row["statistic"], row["value"]) for row in chart_rows(chart)} == {(GOOD, 3.0), (COMPLETED, 4.0)}
    assert chart is not None
    assert "SLO: TTFT ≤ 200 ms." in chart.caption


@pytest.mark.parametrize(("limit_s", "is_drawn"), [(0.1, True), (50.0, False)])
def test_the_limit_of_the_slo_is_a_line_where_it_is_near_and_words_where_it_is_not(
    limit_s: float, is_drawn: bool
) -> None:
    runs = grid(lengths=(32,))
    for run in runs:
        run["spec"] |= {"slo": {"ttft_s": limit_s}}
        run["ttft_s"] |= {"p50": 0.08, "p90": None, "p95": None, "p99": None}
    ttft = page_charts(runs)[0]
    assert ttft.spec is not None
    drawn = [layer for layer in ttft.spec["layer"] if "data" in layer]
    assert bool(drawn) is is_drawn
    assert ("beyond the edge" in ttft.caption) is not is_drawn
    if is_drawn:
        low, high = ttft.spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
        assert low < limit_s * 1000 < high


def test_a_heat_map_has_a_cell_for_each_point_and_says_what_is_missing() -> None:
    runs = grid()
    for number, run in enumerate(runs):
        run["output_tokens_per_s"] = (100.0, 300.0, None, 200.0)[number]
    runs[3]["verdict"] = {"status": "doubtful", "findings": []}
    runs[0]["verdict"] = {"status": "invalid", "findings": []}
    chart = heat_map(runs, THROUGHPUT, "p50")
    cells = {(row["line"], row["column"]): (row["text"], row["status"]) for row in chart_rows(chart)}
    assert cells == {
        ("32 in", "1"): ("invalid", "invalid"),
        ("32 in", "4"): ("300", "valid"),
        ("64 in", "1"): ("–", "unknown"),
        ("64 in", "4"): ("200 ?", "doubtful"),
    }
    assert chart is not None
    assert "?: doubtful." in chart.caption
    assert "–: not known" in chart.caption
    assert {row["share"] for row in chart_rows(chart) if row["runs"]} == {0.0, 1.0}
    assert chart.table is not None
    assert chart.table.rows[0] == ("32 in", "invalid", "300")


def test_one_length_makes_no_heat_map() -> None:
    assert heat_map(grid(lengths=(32,)), THROUGHPUT, "p50") is None


def test_repeats_are_marks_around_their_median_and_from_five_on_a_box() -> None:
    runs = grid(repeats=5, lengths=(32,))
    for run in runs:
        run["output_tokens_per_s"] = 100.0 + run["repeat"]
    chart = repeats_chart(runs, THROUGHPUT, "p50")
    assert chart is not None
    assert chart.spec is not None
    assert sorted({round(row["off"], 3) for row in chart_rows(chart)}) == [-1.961, -0.98, 0.0, 0.98, 1.961]
    boxes = chart.spec["layer"][0]["data"]["values"]
    assert [(round(box["least"], 3), round(box["q1"], 3), box["median"]) for box in boxes] == [(-1.961, -0.98, 0)] * 2
    assert "Box:" in chart.caption
    assert chart.table is not None
    assert chart.table.rows[0] == ("1", "100", "101", "102", "103", "104", "5")
    fewer = repeats_chart([run for run in runs if run["repeat"] < 4], THROUGHPUT, "p50")
    assert fewer is not None
    assert "Box:" not in fewer.caption
    assert repeats_chart([run for run in runs if run["repeat"] < 2], THROUGHPUT, "p50") is None


def keys(runs: list[Document]) -> list[str]:
    return [chart.key for chart in page_charts(runs)][3:]


def test_a_page_has_each_chart_only_where_it_has_something_to_say() -> None:
    assert keys(grid()) == ["pareto", "heat_map_output_tokens_per_s", "heat_map_ttft_s"]
    assert keys(grid(lengths=(32,))) == ["pareto"]
    assert keys(grid(repeats=5, lengths=(32,))) == ["pareto", "repeats_output_tokens_per_s", "repeats_ttft_s"]
    assert keys([]) == []


def test_simulated_runs_are_marked_in_every_drawing() -> None:
    for chart in page_charts([run | {"simulated": True} for run in grid(repeats=5)]):
        assert chart.spec is not None
        assert chart.spec["title"].startswith("SIMULATED · ")


def test_runs_by_different_slos_have_lines_of_their_own() -> None:
    planned: list[RunSpec] = specs([ClosedLoop(1)], (32,), 8, requests_per_slot=4)
    runs = [measured_run(planned[0], "s1", status="valid")[0] for _ in range(2)]
    for run, limit_s in zip(runs, (0.1, 0.2), strict=True):
        run["spec"] |= {"slo": {"ttft_s": limit_s}, "point_hash": f"of {limit_s}"}
        run["goodput_per_s"] = 1.0
    assert {row["series"] for row in chart_rows(goodput_chart(runs))} == {"TTFT ≤ 100 ms", "TTFT ≤ 200 ms"}
