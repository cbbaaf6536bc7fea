"""Every page: its template says nothing that its context lacks, and nothing that a user wrote is taken for HTML."""

import json
import re
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import vl_convert
from jinja2 import nodes

from loadgen.analysis.figures.metrics import METRICS
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.load.workload import Sessions, Workload
from loadgen.report.comparison.page import ComparisonPage
from loadgen.report.pages import assets, contexts
from loadgen.report.pages.live_view import LiveView
from loadgen.report.pages.rendering import environment, json_block, render
from loadgen.report.pages.sweeps_list import SweepsPage, sweeps_page
from tests.report.documents import Document, measured_run, outlined, specs, sweep_row

NOW = datetime(2026, 11, 23, 15, 32, 1, tzinfo=UTC)
HOSTILE = "</script><script>alert('model')</script>\"'&<b>"
SECTIONS: dict[str, type[contexts.Page]] = {
    "sweep_section.html": contexts.SweepPage,
    "run_section.html": contexts.RunPage,
    "comparison_section.html": ComparisonPage,
}


def grid(statuses: tuple[str, ...] = (), model: str = "tiny-mixtral", simulated: bool = False) -> list[Document]:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32, 64), 4, requests_per_slot=4, model=model)
    padded = [*statuses, *["valid"] * (len(planned) - len(statuses))]
    return [
        measured_run(spec, "s261123-152901-4f2a", simulated, status=status)[0]
        for spec, status in zip(planned, padded, strict=True)
    ]


def a_sweep_page(
    statuses: tuple[str, ...] = (), model: str = "tiny-mixtral", simulated: bool = False
) -> contexts.SweepPage:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32, 64), 4, requests_per_slot=4, model=model)
    row = sweep_row("s261123-152901-4f2a", planned, "a grid", simulated=simulated)
    runs = grid(statuses, model, simulated)
    row = replace(
        row, runs=4, valid=4 - len(statuses), doubtful=statuses.count("doubtful"), invalid=statuses.count("invalid")
    )
    return contexts.sweep_page(row, runs, NOW)


def a_run_page(failures: float = 0.0, simulated: bool = False) -> contexts.RunPage:
    (spec,) = specs([ClosedLoop(2)], (32,), 4)
    document, records = measured_run(spec, "s261123-152901-4f2a", simulated, failures)
    return contexts.run_page(document, outlined(document, records), NOW)


def a_page_of_conversations() -> contexts.RunPage:
    (spec,) = specs([ClosedLoop(2)], (32,), 4)
    spec = replace(spec, endpoint="chat", workload=Workload(sessions=Sessions(4)))
    document, records = measured_run(spec, "s261123-152901-4f2a")
    return contexts.run_page(document, outlined(document, records), NOW)


def every_page() -> list[contexts.Page]:
    return [
        sweeps_page([sweep_row("s1", specs([ClosedLoop(1)]), "one")], NOW),
        sweeps_page([], NOW),
        a_sweep_page(("invalid", "doubtful")),
        contexts.sweep_page(sweep_row("s2", specs([ClosedLoop(1)]), status="running"), [], NOW),
        a_run_page(failures=0.2),
        a_page_of_conversations(),
        contexts.ReportPage("title", "now", (("a", "b"), ("c", "d")), (a_sweep_page(),), (a_run_page(),)),
        contexts.ErrorPage("Not found", "There is no such thing."),
    ]


@pytest.mark.parametrize("page", every_page(), ids=lambda page: type(page).__name__)
def test_every_page_renders_with_undefined_names_forbidden(page: contexts.Page) -> None:
    html = render(page)
    assert html.startswith("<!doctype html>")
    assert html.rstrip().endswith("</html>")
    assert "None" not in re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)


def read_attributes(template: str, variable: str) -> set[str]:
    """The attributes of `variable` that a template reads, whichever branch they stand in."""
    loader = environment().loader
    assert loader is not None
    tree = environment().parse(loader.get_source(environment(), template)[0])
    return {
        node.attr
        for node in tree.find_all(nodes.Getattr)
        if isinstance(node.node, nodes.Name) and node.node.name == variable
    }


