"""Every page in a real browser: its charts are drawn, nothing is refused, nothing leaves the machine, names from outside stay text.

It fits its window and axe-core finds nothing serious, light or dark, wide or narrow.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadgen.report.pages.single_file import render_report
from loadgen.store.repository import Store
from tests.browser.conftest import (
    FIRST,
    HOSTILE,
    HOSTILE_ONE,
    HOSTILE_REPLY,
    SECOND,
    open_all,
    serious_in_every_look,
    settle,
)
from tests.report.documents import Document

pytestmark = [pytest.mark.browser, pytest.mark.loopback]


@pytest.mark.parametrize(
    ("name", "path", "fewest"),
    [
        ("list", "", 0),
        ("sweep", f"sweeps/{FIRST}", 3),
        ("sweep-hostile", f"sweeps/{HOSTILE_ONE}", 3),
        ("run", "runs/RUN", 5),
        ("compare", f"compare?in={FIRST},{SECOND}&baseline=olmoe-1b-7b", 4),
        ("compare-hostile", f"compare?in={HOSTILE_ONE},{SECOND}&y=ttft_s", 1),
        ("compare-nothing", "compare", 0),
    ],
)
def test_a_page_draws_its_charts_fits_and_has_nothing_serious(
    dashboard: str,
    measured: dict[str, list[Document]],
    open_page: Callable[..., Any],
    picture: Callable[[Any, str], None],
    name: str,
    path: str,
    fewest: int,
) -> None:
    page = open_page(dark=True)
    page.goto(dashboard + path.replace("RUN", measured[FIRST][0]["run_id"]))
    assert settle(page) >= fewest
    assert page.title() != "taken"
    if "hostile" in name:
        assert HOSTILE in page.locator("main").inner_text()
    picture(page, f"{name}-dark")
    open_all(page, "main details:not(.pick)")
    assert serious_in_every_look(page) == []
    assert settle(page) >= fewest
    picture(page, name)


def test_what_is_not_there_is_a_page_with_a_way_back(dashboard: str, browser: Any) -> None:
    page = browser.new_page()
    answer = page.goto(f"{dashboard}sweeps/none")
    assert answer.status == 404
    assert serious_in_every_look(page) == []
    page.get_by_role("link", name="All sweeps").click()
    assert page.url == dashboard
    page.close()


def test_a_report_draws_its_charts_from_one_file_alone(
    measured: dict[str, list[Document]], place: Path, page: Any, picture: Callable[[Any, str], None]
) -> None:
    with Store.open(f"sqlite:///{place}/measured.db", read_only=True) as store:
        html = render_report(store, [HOSTILE_ONE, measured[FIRST][0]["run_id"]])
    (place / "report.html").write_text(html, encoding="utf-8")
    page.goto((place / "report.html").as_uri())
    assert settle(page) >= 8
    assert page.title() != "taken"
    picture(page, "report")


def test_without_scripts_the_figures_are_in_tables(
    dashboard: str, measured: dict[str, list[Document]], open_page: Callable[..., Any]
) -> None:
    page = open_page(scripts=False)
    page.goto(f"{dashboard}compare?in={FIRST},{SECOND}&y=ttft_s")
    assert page.locator("table.sortable tbody tr").count() == 12
    page.get_by_label("Statistic", exact=True).select_option("p90")
    page.get_by_role("button", name="Show").click()
    assert "stat=p90" in page.url


@pytest.mark.parametrize("place_of_it", ["dashboard", "report"])
def test_a_reply_that_is_shown_does_nothing(
    dashboard: str, measured: dict[str, list[Document]], place: Path, page: Any, place_of_it: str
) -> None:
    run_id = measured[HOSTILE_ONE][0]["run_id"]
    url = f"{dashboard}runs/{run_id}"
    if place_of_it == "report":
        with Store.open(f"sqlite:///{place}/measured.db", read_only=True) as store:
            (place / "reply.html").write_text(render_report(store, [run_id]), encoding="utf-8")
        url = (place / "reply.html").as_uri()
    page.goto(url)
    settle(page)
    open_all(page, "details:has(pre.reply)")
    assert [each.inner_text() for each in page.locator("pre.reply").all()] == [HOSTILE, HOSTILE_REPLY]
    assert page.title() != "taken"
