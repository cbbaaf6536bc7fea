"""`loadgen plot`: the file that is asked for, or one sentence."""

from pathlib import Path

import pytest

from loadgen.load.shapes import ClosedLoop
from loadgen.report.charts.plots import PLOTS
from tests.cli.conftest import Cli
from tests.report.documents import Document, fill, specs, sweep_row

SWEEP = "s261123-152901-4f2a"
BEGINS = {".svg": b"<svg", ".pdf": b"%PDF", ".png": b"\x89PNG"}


@pytest.fixture
def runs(tmp_path: Path) -> list[Document]:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 4, requests_per_slot=4)
    return fill(tmp_path / "loadgen.db", sweep_row(SWEEP, planned, "a grid"), planned)


@pytest.mark.parametrize("ending", sorted(BEGINS))
def test_the_ending_of_the_file_says_what_is_drawn(cli: Cli, runs: list[Document], tmp_path: Path, ending: str) -> None:
    said = cli("plot", "throughput", SWEEP, "-o", f"figure{ending}")
    assert (said.code, said.out, said.err) == (0, "", f"wrote figure{ending}\n")
    assert (tmp_path / f"figure{ending}").read_bytes().startswith(BEGINS[ending])


def test_without_more_it_draws_the_latest_as_svg(cli: Cli, runs: list[Document], tmp_path: Path) -> None:
    assert cli("plot", "ttft", "-q").code == 0
    assert "a grid" in (tmp_path / "ttft.svg").read_text()


def test_a_run_by_the_beginning_of_its_id(cli: Cli, runs: list[Document], tmp_path: Path) -> None:
    assert cli("plot", "timeline", runs[0]["run_id"], "-o", "t.svg", "--width-px", "500").code == 0
    assert 'width="500"' in (tmp_path / "t.svg").read_text()[:300]


def test_the_list_names_every_chart(cli: Cli) -> None:
    said = cli("plot", "--list", "--json")
    assert [chart["name"] for chart in said.json["charts"]] == [each.name for each in PLOTS]
    table = cli("plot", "--list").out
    assert all(each.name in table for each in PLOTS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name a chart"),
        (("pie",), "no chart 'pie'"),
        (("ttft", SWEEP, "-o", "figure.gif"), "must end in .svg, .pdf or .png"),
        (("ttft", SWEEP, "-o", "nowhere/figure.svg"), "cannot write nowhere/figure.svg"),
        (("ttft", SWEEP, "--width-px", "9"), "240 to 4,000"),
        (("timeline", SWEEP), "draws one run"),
        (("energy", SWEEP), "nothing to draw"),
        (("ttft", SWEEP, "--json"), "--json goes with --list"),
        (("ttft", "s-none"), "s-none"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(
    cli: Cli, runs: list[Document], tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    said = cli("plot", *arguments)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert sentence in said.err
    assert not list(tmp_path.glob("*.svg"))
