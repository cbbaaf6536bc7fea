"""The pages of studies in a browser: drawn, accessible, narrow and on paper, in the dashboard and as files."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadgen.importers.importing import read_sweep
from loadgen.report.study.files import study_file, study_folder
from loadgen.report.study.library import StudyLibrary
from loadgen.store.repository import Store
from tests.browser.conftest import NARROW, open_all, overflow, serious_in_every_look, serving, settle

pytestmark = [pytest.mark.browser, pytest.mark.loopback]

RESULTS = Path(__file__).resolve().parents[2] / "results"
PAGES = ["studies", "studies/fig06", "studies/table1", "studies/claims"]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('studies') / 'measured.db'}"
    with Store.open(url) as store:
        for name in ("deepseek-v2-lite", "qwen1.5-moe-a2.7b"):
            found = read_sweep(RESULTS / f"2026-11-30-h200-{name}-dummy-waves-128.json.gz")
            store.add_imported(found.sweep, found.runs)
    return url


@pytest.fixture(scope="module")
def studies(database: str) -> Iterator[str]:
    with serving(database) as url:
        yield url


@pytest.fixture(scope="module")
def folder(database: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pages")
    (made / "static").mkdir()
    with Store.open(database, read_only=True) as store:
        shelf = StudyLibrary(lambda: ("fig06", "table1")).shelf(store)
    for name, text in study_folder(shelf.studies):
        (made / name).write_text(text)
    (made / "single.html").write_text(study_file(shelf.study("fig06"), shelf.studies))
    return made


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(studies: str, page: Any, path: str) -> None:
    page.goto(studies + path)
    settle(page)
    open_all(page, "main details")
    assert serious_in_every_look(page) == []


def test_a_study_is_drawn_and_fits(
    studies: str, open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    page = open_page(width=NARROW)
    page.goto(f"{studies}studies")
    assert overflow(page) == 0
    picture(page, "studies")
    page.get_by_role("link", name="Throughput over batch size and length").click()
    assert settle(page) == 2
    assert overflow(page) == 0
    picture(page, "study-fig06")
    page.locator("details.values > summary").first.click()
    page.locator("table.values a").first.click()
    page.wait_for_url("**/sweeps/*")


def test_a_saved_drawing_says_what_the_page_says_above_it(studies: str, page: Any, tmp_path: Path) -> None:
    page.goto(f"{studies}studies/fig06")
    settle(page)
    assert page.locator(".plot .role-title-text").count() == 0
    with page.expect_download() as waiting:
        page.locator(".vega-actions a", has_text="SVG").first.click()
    waiting.value.save_as(tmp_path / "chart.svg")
    saved = (tmp_path / "chart.svg").read_text()
    assert "H200, measured, dummy weights and routers" in saved
    assert ">deepseek-v2-lite</" in saved


def test_charts_are_drawn_for_the_width_of_the_paper(studies: str, page: Any) -> None:
    page.goto(f"{studies}studies/fig06")
    settle(page)
    width = "document.querySelector('.plot svg').getBoundingClientRect().width"
    assert page.evaluate(width) > 400
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(f"{width} < 340")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(f"{width} > 400")


def test_claims_are_filtered_by_choosing(studies: str, page: Any) -> None:
    page.goto(f"{studies}studies/claims")
    page.locator("select[name=verdict]").select_option("holds")
    page.wait_for_url("**verdict=holds**")
    assert {row.get_attribute("data-verdict") for row in page.locator("table.claims tbody").all()} == {"holds"}


def test_a_folder_works_without_a_server(folder: Path, page: Any) -> None:
    page.goto(f"file://{folder}/index.html")
    page.get_by_role("link", name="Throughput over batch size and length").click()
    assert settle(page) == 2
    page.goto(f"file://{folder}/claims.html?verdict=does_not_hold")
    shown = page.locator("table.claims tbody:visible")
    assert {row.get_attribute("data-verdict") for row in shown.all()} == {"does_not_hold"}
    page.locator("select[name=study]").select_option("fig06")
    assert {row.get_attribute("data-study") for row in shown.all()} == {"fig06"}


def test_one_file_is_drawn_and_can_be_printed(folder: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(dark=True)
    page.goto(f"file://{folder}/single.html")
    assert settle(page) == 2
    page.emulate_media(media="print")
    assert not page.locator("header.bar").is_visible()
    assert not page.locator("nav.contents").is_visible()
    assert not page.locator("table.values").first.is_visible()
    assert "is not printed" in page.locator("p.on-paper").first.inner_text()
    assert page.locator("table.claims").first.is_visible()


def test_the_report_of_all_studies_is_one_file(browser: Any) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((RESULTS.parent / "docs" / "study-report.html").as_uri())
    frame = page.frame_locator("#page")
    frame.locator("a[href='fig03.html']").first.click()
    frame.get_by_role("heading", name="TTFT, ITL and end-to-end latency of language models", level=1).wait_for()
    assert page.url.endswith("#fig03.html")
    frame.locator("canvas, svg.marks").first.wait_for()
    assert all(url.startswith(("file:", "about:", "data:", "blob:")) for url in asked)
