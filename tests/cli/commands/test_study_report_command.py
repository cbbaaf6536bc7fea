"""`loadgen study report` and `loadgen study plot`: the files that are asked for, or one sentence."""

import re
from pathlib import Path

import pytest

from loadgen.importers.importing import read_sweep
from loadgen.store.repository import Store
from tests.cli.conftest import Cli

WAVE = Path(__file__).resolve().parents[3] / "results" / "2026-11-30-h200-deepseek-v2-lite-dummy-waves-128.json.gz"


@pytest.fixture
def measured(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'loadgen.db'}") as store:
        found = read_sweep(WAVE)
        store.add_imported(found.sweep, found.runs)


def test_a_folder_of_pages(cli: Cli, measured: None, tmp_path: Path) -> None:
    said = cli("study", "report", "fig06", "table1", "-o", "pages")
    assert (said.code, said.out) == (0, "")
    assert said.err.startswith("wrote pages/index.html and 3 more pages: ")
    assert re.search(r"\d+ claims: \d+ holds, \d+ does not hold, ", said.err)
    assert "DUMMY WEIGHTS AND ROUTERS" in (tmp_path / "pages" / "fig06.html").read_text()
    assert (tmp_path / "pages" / "static" / "vega.js").stat().st_size > 100_000


def test_one_study_in_one_file(cli: Cli, measured: None, tmp_path: Path) -> None:
    assert cli("study", "report", "fig06", "-o", "fig06.html").code == 0
    assert "7 of 148 points" in (tmp_path / "fig06.html").read_text()


def test_a_study_of_ones_own_by_its_path(cli: Cli, measured: None, tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(
        "title: Mine\nquestion: Why?\nservers: [{profile: deepseek-v2-lite}]\nloads: [{wave: [1, 4], lengths: [128]}]\n"
    )
    assert cli("study", "report", "mine.yml", "-o", "mine.html").code == 0
    assert "2 of 2 points" in (tmp_path / "mine.html").read_text()


WRONG = """title: Mine
question: Why?
servers: [{profile: deepseek-v2-lite}]
loads: [{wave: [1, 4], lengths: [128]}]
panels: [{title: T, y: output_tokens_per_s, x: batchh}]
"""


@pytest.mark.parametrize("command", [("plan",), ("report", "-o", "mine.html"), ("report", "--json"), ("plot",)])
def test_a_coordinate_that_no_point_has_is_refused_as_by_plan(
    cli: Cli, measured: None, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "mine.yaml").write_text(WRONG)
    said = cli("study", command[0], "mine.yaml", *command[1:])
    assert (said.code, said.out) == (2, "")
    assert "unknown coordinate 'batchh' at 'panels.0.x' in mine.yaml line 5; did you mean 'batch'?" in said.err
    assert not (tmp_path / "mine.html").exists()


def test_a_study_with_a_mistake_is_left_out_of_all(cli: Cli, measured: None, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text(WRONG)
    said = cli("study", "report", "-o", "pages")
    assert said.code == 0
    assert "left out: unknown coordinate 'batchh'" in said.err
    assert (tmp_path / "pages" / "fig06.html").exists()
    assert not (tmp_path / "pages" / "mine.html").exists()


def test_without_a_database_nothing_is_measured(cli: Cli, tmp_path: Path) -> None:
    said = cli("study", "report", "table1", "-o", "table1.html")
    assert said.code == 0
    assert f"nothing is on record: there is no database {tmp_path / 'loadgen.db'} yet: measure" in said.err
    assert "Qwen3-30B-A3B" in (tmp_path / "table1.html").read_text()


def test_the_same_as_json(cli: Cli, measured: None, tmp_path: Path) -> None:
    said = cli("study", "report", "fig06", "--json")
    (study,) = said.json["studies"]
    assert (study["name"], study["series"][0]["measured_points"]) == ("fig06", 7)
    assert not (tmp_path / "studies-report").exists()


def test_chosen_series_alone(cli: Cli, measured: None) -> None:
    (study,) = cli("study", "report", "fig06", "--series", "h200-dummy-routed", "--json").json["studies"]
    assert [each["key"] for each in study["series"]] == ["h200-dummy-routed"]
    (study,) = cli("study", "report", "fig06", "table1", "--series", "h200-dummy-routed", "--json").json["studies"][:1]
    assert study["series"] == []  # table1 has none


@pytest.mark.parametrize(("ending", "begins"), [(".svg", b"<svg"), (".pdf", b"%PDF"), (".png", b"\x89PNG")])
def test_a_figure_as_a_file(cli: Cli, measured: None, tmp_path: Path, ending: str, begins: bytes) -> None:
    said = cli("study", "plot", "fig06", "-o", f"figure{ending}")
    assert said.code == 0
    assert said.err == f"wrote figure{ending}: H200, measured, dummy weights and routers\n"
    assert (tmp_path / f"figure{ending}").read_bytes().startswith(begins)


def test_sizes_of_models_are_drawn_without_a_server(cli: Cli, tmp_path: Path) -> None:
    assert cli("study", "plot", "fig01", "-o", "fig01.svg").code == 0
    assert "olmoe-1b-7b" in (tmp_path / "fig01.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("report", "fig06", "fig05", "-o", "x.html"), "x.html is one page: name one study"),
        (("report", "fig99"), "there is no study 'fig99'; did you mean 'fig09'?"),
        (("report", "fig06", "--json", "-o", "x"), "--json prints a document, and -o names a file"),
        (("report", "fig06", "--series", "h100"), "no study has a series 'h100'; known series: h200-dummy-routed"),
        (("plot", "table1", "--panel", "3"), "--panel must be 1 to 2, not 3: 1 Parameters in all"),
        (("plot", "fig06", "--panel", "3"), "--panel must be 1 to 2, not 3: 1 Throughput over batch size"),
        (("plot", "fig06", "--panel", "2"), "nothing of 'Output throughput in the steady state' is on record"),
        (("plot", "fig06", "--series", "h100"), "no series 'h100' has a point"),
        (("plot", "fig06", "-o", "x.gif"), "x.gif must end in .svg, .pdf or .png"),
    ],
)
def test_mistakes_are_one_sentence(cli: Cli, measured: None, arguments: tuple[str, ...], sentence: str) -> None:
    said = cli("study", *arguments)
    assert said.code == 2
    assert sentence in said.err
    assert said.err.count("\n") == 1


def test_a_study_without_panels_has_nothing_to_draw(cli: Cli, measured: None) -> None:
    Path("bare.yaml").write_text(
        "title: t\nquestion: q\nservers: [{profile: olmoe-tp1}]\nloads: [{wave: 1, lengths: [8]}]\n"
    )
    said = cli("study", "plot", "bare.yaml")
    assert said.code == 2
    assert "bare.yaml has no panels to draw" in said.err