@pytest.mark.parametrize(("page", "template"), [*((page, name) for page, name in contexts.TEMPLATES.items())])
def test_a_page_template_reads_only_what_its_context_has(page: type[contexts.Page], template: str) -> None:
    assert read_attributes(template, "page") <= {field.name for field in fields(page)}


@pytest.mark.parametrize(("template", "page"), SECTIONS.items())
def test_a_section_reads_only_what_its_context_has_and_all_of_what_is_only_for_it(
    template: str, page: type[contexts.Page]
) -> None:
    variable = template.removesuffix("_section.html")
    names = {field.name for field in fields(page)}
    read = read_attributes(template, variable)
    assert read <= names
    shown_elsewhere = {"title", "running"} | ({"simulated"} if variable == "comparison" else set())
    assert names - read - shown_elsewhere == set()


def test_the_part_on_what_goes_on_reads_all_of_its_view() -> None:
    assert read_attributes("live.html", "live") == {field.name for field in fields(LiveView)}


def test_the_layout_reads_what_every_page_has() -> None:
    read = read_attributes("layout.html", "page")
    assert all(read <= {field.name for field in fields(page)} for page in contexts.TEMPLATES)


def test_every_template_is_some_pages_or_part_of_one() -> None:
    of_studies = {"studies.html", "study.html", "claims.html", "study_file.html", "study_macros.html"}
    known = {
        *contexts.TEMPLATES.values(),
        *SECTIONS,
        "layout.html",
        "dashboard.html",
        "macros.html",
        "live.html",
        *of_studies,
    }
    assert {path.name for path in assets.templates_directory().glob("*.html")} == known


def test_conversations_are_shown_by_turn() -> None:
    page = a_page_of_conversations()
    assert page.turns is not None
    assert page.turns.columns == ("turn", "requests", "prompt tokens", "TTFT p50, ms", "TTFT max, ms")
    assert [row[0] for row in page.turns.rows] == ["1", "2", "3", "4"]
    assert "By turn of the conversation" in render(page)
    assert "By turn of the conversation" not in render(a_run_page())


