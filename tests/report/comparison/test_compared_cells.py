"""What a comparison draws: repeats pooled, never two questions in one point, invalid runs apart, ratios as the comparison's own."""

from pathlib import Path
from typing import Any

import pytest

from loadgen.analysis.compare import compare
from loadgen.errors import NotFoundError, UsageError
from loadgen.load.shapes import ClosedLoop, value_in_json
from loadgen.report.comparison.compared import Compared, compared
from loadgen.report.comparison.page import comparison_page, flat_rows
from loadgen.report.comparison.selection import MAX_SWEEPS, Selection, select
from loadgen.report.comparison.table import as_csv
from loadgen.report.comparison.view import Filters, View
from loadgen.report.pages.rendering import render
from loadgen.store.repository import Store
from tests.report.documents import Document, fill, specs, sweep_row

A, B = "s261123-152901-aaaa", "s261123-152902-bbbb"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of two sweeps, which is only read."""
    path = tmp_path_factory.mktemp("cells") / "m.db"
    for sweep_id, model in ((A, "one"), (B, "two")):
        planned = specs([ClosedLoop(1), ClosedLoop(16)], (32, 64), 8, 3, requests_per_slot=4, model=model)
        fill(path, sweep_row(sweep_id, planned, f"sweep of {model}"), planned)
    return f"sqlite:///{path}"


def chosen(place: str, view: View) -> Selection:
    with Store.open(place, read_only=True) as store:
        return select(store, view)


def cells_of(place: str, view: View) -> Compared:
    return compared(view, chosen(place, view))


BOTH = View(ids=(A, B))


def test_colours_tell_the_sweeps_apart_and_the_rest_is_told_apart_too(place: str) -> None:
    made = cells_of(place, BOTH)
    assert made.view.color == "model"
    assert made.colors == ("one", "two")
    assert [each.key for each in made.axes.remainder] == ["input_tokens"]
    for _, found in made.figures:
        assert len(found) == 2 * 2 * 2
        for cell in found:
            assert len(cell.runs) == 3
            assert len({run["spec"]["point_hash"] for run in cell.runs}) == 1


def test_a_facet_takes_the_place_of_the_rest(place: str) -> None:
    made = cells_of(place, View(ids=(A, B), facet="input_tokens", y=("ttft_s",)))
    assert made.axes.remainder == ()
    assert [cell.place.facet for cell in made.figures[0][1]] == ["32 in"] * 4 + ["64 in"] * 4
    page = comparison_page(made.view, chosen(place, BOTH))
    assert [chart.title for chart in page.sections[0].charts] == ["TTFT p50 · 32 in", "TTFT p50 · 64 in"]
    domains = [
        chart.spec["layer"][0]["encoding"]["y"]["scale"]["domain"] for chart in page.sections[0].charts if chart.spec
    ]
    assert domains[0] == domains[1]


def test_ratios_and_answers_are_those_of_the_comparison(place: str) -> None:
    made = cells_of(place, View(ids=(A, B), baseline="one", y=("ttft_s",)))
    with Store.open(place, read_only=True) as store:
        told = compare(store.runs(A), store.runs(B), anyway=True, metrics=["ttft_s"])
    expected = {
        (point.a[0]["spec"]["input_tokens"], value_in_json(point.a[0]["spec"]["shape"])): point.figures[0]
        for point in told.points
    }
    found = [cell for cell in made.figures[0][1] if cell.place.color == "two"]
    assert len(found) == len(expected) == 4
    for cell in found:
        against, figure = cell.against_baseline, expected[(cell.runs[0]["spec"]["input_tokens"], cell.place.x)]
        assert against is not None
        assert (against.change, against.answer, against.reason) == (figure.change, figure.answer, figure.reason)
        assert against.paired
    assert all(cell.against_baseline is None for cell in made.figures[0][1] if cell.place.color == "one")


def test_invalid_runs_are_left_out_of_charts_and_struck_out_in_the_table(tmp_path: Path) -> None:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 8, 3, requests_per_slot=4)
    fill(tmp_path / "m.db", sweep_row(A, planned, "mixed"), planned, statuses=["valid", "invalid", "doubtful"])
    place = f"sqlite:///{tmp_path}/m.db"
    view = View(ids=(A,), y=("ttft_s",))
    page = comparison_page(view, chosen(place, view))
    (section,) = page.sections
    rows = section.charts[0].spec["data"]["values"]  # type: ignore[index]
    assert {row["status"] for row in rows} == {"doubtful"}
    assert {line.status for line in section.table.lines} == {"doubtful", "invalid"}
    assert all(line.reasons for line in section.table.lines)
    assert any("left out of the charts" in note for note in page.notes)
    html = render(page)
    assert '<tr class="invalid">' in html
    assert "Made invalid by hand." in html
    everything = comparison_page(View(ids=(A,), y=("ttft_s",), all=True), chosen(place, view))
    drawn = everything.sections[0].charts[0].spec["data"]["values"]  # type: ignore[index]
    assert {row["status"] for row in drawn} == {"doubtful", "invalid"}


def test_the_percentile_can_be_switched_and_one_that_was_refused_is_a_gap(place: str) -> None:
    rows = flat_rows(cells_of(place, View(ids=(A,), y=("ttft_s",), stat="p99")))
    assert {row["mean"] for row in rows} == {None}
    assert {row["statistic"] for row in rows} == {"p99"}
    page = comparison_page(View(ids=(A,), y=("ttft_s",), stat="p99"), chosen(place, View(ids=(A,))))
    assert page.sections[0].charts[0].spec is None


def test_filters_choose_sweeps_and_runs_can_be_named_alone(place: str) -> None:
    assert [each.label for each in chosen(place, View(filters=Filters(model="two"))).chosen] == ["sweep of two"]
    assert chosen(place, View(filters=Filters(q="sweep ONE"))).names == {A: "sweep of one"}
    assert chosen(place, View(filters=Filters(since="2100-01-01"))).runs == ()
    run_id = chosen(place, BOTH).runs[0]["run_id"]
    assert [run["run_id"] for run in chosen(place, View(ids=(run_id,))).runs] == [run_id]
    assert MAX_SWEEPS > 2


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        (View(ids=(A,), color="colour"), "color is 'colour'"),
        (View(ids=(A,), y=("ttft",)), "did you mean 'ttft_s'"),
        (View(ids=(A,), baseline="three"), "baseline is 'three'"),
        (View(ids=(A,), show="ratio"), "needs a baseline"),
    ],
)
def test_names_that_the_runs_do_not_have_are_said(place: str, view: View, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        cells_of(place, view)


def test_an_id_that_nothing_has_is_named(place: str) -> None:
    with pytest.raises(NotFoundError, match="s9"):
        chosen(place, View(ids=("s9",)))


def test_a_spreadsheet_takes_no_name_for_a_formula(tmp_path: Path) -> None:
    planned = specs([ClosedLoop(1)], (32,), 8, requests_per_slot=4, model="=1+1")
    fill(tmp_path / "m.db", sweep_row(A, planned, "=cmd()"), planned)
    view = View(ids=(A,), color="sweep", facet="model")
    text = as_csv(flat_rows(cells_of(f"sqlite:///{tmp_path}/m.db", view)))
    assert "'=1+1" in text
    assert ",=1+1" not in text
    assert "'=cmd()" in text


def test_simulated_and_real_runs_beside_each_other_are_said(tmp_path: Path) -> None:
    for sweep_id, simulated in ((A, True), (B, False)):
        planned = specs([ClosedLoop(2)], (32,), 8, requests_per_slot=4)
        fill(tmp_path / "m.db", sweep_row(sweep_id, planned, sweep_id, simulated=simulated), planned)
    page = comparison_page(BOTH, chosen(f"sqlite:///{tmp_path}/m.db", BOTH))
    assert any("Simulated runs are compared with real ones" in note for note in page.notes)
    assert all("partly SIMULATED" in chart.title for section in page.sections for chart in section.charts if chart.spec)


def server_with(run: Document, **launch: Any) -> Document:
    return run | {"server": run["server"] | {"profile": "p", "launch": launch}}


def test_a_servers_parameters_are_dimensions(place: str) -> None:
    runs = list(chosen(place, View(ids=(A,))).runs)[:2]
    first = server_with(runs[0], arguments={"quantization": "fp8", "max-num-seqs": 64}, gpus=[{"name": "H200"}] * 2)
    words = "dtype=torch.bfloat16, quantization=None, tensor_parallel_size=2, x"
    second = server_with(runs[1], arguments={"max-num-seqs": 128}, engine_says={"engine_config": words})
    selection = Selection((), (first, second), {A: "a"}, {A: ["night"]})
    known = compared(View(), selection).known
    assert [known["precision"].text(run) for run in (first, second)] == ["fp8", "bfloat16"]
    assert [known["tp"].read(run) for run in (first, second)] == ["–", 2]
    assert [known["arg.max-num-seqs"].read(run) for run in (first, second)] == [64, 128]
    assert known["tag"].text(first) == "night"
    assert known["gpu"].text(first) == "H200"


def test_a_nested_argument_is_a_dimension_by_its_own_name(place: str) -> None:
    runs = list(chosen(place, View(ids=(A,))).runs)[:2]
    differing = [
        server_with(run, arguments={"hf-overrides": {"num_experts_per_tok": top_k}})
        for run, top_k in zip(runs, (1, 4), strict=True)
    ]
    dimension = compared(View(), Selection((), tuple(differing), {A: "a"}, {A: []})).known[
        "arg.hf-overrides.num_experts_per_tok"
    ]
    assert dimension.label == "num_experts_per_tok"
    assert [dimension.read(run) for run in differing] == [1, 4]
    assert [dimension.text(run) for run in differing] == ["num_experts_per_tok 1", "num_experts_per_tok 4"]


def test_no_answer_is_given_where_other_work_was_asked(tmp_path: Path) -> None:
    for sweep_id, tokens in ((A, 32), (B, 512)):
        planned = specs([ClosedLoop(1), ClosedLoop(2)], (tokens,), 8, 3, requests_per_slot=4)
        fill(tmp_path / "m.db", sweep_row(sweep_id, planned, f"of {tokens}"), planned)
    made = cells_of(f"sqlite:///{tmp_path}/m.db", View(ids=(A, B), color="sweep", baseline="of 32", y=("ttft_s",)))
    judged = [cell.against_baseline for cell in made.figures[0][1] if cell.against_baseline is not None]
    assert len(judged) == 2
    for against in judged:
        assert against.ratio is not None
        assert (against.answer, against.reason) == ("cant_tell", "asked_otherwise")
