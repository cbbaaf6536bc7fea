"""axe-core finds nothing serious on any page, light or dark, wide or narrow; everything that can be done can be done by keys."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import FIRST, HOSTILE_ONE, NARROW, SECOND, WIDE, check_page, settle
from tests.report.documents import Document

pytestmark = [pytest.mark.browser, pytest.mark.loopback]

PAGES = [
    "",
    f"sweeps/{FIRST}",
    f"sweeps/{HOSTILE_ONE}",
    "runs/RUN",
    f"compare?in={FIRST},{SECOND}&baseline=olmoe-1b-7b",
    "compare",
    "sweeps/none",
]


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_and_axe_finds_nothing_serious(
    dashboard: str, measured: dict[str, list[Document]], browser: Any, path: str, width: int
) -> None:
    url = dashboard + path.replace("RUN", measured[FIRST][0]["run_id"])
    check_page(browser, url, width=width, folded="main details:not(.pick)")


def test_two_sweeps_are_compared_by_keys_alone(dashboard: str, page: Any) -> None:
    page.goto(dashboard)
    page.get_by_label("Compare night of the 23rd").focus()
    page.keyboard.press("Space")
    page.get_by_label("Compare day after").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare?**")
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                "(document.activeElement.name || document.activeElement.textContent || '').trim().slice(0, 20)"
            )
        )
    assert {"x", "color", "facet", "stat", "baseline"} <= seen


def test_the_page_can_be_printed(dashboard: str, open_page: Callable[..., Any]) -> None:
    page = open_page(dark=True)
    page.goto(f"{dashboard}sweeps/{FIRST}")
    settle(page)
    page.emulate_media(media="print")
    assert not page.locator("header.bar").is_visible()
    assert page.locator("table.runs").first.is_visible()