def test_what_users_and_servers_write_is_text_and_never_markup() -> None:
    html = render(a_sweep_page(model=HOSTILE)) + render(a_run_page(failures=0.3))
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(&#39;model&#39;)" in html
    assert "&lt;script&gt;alert(&#39;overloaded&#39;)" in html


def test_json_in_a_page_cannot_end_its_script_element_and_means_the_same() -> None:
    value = {"model": "</script><!-- & é"}
    block = json_block(value)
    assert "<" not in block
    assert ">" not in block
    assert json.loads(block) == value


def test_charts_in_a_page_are_the_specifications_themselves() -> None:
    page = a_sweep_page()
    blocks = re.findall(r'<script type="application/json">(.*?)</script>', render(page), flags=re.DOTALL)
    assert [json.loads(block) for block in blocks] == [chart.spec for chart in page.charts]


def test_simulated_is_said_on_every_page_that_shows_simulated_figures_and_on_no_other() -> None:
    row = sweep_row("s1", specs([ClosedLoop(1)]), simulated=True)
    pages: list[contexts.Page] = [sweeps_page([row], NOW), a_sweep_page(simulated=True), a_run_page(simulated=True)]
    assert all(">SIMULATED</span>" in render(page) for page in pages)
    assert all("SIMULATED" not in render(page) for page in (a_sweep_page(), a_run_page()))


def test_a_chart_of_simulated_figures_says_so_also_when_it_is_saved_alone() -> None:
    charts = [
        *a_sweep_page(simulated=True).charts,
        *a_run_page(simulated=True).charts,
        a_run_page(simulated=True).timeline,
    ]
    for chart in charts:
        assert chart.title.endswith("(SIMULATED)")
        assert chart.spec is not None
        svg = vl_convert.vegalite_to_svg(json.dumps(chart.spec | {"width": 300}), allowed_base_urls=[])
        assert "SIMULATED · " in svg
    real = [*a_sweep_page().charts, *a_run_page().charts, a_run_page().timeline]
    assert not any("SIMULATED" in json.dumps(chart.spec) + chart.title for chart in real)


def test_an_invalid_run_is_struck_out_and_a_verdict_has_a_sign_beside_its_colour() -> None:
    html = render(a_sweep_page(("invalid", "doubtful")))
    assert html.count('<tr class="invalid">') == 1
    assert html.count('<tr class="doubtful">') == 1
    assert "✕ invalid" in html
    assert "◐ doubtful" in html
    assert "tr.invalid" in assets.static("style.css").text


def test_the_list_says_what_to_type_when_there_is_nothing_in_it() -> None:
    html = render(sweeps_page([], NOW, "there is no database x.db yet"))
    assert "There is no database x.db yet." in html
    assert "loadgen sweep --url" in html


def test_only_a_running_sweep_makes_its_page_look_again() -> None:
    running = sweep_row("s1", specs([ClosedLoop(1)]), status="running")
    finished = sweep_row("s1", specs([ClosedLoop(1)]), status="finished")
    for made in (lambda row: sweeps_page([row], NOW), lambda row: contexts.sweep_page(row, [], NOW)):
        assert 'http-equiv="refresh"' in render(made(running))
        assert 'http-equiv="refresh"' not in render(made(finished))


def test_a_finding_that_several_runs_share_is_said_once() -> None:
    page = a_sweep_page(("doubtful", "doubtful", "doubtful"))
    assert [(line.code, line.extent) for line in page.findings] == [("for_the_test", "3 of 4 runs")]
    assert "(3 of 4 runs)" in render(page)


def test_a_run_page_shows_every_distribution_that_it_has_under_its_own_name() -> None:
    page = a_run_page()
    labels = {metric.label for metric in METRICS if metric.is_distribution and "." not in metric.key}
    labels -= {"Limit wait"}  # it had no limit, and its provider told nothing of its time
    assert {line.label for line in page.distributions} == labels
    assert all(len(line.cells) == len(page.statistics) for line in page.distributions)
    ttft = next(line for line in page.distributions if line.label == "TTFT")
    assert ttft.cells[page.statistics.index("p99")] == "–"  # refused under 1,000 requests


@pytest.mark.parametrize(
    ("priority", "shown"), [("realtime", "in real time"), ("raised", "raised"), ("normal", "normal")]
)
def test_a_run_page_says_how_readily_the_client_was_woken(priority: str, shown: str) -> None:
    document, records = measured_run(specs([ClosedLoop(2)], (32,), 4)[0], "s1")
    document["client"]["priority"] = priority
    assert dict(contexts.run_page(document, outlined(document, records), NOW).client)["woken"] == shown
    del document["client"]["priority"]
    assert dict(contexts.run_page(document, outlined(document, records), NOW).client)["woken"] == "–"


@pytest.mark.parametrize("shape", [Wave(4), OpenLoop(20.0)])
def test_runs_of_every_shape_have_a_page(shape: Wave | OpenLoop) -> None:
    (spec,) = specs([shape], (32,), 4)
    document, records = measured_run(spec, "s1")
    page = contexts.run_page(document, outlined(document, records), NOW)
    labels = {line.label for line in page.scalars}
    assert ("ITL (paper, Eq. 1)" in labels) == isinstance(shape, Wave)
    assert render(page)


def test_a_run_in_which_everything_failed_has_a_page_without_figures() -> None:
    (spec,) = specs([ClosedLoop(2)], (32,), 4)
    document, records = measured_run(spec, "s1", failures=1.1)
    page = contexts.run_page(document, outlined(document, records), NOW)
    assert page.distributions == ()
    assert all(chart.spec is None for chart in page.charts)
    assert page.status == "invalid"
    assert "–" in {highlight.value for highlight in page.highlights}
    assert render(page)


def test_a_sweep_in_which_everything_failed_has_a_page() -> None:
    (spec,) = specs([ClosedLoop(2)], (32,), 4)
    document, _ = measured_run(spec, "s1", failures=1.1)
    page = contexts.sweep_page(sweep_row("s1", [spec]), [document], NOW)
    assert page.highlights == ()
    assert render(page)


def repeated(throughputs: list[float], statuses: list[str]) -> list[Document]:
    """Runs of two points in turn, so many as there are throughputs."""
    planned = specs([ClosedLoop(2), ClosedLoop(4)], (32,), 4, repeats=len(throughputs) // 2, requests_per_slot=4)
    runs = [measured_run(spec, "s1", status=status)[0] for spec, status in zip(planned, statuses, strict=True)]
    for run, throughput in zip(runs, throughputs, strict=True):
        run["output_tokens_per_s"] = throughput
    return runs


def test_the_head_of_a_sweep_is_its_best_point_and_not_its_luckiest_repeat() -> None:
    runs = repeated([100.0, 90.0, 20.0, 80.0], ["valid", "valid", "valid", "doubtful"])
    page = contexts.sweep_page(sweep_row("s1", specs([ClosedLoop(2)])), runs, NOW)
    best = page.highlights[0]
    assert (best.label, best.value, best.status) == ("Highest output", "85.0", "doubtful")
    assert best.note == "concurrency 4, 32 in, 4 out · ± 5.00 (half the range of 2 repeats)"
    head = render(page).split('<ul class="highlights">')[1].split("</ul>")[0]
    assert "◐ doubtful" in head
    assert "✓ valid" in head


def test_the_head_of_a_sweep_has_the_interval_of_three_repeats_and_no_invalid_run() -> None:
    runs = repeated([100.0, 900.0, 110.0, 900.0, 120.0, 900.0], ["valid", "invalid"] * 3)
    (best, *_) = contexts.sweep_page(sweep_row("s1", specs([ClosedLoop(2)])), runs, NOW).highlights
    assert (best.value, best.status) == ("110", "valid")
    assert best.note == "concurrency 2, 32 in, 4 out · ± 24.8 (95 % of 3 repeats)"  # t₂ 4.303 × 10/√3
    (best, *_) = contexts.sweep_page(sweep_row("s1", specs([ClosedLoop(2)])), runs[:1], NOW).highlights
    assert best.note == "concurrency 2, 32 in, 4 out"


@pytest.mark.parametrize(
    ("commit", "shown"),
    [
        ("0f3c2d91aa55bb66cc77dd88ee99ff0011223344", "0f3c2d91aa55"),
        ("0f3c2d91aa55bb66cc77dd88ee99ff0011223344+", "0f3c2d91aa55+"),
        ("0f3c2d91+", "0f3c2d91+"),
        (None, "not known"),
    ],
)
def test_the_surroundings_are_told_as_people_read_them(commit: str | None, shown: str) -> None:
    document, records = measured_run(specs([ClosedLoop(2)], (32,), 4)[0], "s1")
    document["environment"] = document["environment"] | {"git_commit": commit}
    told = dict(contexts.run_page(document, outlined(document, records), NOW).environment)
    assert (told["memory_bytes"], told["cpu_governor"], told["git_commit"]) == ("128 GiB", "not known", shown)
    assert told["host.name"] == "bench-1"
    assert dict(a_sweep_page().environment)["memory_bytes"] == "128 GiB"


def test_pages_name_no_place_outside_this_machine() -> None:
    for page in every_page():
        if isinstance(page, SweepsPage | contexts.SweepPage | contexts.RunPage | contexts.ErrorPage):
            addresses = set(re.findall(r"(?:src|href)=\"?(\w+://[^\"]*)", render(page)))
            assert addresses == set()


def test_static_files_are_looked_up_by_name_and_never_by_path() -> None:
    with pytest.raises(KeyError):
        assets.static("../layout.html")
    assert Path(assets.templates_directory() / "layout.html").exists()
