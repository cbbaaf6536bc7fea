"""The list of sweeps in a browser: a group is one row that opens by keys, with and without scripts, on a desk and on a phone."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from loadgen.load.shapes import ClosedLoop
from tests.browser.conftest import serious_in_every_look, serving
from tests.report.documents import fill, server, specs, sweep_row

pytestmark = [pytest.mark.browser, pytest.mark.loopback]

GROUP, LONE = "g261123-152900-07c1", "s261123-170000-0004"
MEMBERS = ["s261123-152901-0001", "s261123-152901-0002", "s261123-152901-0003"]


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard over a group of three sweeps and one sweep alone."""
    path = tmp_path_factory.mktemp("grouped") / "measured.db"
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 8, requests_per_slot=4)
    for gpus, sweep_id in enumerate(MEMBERS, start=1):
        launch = {"gpus": [{"name": "NVIDIA H200"}] * gpus, "arguments": {"tensor-parallel-size": gpus}}
        row = replace(
            sweep_row(sweep_id, planned, f"parallel: tp={gpus}"),
            group_id=GROUP,
            server=server() | {"launch": launch},
            spec_hash=sweep_id,
        )
        fill(path, row, planned, statuses=["invalid", "doubtful"] if gpus == 1 else [])
    fill(path, sweep_row(LONE, planned, "alone", simulated=True), planned)
    with serving(f"sqlite:///{path}") as url:
        yield url


@pytest.mark.parametrize("scripts", [True, False])
def test_a_group_opens_and_closes_by_keys(grouped: str, open_page: Callable[..., Any], scripts: bool) -> None:
    page = open_page(scripts=scripts)
    page.goto(grouped)
    rows = page.locator("tbody.members tr")
    assert rows.count() == len(MEMBERS)
    assert not rows.first.is_visible()
    page.locator("tbody.group summary").focus()
    page.keyboard.press("Enter")
    assert rows.last.is_visible()
    if scripts:
        page.reload()
        assert rows.last.is_visible()
        page.locator("tbody.group summary").focus()
    page.keyboard.press("Space")
    rows.last.wait_for(state="hidden")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_groups_box_selects_the_group_for_the_comparison(
    grouped: str, open_page: Callable[..., Any], scripts: bool
) -> None:
    page = open_page(scripts=scripts)
    page.goto(grouped)
    page.get_by_label("Compare parallel, 3 sweeps").check()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url(f"**/compare?in={GROUP}")
    assert all(page.get_by_text(f"tp={number}").count() for number in (1, 2, 3))


@pytest.mark.parametrize("width", [1280, 390])
def test_the_row_of_a_group_has_its_figures_and_nothing_scrolls_sideways(
    grouped: str, open_page: Callable[..., Any], picture: Callable[[Any, str], None], width: int
) -> None:
    page = open_page(width=width)
    page.goto(grouped)
    said = page.locator("tbody.group").inner_text()
    assert "1 to 3 × NVIDIA H200" in said
    assert "3 sweeps" in said
    page.locator("tbody.group summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every(each => each.scrollWidth <= each.clientWidth)"
    )
    if width > 600:
        picture(page, "list")


def test_axe_finds_nothing_serious_in_an_open_group(grouped: str, page: Any) -> None:
    page.goto(grouped)
    closed = serious_in_every_look(page)
    page.locator("tbody.group summary").click()
    assert (closed, serious_in_every_look(page)) == ([], [])
