"""Everything that can be done can be done by keys, and a page can be printed."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import FIRST, settle

pytestmark = [pytest.mark.browser, pytest.mark.loopback]


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
