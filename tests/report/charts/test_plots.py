"""Charts by name: each draws something of runs that have it, and says so of runs that have not."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.load.shapes import ClosedLoop
from loadgen.report.charts.drawing import draw
from loadgen.report.charts.plots import PLOTS, plot
from loadgen.report.run_selection import RunSelection, about, gather, sweep_names
from loadgen.store.repository import Store
from loadgen.store.rows import Evaluation
from tests.report.documents import Document, fill, specs, sweep_row
from tests.store.test_accuracy_results import result

A, B = "s261123-152901-aaaa", "s261123-152901-bbbb"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = tmp_path_factory.mktemp("plots") / "measured.db"
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32, 64), 8, 3, requests_per_slot=4)
    fill(path, sweep_row(A, planned, "before", simulated=True), planned)
    fill(path, sweep_row(B, planned, "after"), planned)
    with Store.open(f"sqlite:///{path}") as opened:
        for sweep_id in (A, B):
            row = result("copy", sweep_id=sweep_id, evaluation_id=f"a-{sweep_id}")
            opened.add_evaluation(Evaluation(opened.sweep(sweep_id).server, (row,)))
    with Store.open(f"sqlite:///{path}", read_only=True) as opened:
        yield opened


def lines_of(selection: RunSelection, name: str) -> set[str]:
    chart = plot(name).draw(selection)
    assert chart.spec is not None
    return {row["series"] for row in chart.spec["data"]["values"]}


def test_names_are_unique_and_said_once() -> None:
    assert len({each.name for each in PLOTS}) == len(PLOTS)
    assert all(each.tells and each.tells[0].islower() for each in PLOTS)


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no chart 'pie'; known charts: ttft, "):
        plot("pie")


@pytest.mark.parametrize("name", ["ttft-histogram", "gap-histogram", "tpot-histogram", "e2e-histogram", "timeline"])
def test_a_chart_of_one_run_takes_one_run(store: Store, name: str) -> None:
    whole = gather(store, [A])
    run: Document = whole.runs[0]
    chart = plot(name).draw(gather(store, [run["run_id"]]))
    assert chart.spec is not None
    assert "SIMULATED" in chart.spec["title"]
    with pytest.raises(UsageError, match=rf"one run, and these are 12: .*loadgen plot {name} {run['run_id']}"):
        plot(name).draw(whole)


def test_runs_without_a_figure_are_told_what_the_chart_would_show(store: Store) -> None:
    for name, needs in (("speedup", "one without them"), ("experts", "--experts")):
        with pytest.raises(UsageError, match=needs):
            plot(name).draw(gather(store, [A]))
    with pytest.raises(UsageError, match=r"'energy' has nothing to draw of these runs: it tells joules per"):
        plot("energy").draw(gather(store, [A]))


def test_the_same_points_of_two_sweeps_stay_apart_under_the_sweeps_names(store: Store) -> None:
    both = gather(store, [A, B, A])
    assert len(both.runs) == 24
    assert lines_of(both, "throughput") == {
        f"{name} · {length} in" for name in ("before (SIMULATED)", "after") for length in (32, 64)
    }
    assert lines_of(gather(store, [B]), "throughput") == {"32 in", "64 in"}


def test_what_a_drawing_is_of_is_said_in_words(store: Store) -> None:
    one, two = gather(store, [A]), gather(store, [A, B])
    assert about(one)[:2] == ("mixtral-8x7b on loadgen simulator 0.22.1", f"before · {A}")
    assert "Marks are means over the repeats" in about(one)[-1]
    assert "vLLM 0.22.1" in about(two)[0]
    run = one.runs[0]
    assert about(gather(store, [run["run_id"]]))[1] == f"concurrency 1 · 32 in · 8 out · repeat 0 · {run['run_id']}"


def test_sweeps_of_one_name_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    planned = specs([ClosedLoop(1)])
    rows = [sweep_row(A, planned, "same"), sweep_row(B, planned, "same"), sweep_row("s3", planned)]
    assert sweep_names(rows) == {A: f"same ({A})", B: f"same ({B})", "s3": "s3"}


def test_the_document_tells_of_every_chart() -> None:
    document = (Path(__file__).resolve().parents[3] / "docs" / "dashboard.md").read_text().split("## Charts")[1]
    heads = [line.split("|")[1] for line in document.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([a-z0-9-]+)`", " ".join(heads))) == {each.name for each in PLOTS}


def test_a_metric_is_chosen_where_any_can_be_drawn_and_nowhere_else(store: Store) -> None:
    one = gather(store, [B])
    assert plot("heat-map").draw(one).title == "Output throughput, heat map"
    assert plot("heat-map").draw(one, "ttft_s", "max").title == "TTFT max, heat map"
    assert plot("load").draw(one).title == "TPOT p50"
    with pytest.raises(
        UsageError, match="'ttft' draws what it draws: a metric can be chosen for load, heat-map, repeats"
    ):
        plot("ttft").draw(one, "tpot_s")
    with pytest.raises(UsageError, match="no metric 'speed'; known metrics: ttft_s, "):
        plot("load").draw(one, "speed")
    with pytest.raises(UsageError, match="ttft_s has no 'p42': it has p50"):
        plot("load").draw(one, "ttft_s", "p42")
    with pytest.raises(UsageError, match="requests_per_s has no 'p99': it has no statistics"):
        plot("load").draw(one, "requests_per_s", "p99")


@pytest.mark.parametrize(
    "name",
    [
        each.name
        for each in PLOTS
        if each.of == "runs" and each.name not in ("energy", "goodput", "speedup", "experts", "distinct-experts")
    ],
)
def test_every_chart_of_runs_is_drawn_of_two_sweeps(store: Store, name: str) -> None:
    chart = plot(name).draw(gather(store, [A, B]))
    assert chart.spec is not None
    assert chart.spec["title"].startswith("partly SIMULATED · ")
    assert draw(chart, "svg").startswith(b"<svg")
