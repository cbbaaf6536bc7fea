"""The pages of studies: what each says, and that files need nothing but a browser."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import Markup

from loadgen.analysis.bound import bound_of
from loadgen.errors import NotFoundError
from loadgen.importers.importing import read_sweep
from loadgen.report.charts.chart import Chart
from loadgen.report.pages.rendering import code, unbroken
from loadgen.report.points import Pooled
from loadgen.report.study.files import render_study, study_file, study_folder
from loadgen.report.study.index_page import claims_page, studies_page
from loadgen.report.study.library import Shelf, StudyLibrary
from loadgen.report.study.panels.captions import caption
from loadgen.report.study.panels.charts import panel_charts
from loadgen.report.study.panels.rows import marks_of, scales_of
from loadgen.report.study.record import PlannedStudy, Record
from loadgen.report.study.results import VERDICTS, StudyResults, of_series, results_of
from loadgen.report.study.site import DASHBOARD, FILE, FOLDER, file_name
from loadgen.report.study.study_page import StudyPage, series_line, study_page
from loadgen.report.study.thumbnail import thumbnail
from loadgen.servers.prediction.fitted import OUTLIERS
from loadgen.store.repository import Store
from loadgen.study.accuracy import MeanAccuracy
from loadgen.study.measured import without_outliers
from loadgen.study.schema import Panel
from loadgen.study.study_file import read_study
from tests.report.study.conftest import RESULTS


@pytest.fixture(scope="module")
def fig06(shelf: Shelf) -> StudyResults:
    return shelf.study("fig06")


@pytest.fixture(scope="module")
def page(shelf: Shelf, fig06: StudyResults) -> StudyPage:
    return study_page(fig06, shelf.studies, DASHBOARD)


def test_studies_are_in_the_order_of_the_paper(shelf: Shelf) -> None:
    names = [each.file.study.name for each in shelf.studies]
    assert names[:4] == ["table1", "fig01", "fig03", "fig04"]
    assert names[-2:] == ["fig18", "quick"]
    assert shelf.problems == ()
    with pytest.raises(NotFoundError, match="there is no study 'fig99'"):
        shelf.study("fig99")


def test_a_series_says_where_it_comes_from(page: StudyPage) -> None:
    (line,) = page.lines
    assert (line.label, line.coverage) == ("H200, measured, dummy weights and routers", "18 of 148 points")
    facts = dict(line.facts)
    assert facts["GPUs of the server"] == "1 × NVIDIA H200"
    assert facts["server"] == "vLLM 0.26.0"
    assert facts["measured"] == "2026-11-30"
    assert re.fullmatch(r"0\.1\.0 [0-9a-f]{10}\+?(; .*)?", facts["loadgen"])


def test_a_panel_has_a_chart_for_each_facet_that_was_measured(page: StudyPage) -> None:
    (paper,) = page.panels
    (series,) = paper.by_series
    assert [chart.title for chart in series.charts] == ["deepseek-v2-lite", "qwen1.5-moe-a2.7b"]
    assert {chart.unit for chart in series.charts} == {"tokens/s"}
    for chart in series.charts:
        assert chart.spec is not None
        assert chart.spec["title"]["text"] == [
            "Throughput (paper, Eq. 2) (tokens/s)",
            "H200, measured, dummy weights and routers",
            chart.title,
        ]


def test_panels_without_marks_are_named_once_with_the_reason(shelf: Shelf, page: StudyPage) -> None:
    assert page.not_drawn == (
        "Not drawn: Output throughput in the steady state. None of it is measured or predicted yet.",
    )
    by_reason = study_page(shelf.study("fig12"), shelf.studies, DASHBOARD).not_drawn
    (of_throughput,) = (each for each in by_reason if each.endswith("None of it is measured or predicted yet."))
    (of_acceptance,) = (each for each in by_reason if each.endswith("nor can it be predicted: see what did not run."))
    assert (of_throughput.count(";"), of_acceptance.count(";")) == (2, 0)


@pytest.mark.parametrize(
    ("figure", "statistic", "reason"),
    [
        ("e2e_latency_s", "p99", "A p99 needs 1,000 requests in a run, and no run has more than 128."),
        ("acceptance_ratio", "p50", "What is measured does not have this figure."),
    ],
)
def test_a_panel_that_lacks_the_figure_says_why(
    shelf: Shelf, fig06: StudyResults, figure: str, statistic: str, reason: str
) -> None:
    panel = fig06.file.study.panels[0].model_copy(update={"y": figure, "statistic": statistic, "title": "Mine"})
    study = fig06.file.study.model_copy(update={"panels": (panel,)})
    page = study_page(replace(fig06, file=replace(fig06.file, study=study)), shelf.studies, DASHBOARD)
    assert page.not_drawn == (f"Not drawn: Mine. {reason}",)


def test_one_gpu_next_to_the_planned_ones_is_a_line_of_its_own_and_counts_once(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    panel = fig06.file.study.panels[0]
    (mark, *_) = marks_of(panel, series.points)
    point = mark.point.point
    four = replace(mark.point, point=replace(point, coordinates={**point.coordinates, "gpus": 4}))
    both = replace(series, points=(mark.point, four))
    assert [each.rest for each in marks_of(panel, both.points)] == ["GPUs 1", "GPUs 4"]
    assert series_line(both, planned=148).coverage == "1 of 148 points"


def test_a_caption_says_which_models_one_gpu_served_in_place_of_several(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    panel = fig06.file.study.panels[0]
    marks = marks_of(panel, series.points)
    scales = scales_of(panel, fig06.points, marks)
    assert scales is not None
    assert "one GPU" not in caption(scales, marks)
    point = marks[0].point.point
    twin = replace(point, variant=replace(point.variant, planned_gpus=4))
    of_one = [replace(marks[0], point=replace(marks[0].point, point=twin)), *marks[1:]]
    assert f"On one GPU: {point.variant.served.model} (planned over 4)." in caption(scales, of_one)


def test_prose_may_have_code_in_it_and_nothing_else() -> None:
    assert code("`a --b` < c") == Markup("<code>a --b</code> &lt; c")


def test_no_line_ends_between_a_number_and_its_percent_sign() -> None:
    assert unbroken("20 to 30 % more than 5 %.") == "20 to 30\u00a0% more than 5\u00a0%."


def test_a_caption_says_how_much_of_the_bound_is_reached_and_which_lines_hide_others(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    panel = fig06.file.study.panels[0]
    marks = [mark for mark in marks_of(panel, series.points) if mark.facet == "deepseek-v2-lite"]
    half = [replace(mark, bound=2 * mark.pooled.mean) for mark in marks]
    scales = scales_of(panel, fig06.points, half)
    assert scales is not None
    assert "What is drawn reaches 50 % of it." in caption(scales, half)
    of_128 = [mark for mark in half if mark.colour == 128]
    assert "cover each other" not in caption(scales, of_128)
    hidden = [*of_128, *(replace(mark, colour=256) for mark in of_128)]
    scales = scales_of(panel, fig06.points, hidden)
    assert scales is not None
    assert caption(scales, hidden).endswith("Lines that cover each other: 128 in and out with 256 in and out.")


def test_a_line_of_one_point_is_named_and_has_a_tick_for_its_bound(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    panel = fig06.file.study.panels[0]
    alone = [replace(mark, bound=1.2 * mark.pooled.mean) for mark in marks_of(panel, series.points)[:1]]
    scales = scales_of(panel, fig06.points, alone)
    assert scales is not None
    (chart,) = panel_charts(scales, alone, series.series)
    assert chart.spec is not None
    assert [each["mark"]["type"] for each in chart.spec["layer"]] == ["line", "tick", "line", "rule", "point"]
    assert chart.spec["layer"][-1]["encoding"]["color"]["legend"]["values"] == ["128 in and out"]
    assert "The tick over or under a mark is the roofline bound" in caption(scales, alone)
    far = [replace(alone[0], bound=1.5 * alone[0].pooled.mean)]
    scales = scales_of(panel, fig06.points, far)
    assert scales is not None
    assert "Beyond the edge is the roofline bound" in caption(scales, far)
    assert "tick" not in caption(scales, far)
    others = [mark for mark in marks_of(panel, series.points) if mark.colour != alone[0].colour]
    mixed = [*alone, *(replace(mark, bound=1.2 * mark.pooled.mean) for mark in others)]
    scales = scales_of(panel, fig06.points, mixed)
    assert scales is not None
    assert "Thin dotted lines, and the tick over or under a mark without a line, are the roofline" in caption(
        scales, mixed
    )


def test_a_stub_of_a_bound_is_not_drawn(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    panel = fig06.file.study.panels[0]
    marks = [mark for mark in marks_of(panel, series.points) if mark.facet == "deepseek-v2-lite" and mark.colour == 128]

    def filters(bounds: list[float]) -> list[str]:
        bounded = [replace(mark, bound=bound) for mark, bound in zip(marks, bounds, strict=True)]
        scales = scales_of(panel, fig06.points, bounded)
        assert scales is not None
        (chart,) = panel_charts(scales, bounded, series.series)
        assert chart.spec is not None
        return [each["filter"] for each in chart.spec["layer"][0]["transform"]]

    near = [mark.pooled.mean for mark in marks]
    assert filters(near) == ["isValid(datum.bound)"]
    assert "!(datum.colour ===" in filters([near[0], *(1000 * each for each in near[1:])])[0]


def test_a_picture_is_of_a_line_before_it_is_of_single_marks(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    one_of_each = tuple(point for point in series.points if point.coordinates["batch"] == 1)
    dots = thumbnail(replace(fig06, by_series=(replace(series, points=one_of_each),)))
    assert dots.strokes
    assert all(stroke.path.endswith("m-3 0h6") for stroke in dots.strokes)
    lines = thumbnail(replace(fig06, by_series=(replace(series, points=one_of_each), series)))
    assert any("L" in stroke.path for stroke in lines.strokes)


def test_series_have_the_same_scale_and_models_scales_of_their_own(fig06: StudyResults) -> None:
    panel, (series,) = fig06.file.study.panels[0], fig06.by_series
    marks = marks_of(panel, series.points)
    scales = scales_of(panel, fig06.points, marks)
    assert scales is not None
    highest = {facet: ends.highest for facet, ends in scales.by_facet.items()}
    assert highest == {
        facet: max(mark.pooled.mean for mark in marks if mark.facet == facet)
        for facet in ("deepseek-v2-lite", "qwen1.5-moe-a2.7b")
    }
    shared = scales_of(panel.model_copy(update={"facet": "length"}), fig06.points, marks)
    assert shared is not None
    assert {ends.highest for ends in shared.by_facet.values()} == {max(highest.values())}


def test_values_are_those_of_the_runs_with_their_sweeps(page: StudyPage, fig06: StudyResults) -> None:
    table = page.panels[0].by_series[0].table
    assert table.columns[:4] == (
        "Model",
        "Tokens in, and tokens out",
        "Batch size",
        "Throughput (paper, Eq. 2), tokens/s",
    )
    first = table.rows[0]
    assert first.cells[:4] == ("deepseek-v2-lite", "128", "1", "587.3")
    (sweep_id, href) = first.sweeps[0]
    assert href == f"/sweeps/{sweep_id}"
    assert sweep_id in fig06.by_series[0].source.sweep_ids


def test_the_bound_is_that_of_the_runs(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    marks = marks_of(fig06.file.study.panels[0], series.points)
    assert all(mark.bound == bound_of(mark.point.runs[0], "paper.throughput_tokens_per_s") for mark in marks)
    shares = [mark.pooled.mean / (mark.bound or 0) for mark in marks]
    assert all(0.1 < share < 1 for share in shares)


def test_a_panel_without_marks_has_no_scales(fig06: StudyResults) -> None:
    assert scales_of(fig06.file.study.panels[1], fig06.points, []) is None


def test_the_tally_counts_every_claim_once(shelf: Shelf, page: StudyPage, fig06: StudyResults) -> None:
    assert page.tally.total == len(fig06.file.study.claims) == sum(each.count for each in page.tally.segments)
    index = studies_page(shelf.studies, DASHBOARD)
    assert index.tally.total == sum(len(each.file.study.claims) for each in shelf.studies) > 100
    assert sum(each.width for each in index.tally.segments) == pytest.approx(100, abs=0.1)


def test_a_claim_says_what_was_stated_and_found(page: StudyPage) -> None:
    (row,) = [each for each in page.claims if each.claim.id == "fig06-batch-128-over-1"]
    assert (row.claim.place, row.stated) == ("§4.3", "> 8x")
    assert row.finding.by == "H200, measured, dummy weights and routers"
    assert row.finding.verdict in VERDICTS
    assert [each.of for each in row.finding.compared] == ["length 128, deepseek-v2-lite"]  # Qwen's run is doubtful
    assert re.fullmatch(r"[\d.]+× \([\d.]+ to [\d.]+\)", row.finding.found)
    (row,) = [each for each in page.claims if each.claim.id == "fig06-batch-linear"]
    assert re.fullmatch(r"[\d.]+× to [\d.]+×", row.finding.found)


def test_that_intervals_are_assumed_is_said_once(page: StudyPage) -> None:
    (row,) = [each for each in page.claims if each.claim.id == "fig06-batch-linear"]
    assert row.is_assumed
    assert not any("assumed" in each.reason for each in page.claims)
    assert any(each.reason for each in page.claims if not each.is_assumed)
    assert render_study(page).count("whose interval is assumed") == 1


def test_contradictions_stand_side_by_side_once(shelf: Shelf, page: StudyPage) -> None:
    pairs = [frozenset((each.ours.claim.id, each.theirs.claim.id)) for each in page.contradictions]
    assert frozenset(("fig06-batch-128-over-1", "fig06-batch-linear")) in pairs
    assert len(pairs) == len(set(pairs))
    assert claims_page(shelf.studies, DASHBOARD, {}).contradictions


def test_what_nobody_can_start_is_listed_with_the_reason(shelf: Shelf) -> None:
    made = study_page(shelf.study("fig16"), shelf.studies, DASHBOARD)
    assert any(each.where == "everywhere" and "retired" in each.reason for each in made.not_run)


@pytest.mark.parametrize(
    ("name", "server", "why"),
    [
        ("fig12", "num_speculative_tokens 1", "drafted tokens"),
        ("fig14", "mixtral-unfused", "expert-loop"),
    ],
)
def test_what_no_prediction_is_made_of_is_listed_with_the_reason(
    shelf: Shelf, name: str, server: str, why: str
) -> None:
    made = study_page(shelf.study(name), shelf.studies, DASHBOARD)
    found = [each for each in made.not_run if each.where == "prediction"]
    assert any(why in each.reason and any(server in label for label in each.servers) for each in found)


@pytest.mark.parametrize(("name", "can_be"), [("table1", False), ("fig04", True), ("fig12", True), ("fig06", True)])
def test_only_what_can_be_predicted_has_the_command_for_it(shelf: Shelf, name: str, can_be: bool) -> None:
    made = study_page(shelf.study(name), shelf.studies, DASHBOARD)
    assert any(f"study predict {name}" in line for _, line in made.commands) is can_be


def test_what_can_be_predicted_is_not_listed(page: StudyPage) -> None:
    assert not [each for each in page.not_run if each.where == "prediction"]


def test_arithmetic_studies_have_sizes_and_no_points(shelf: Shelf) -> None:
    made = study_page(shelf.study("table1"), shelf.studies, DASHBOARD)
    assert made.lines == ()
    assert made.sizes is not None
    rows = dict(made.sizes.rows)
    hidden = rows["Qwen3-30B-A3B"][made.sizes.columns.index("hidden size")]
    assert (hidden.paper, hidden.real, hidden.verdict) == ("5,120", "2,048", "differs")
    active = rows["DeepSeek V2 Lite"][made.sizes.columns.index("active parameters")]
    assert (active.paper, active.real, active.counted) == ("2.4 B", "2.45 B", "without the embedding")
    assert "2.45 B without the embedding" in render_study(made)
    assert [chart.key for chart in made.size_charts] == ["total", "active"]
    assert made.size_charts[0].table is not None
    assert made.size_charts[0].table.rows[0][-1] == "46.7"


def test_claims_are_filtered(shelf: Shelf) -> None:
    made = claims_page(shelf.studies, DASHBOARD, {"verdict": "holds", "study": "table1"})
    assert {(row.finding.verdict, row.study) for row in made.claims} == {("holds", "table1")}
    assert made.shown == f"{len(made.claims)} of {made.tally.total} claims"


def test_a_folder_links_its_pages_and_names_no_address(shelf: Shelf) -> None:
    chosen = [shelf.study("table1"), shelf.study("fig06")]
    files = dict(study_folder(chosen))
    assert {"index.html", "claims.html", "table1.html", "fig06.html", "static/style.css", "static/vega.js"} <= set(
        files
    )
    pages = {name: text for name, text in files.items() if name.endswith(".html")}
    for text in pages.values():
        links = set(re.findall(r'(?:href|src)="([^"#]+)', text)) - {"data:,"}
        assert links <= set(files)
        assert not re.search(r'(?:href|src)="(?:https?:)?//', text)


def test_a_file_by_itself_has_all_that_it_needs(shelf: Shelf, fig06: StudyResults) -> None:
    text = study_file(fig06, shelf.studies)
    assert not re.search(r'^<(?:script|link|img)[^>]+(?:src|href)="(?!data:)', text, re.MULTILINE)
    assert "vegaEmbed" in text
    assert "DUMMY WEIGHTS AND ROUTERS" in text


def test_every_study_has_a_page(shelf: Shelf) -> None:
    for each in shelf.studies:
        assert each.file.study.title in render_study(study_page(each, shelf.studies, FOLDER)).replace("&#39;", "'")


def test_before_anything_is_measured_the_pages_are_there() -> None:
    shelf = StudyLibrary(lambda: ("fig06", "table1")).shelf(None)
    assert all(each.by_series == () for each in shelf.studies)
    text = render_study(studies_page(shelf.studies, FOLDER))
    assert "None of 148 points is measured or predicted yet." in text


def test_names_of_files_that_are_taken() -> None:
    assert [file_name(name) for name in ("fig06", "index", "claims")] == [
        "fig06.html",
        "study-index.html",
        "study-claims.html",
    ]


def test_what_was_read_is_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    mine = tmp_path / "studies" / "mine.yaml"
    mine.write_text("title: Mine\nquestion: Why?\nmodels: [mixtral-8x7b]\n")
    library = StudyLibrary(lambda: ("mine",))
    first = library.shelf(None)
    assert library.shelf(None) is first
    assert first.studies[-1].file.study.title == "Mine"
    mine.write_text("title: Mine\nquestion: Why?\nmodels: [mixtral-8x7c]\n")
    (problem,) = library.shelf(None).problems
    assert "mine.yaml line 3" in problem


def test_points_that_a_panel_does_not_tell_apart_are_lines_of_their_own(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    panel = fig06.file.study.panels[0]
    assert {mark.rest for mark in marks_of(panel, series.points)} == {""}
    without_colour = panel.model_copy(update={"colour": None})
    rests = {mark.rest for mark in marks_of(without_colour, series.points)}
    assert rests == {"128 in and out", "2,048 in and out"}


@pytest.mark.parametrize(("kind", "shape"), [("line", "marks"), ("bar", "bars")])
def test_a_caption_names_only_what_is_drawn(fig06: StudyResults, kind: str, shape: str) -> None:
    (series,) = fig06.by_series
    panel = fig06.file.study.panels[0].model_copy(update={"kind": kind})
    marks = [replace(mark, status="valid", bound=mark.pooled.mean) for mark in marks_of(panel, series.points)]
    scales = scales_of(panel, fig06.points, marks)
    assert scales is not None
    plain = caption(scales, marks)
    assert "Hollow" not in plain
    assert "beyond the edge" not in plain
    far = replace(marks[-1], status="doubtful", bound=100 * marks[-1].pooled.mean)
    both = [*marks[:-1], far]
    assert f"Hollow {shape} are doubtful (1 of {len(marks)})" in caption(scales, both)
    assert "beyond the edge are not drawn." in caption(scales, both)
    *_, chart = panel_charts(scales, both, series.series)
    assert chart.spec is not None
    hollow = [layer for layer in chart.spec["layer"] if layer["mark"].get("filled") is False]
    assert [layer["transform"] for layer in hollow] == [[{"filter": "datum.status === 'doubtful'"}]]


def test_a_chart_has_the_colours_that_it_shows_and_room_for_its_bars(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    panel = fig06.file.study.panels[0]
    marks = marks_of(panel, series.points)
    highest = max(mark.pooled.mean for mark in marks)
    long, longer = (
        replace(mark.pooled, low=0.0, high=share * highest) for mark, share in zip(marks, (1.5, 3), strict=False)
    )

    def drawn(*first: Pooled) -> tuple[str, Chart]:
        changed = [replace(mark, facet=None, pooled=pooled) for mark, pooled in zip(marks, first, strict=False)]
        shown = [*changed, *(replace(mark, facet=None) for mark in marks[len(changed) :])]
        scales = scales_of(panel, fig06.points, shown)
        assert scales is not None
        of_128 = [mark for mark in shown if mark.colour == 128]
        (chart,) = panel_charts(scales, of_128, series.series)
        return caption(scales, of_128), chart

    words, chart = drawn(long)
    assert "cut off" not in words
    assert chart.spec is not None
    line = chart.spec["layer"][-1]["encoding"]
    assert line["color"]["legend"]["values"] == ["128 in and out"]
    assert len(line["color"]["scale"]["domain"]) > 1
    assert line["y"]["scale"]["domain"][1] > 1.5 * highest
    words, chart = drawn(longer)
    assert "Longer ones are cut off at the edge" in words
    assert chart.spec is not None
    assert chart.spec["layer"][-1]["encoding"]["y"]["scale"]["domain"][1] < 2 * highest


def test_runs_known_to_show_something_else_are_doubtful_and_judge_nothing(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    marks = marks_of(fig06.file.study.panels[0], series.points)
    doubtful = [(mark.facet, mark.x) for mark in marks if mark.status == "doubtful"]
    assert doubtful == [("qwen1.5-moe-a2.7b", 32), ("qwen1.5-moe-a2.7b", 128)]
    scales = scales_of(fig06.file.study.panels[0], fig06.points, marks)
    assert scales is not None
    assert f"Hollow marks are doubtful (2 of {len(marks)}): a kernel was compiled in the run" in caption(scales, marks)
    judged = tuple(without_outliers(series.points))
    assert len(judged) == len(series.points) - 2
    assert not {run["run_id"] for point in judged for run in point.runs} & set(OUTLIERS)
    compared = [each for judgement in series.judgements for each in judgement.compared]
    assert not any("batch 32" in each.of and "qwen" in each.of for each in compared)


def test_a_page_may_show_some_series_alone(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    assert of_series(fig06, {series.series.key}).standing == fig06.standing
    nothing = of_series(fig06, set())
    assert nothing.by_series == ()
    assert {each.judgement.verdict for each in nothing.standing} <= {"not_measured", "not_testable"}


def test_tiny_models_are_a_series_without_a_say(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\nquestion: Why?\nservers: [{profile: deepseek-v2-lite}]\nloads: [{wave: [1, 4], lengths: [128]}]\n"
        "claims:\n  - {id: grows, place: here, says: It grows., compare: {kind: trend, axis: batch, direction: increases}}\n"
    )
    planned = PlannedStudy.of(read_study(str(tmp_path / "mine.yaml")))
    stand_ins = planned.with_tiny_models().tiny
    profile = stand_ins[0].variant.variant.served.profile
    launch = {"model_source": profile.model, "arguments": profile.arguments, "gpus": [], "environment": {}}
    server = {
        "url": "",
        "name": "vLLM",
        "version": "0.32.0",
        "model": profile.request_model,
        "profile": profile.name,
        "launch": launch,
    }
    found = read_sweep(RESULTS / "2026-11-30-h200-deepseek-v2-lite-dummy-waves-128.json.gz")
    with Store.open(f"sqlite:///{tmp_path / 'tiny.db'}") as store:
        runs = [
            {**run, "server": server, "spec": {**run["spec"], **point.run.to_json()}}
            for point, run in zip(stand_ins, found.runs, strict=False)
        ]
        store.add_imported(replace(found.sweep, server=server), runs)
        results = results_of(planned, Record.of(store))
    (series,) = results.by_series
    assert series.series.provenance == "tiny"
    assert [point.coordinates["batch"] for point in series.points] == [1, 4]
    assert [point.coordinates["model"] for point in series.points] == ["deepseek-v2-lite"] * 2
    assert [each.judgement.verdict for each in results.standing] == ["not_measured"]
    made = study_page(results, [results], FILE)
    commands = [command for _, command in made.commands]
    assert [f"loadgen study {verb} {tmp_path / 'mine.yaml'} --scale tiny" for verb in ("plan", "run")] == commands[:2]
    panel = Panel.model_validate({"title": "T", "y": "e2e_latency_s", "x": "batch", "facet": "model"})
    marks = marks_of(panel, series.points)
    scales = scales_of(panel, planned.points, marks)
    assert scales is not None
    (chart,) = panel_charts(scales, marks, series.series)
    assert chart.title == "tiny-deepseekv2 for deepseek-v2-lite"
    assert "Measured on tiny-deepseekv2." in caption(scales, marks)


def test_a_panel_may_be_a_heat_map(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    panel = fig06.file.study.panels[0].model_copy(update={"kind": "heat map"})
    marks = marks_of(panel, series.points)
    scales = scales_of(panel, fig06.points, marks)
    assert scales is not None
    chart, _ = panel_charts(scales, marks, series.series)
    assert chart.spec is not None
    cells = chart.spec["data"]["values"]
    assert {cell["line"] for cell in cells} == {"128 in and out", "2,048 in and out"}
    darkest = max(cells, key=lambda cell: cell["share"])
    assert (darkest["column"], darkest["line"], darkest["share"]) == ("128", "128 in and out", 1.0)


def test_the_accuracy_of_a_server_has_the_interval_of_its_tasks_and_no_doubt_of_a_run(fig06: StudyResults) -> None:
    (series,) = fig06.by_series
    panel = fig06.file.study.panels[0].model_copy(update={"y": "accuracy"})
    assert marks_of(panel, series.points) == []
    doubtful = {"status": "doubtful", "findings": []}
    points = [
        replace(
            point,
            accuracy=MeanAccuracy(0.7, 0.6, 0.8, ("copy",)),
            runs=tuple({**run, "verdict": doubtful} for run in point.runs),  # type: ignore[typeddict-item]
        )
        for point in series.points
    ]
    marks = marks_of(panel, points)
    assert {(mark.pooled.mean, mark.pooled.low, mark.pooled.high, mark.status) for mark in marks} == {
        (0.7, 0.6, 0.8, "valid")
    }
    scales = scales_of(panel, [], marks)
    assert scales is not None
    words = caption(scales, marks)
    assert "the 95 % interval by the tasks' standard errors" in words
    assert "doubtful" not in words
