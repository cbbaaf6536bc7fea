"""`loadgen report`: one file that holds everything it needs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.errors import NotFoundError
from loadgen.load.shapes import ClosedLoop
from loadgen.report.comparison.view import View
from loadgen.report.pages import assets
from loadgen.report.pages.single_file import render_report
from loadgen.store.repository import Store
from tests.report.documents import Document, fill, specs, sweep_row

SWEEP = "s261123-152901-4f2a"


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[tuple[Store, list[Document]]]:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 4, requests_per_slot=4)
    documents = fill(tmp_path / "measured.db", sweep_row(SWEEP, planned, "a grid", simulated=True), planned)
    with Store.open(f"sqlite:///{tmp_path}/measured.db", read_only=True) as store:
        yield store, documents


def test_a_report_holds_its_scripts_and_style_and_forbids_every_request(filled: tuple[Store, list[Document]]) -> None:
    html = render_report(filled[0], [SWEEP])
    assert assets.vega().text in html
    assert assets.static("charts.js").text in html
    assert assets.static("style.css").text in html
    assert "default-src 'none'" in html
    markup = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", html, flags=re.DOTALL)
    assert re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*", markup) == []
    assert "SIMULATED" in markup


def test_the_scripts_cannot_end_the_element_that_holds_them() -> None:
    for asset in (assets.vega(), assets.static("charts.js")):
        assert "</script" not in asset.text.lower()
        assert "<!--" not in asset.text


def test_the_scripts_are_there_once_however_much_is_reported(filled: tuple[Store, list[Document]]) -> None:
    store, documents = filled
    html = render_report(store, [SWEEP, *(document["run_id"] for document in documents)])
    assert html.count(assets.vega().text) == 1
    assert html.count("<main ") == 1


def test_a_sweep_links_the_runs_that_are_in_the_same_report_and_no_other(filled: tuple[Store, list[Document]]) -> None:
    store, documents = filled
    inside, outside = documents[0]["run_id"], documents[1]["run_id"]
    html = render_report(store, [inside, SWEEP])
    assert f'href="#{inside}"' in html
    assert f'id="{inside}"' in html
    assert f'href="#{outside}"' not in html
    assert f'href="#{SWEEP}"' in html


def test_the_same_thing_asked_for_twice_is_reported_once(filled: tuple[Store, list[Document]]) -> None:
    html = render_report(filled[0], [SWEEP, SWEEP[:5]])
    assert html.count(f'<section class="page" id="{SWEEP}">') == 1


def test_an_unknown_id_is_named(filled: tuple[Store, list[Document]]) -> None:
    with pytest.raises(NotFoundError, match="s-none"):
        render_report(filled[0], ["s-none"])


def test_a_report_begins_with_a_comparison_where_one_is_wanted(filled: tuple[Store, list[Document]]) -> None:
    store, documents = filled
    html = render_report(store, [SWEEP], View(y=("ttft_s",)))
    assert html.index('id="comparison"') < html.index(f'<section class="page" id="{SWEEP}">')
    assert assets.static("compare.js").text in html
    assert "<form" not in html
    markup = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", html, flags=re.DOTALL)
    assert re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*", markup) == []
    assert f'href="#{SWEEP}"' in markup.split(f'id="{SWEEP}"')[0]
    assert 'id="comparison"' not in render_report(store, [SWEEP])
    of_a_run = render_report(store, [documents[0]["run_id"]], View(y=("ttft_s",)))
    assert f'href="#{SWEEP}"' not in of_a_run, "the sweep is not in the file"
