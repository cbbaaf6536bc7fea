"""Light, dark, or as the system says: chosen in the header, kept by the browser, worn before anything is shown."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import DARK_TEXT, FIRST, LIGHT_TEXT, settle
from tests.report.documents import Document

pytestmark = [pytest.mark.browser, pytest.mark.loopback]

LIGHT, DARK = "rgb(247, 247, 244)", "rgb(18, 22, 27)"


def ground(page: Any) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.parametrize(("system_dark", "chosen", "expected"), [(False, "dark", DARK), (True, "light", LIGHT)])
def test_a_theme_is_chosen_and_kept(
    dashboard: str, open_page: Callable[..., Any], system_dark: bool, chosen: str, expected: str
) -> None:
    page = open_page(dark=system_dark)
    page.goto(dashboard)
    as_the_system = ground(page)
    assert as_the_system != expected
    page.get_by_label("Theme").select_option(chosen)
    assert ground(page) == expected
    page.goto(f"{dashboard}compare")
    assert ground(page) == expected
    page.reload()
    assert ground(page) == expected
    assert page.get_by_label("Theme").input_value() == chosen
    page.get_by_label("Theme").select_option("system")
    assert ground(page) == as_the_system
    page.reload()
    assert ground(page) == as_the_system


def test_as_the_system_says_also_while_the_page_is_open(dashboard: str, page: Any) -> None:
    page.goto(dashboard)
    assert (ground(page), page.get_by_label("Theme").input_value()) == (LIGHT, "system")
    page.emulate_media(color_scheme="dark")
    assert ground(page) == DARK
    page.get_by_label("Theme").select_option("dark")
    page.emulate_media(color_scheme="light")
    assert ground(page) == DARK


def test_charts_are_drawn_anew_in_the_colours_of_the_theme(dashboard: str, open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.goto(f"{dashboard}sweeps/{FIRST}")
    charts = settle(page)
    light, dark = (page.locator(f".plot svg.marks text[fill='{soft}']") for soft in (LIGHT_TEXT, DARK_TEXT))
    assert light.count() > 0
    assert dark.count() == 0
    page.get_by_label("Theme").select_option("dark")
    light.first.wait_for(state="detached")
    assert settle(page) == charts
    assert dark.count() > 0
    assert light.count() == 0


def test_without_scripts_there_is_no_switch_that_does_nothing(dashboard: str, open_page: Callable[..., Any]) -> None:
    page = open_page(dark=True, scripts=False)
    page.goto(dashboard)
    assert not page.locator(".theme").is_visible()
    assert ground(page) == DARK


def test_the_first_key_leads_past_the_header(dashboard: str, page: Any) -> None:
    page.goto(dashboard)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement === document.querySelector('main')")


def test_the_header_leads_to_every_room_and_tells_which_one_this_is(dashboard: str, page: Any) -> None:
    page.goto(f"{dashboard}sweeps/{FIRST}")
    rooms = page.get_by_role("navigation", name="Pages")
    assert rooms.get_by_role("link").all_inner_texts() == ["Sweeps", "Compare", "Studies", "Jobs"]
    rooms.get_by_role("link", name="Compare").click()
    page.wait_for_url("**/compare")
    assert page.locator(".rooms [aria-current]").all_inner_texts() == ["Compare"]


def test_verdicts_are_seen_without_scrolling(
    dashboard: str, measured: dict[str, list[Document]], open_page: Callable[..., Any]
) -> None:
    page = open_page(width=390)
    page.goto(f"{dashboard}sweeps/{FIRST}")
    place = page.locator("table.points .badge").first.bounding_box()
    assert place["x"] + place["width"] <= 390
