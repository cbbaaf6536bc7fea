"""A sweep that is measured meanwhile, on its page: present run and figures, finished runs without a reload, its end; also without scripts."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadgen.errors import NotFoundError
from loadgen.store.repository import Store
from loadgen.store.sweep_progress import SweepsProgress
from tests.browser.conftest import serving, settle

pytestmark = [pytest.mark.browser, pytest.mark.loopback]

NAME = "followed <b>now</b>"
RUNS = 4
PATIENCE_MS = 90_000.0
LOAD = ["--concurrency", "1,2,3,4", "--input-tokens", "16", "--output-tokens", "16", "--duration-s", "6"]


def started(database: str) -> subprocess.Popen[bytes]:
    """A sweep of the simulator, in a process of its own."""
    command = [sys.executable, "-m", "loadgen.cli", "sweep", "--url", "simulator", "--name", NAME, *LOAD]
    return subprocess.Popen([*command, "--db", database], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def sweep_that_tells(database: str) -> str:
    """The id of the sweep in the database, once its process has said how it stands."""
    deadline_s = time.monotonic() + 60
    while True:
        try:
            with Store.open(database, read_only=True) as store:
                found = [sweep.sweep_id for sweep in store.sweeps()]
                if SweepsProgress(store).of(found):
                    return found[0]
        except NotFoundError:
            pass
        assert time.monotonic() < deadline_s, "the sweep has not begun"
        time.sleep(0.2)


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A dashboard's address, and the id of the sweep that is being measured into its database."""
    database = f"sqlite:///{tmp_path}/live.db"
    process = started(database)
    try:
        sweep_id = sweep_that_tells(database)
        with serving(database) as url:
            yield url, sweep_id
    finally:
        ended(process)


def is_figure(page: Any, name: str) -> None:
    """Wait until the gauge of that name shows a number that is more than 0."""
    page.wait_for_selector(f'[data-live-text="{name}"]:text-matches("^[\\\\d.,]*[1-9]")', timeout=PATIENCE_MS)


def test_a_sweep_is_followed_to_its_end_without_a_reload(
    followed: tuple[str, str], open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    """On three pages that are open at the same time, beside the list: one as it is, one with details opened, one without scripts."""
    dashboard, sweep_id = followed
    url = f"{dashboard}sweeps/{sweep_id}"
    row = listed_as_running(open_page(), dashboard)
    page = open_page()
    page.goto(url)
    page.evaluate("() => { window.stayed = 'yes'; }")
    assert "running" in page.locator(".state").inner_text()
    assert f"of {RUNS}" in page.locator('[data-live-text="where"]').inner_text()
    stays_open = opened(open_page(), url)
    loads_itself_again = without_scripts(open_page(scripts=False), url)
    is_figure(page, "rate")
    is_figure(page, "ttft")
    is_figure(page, "in_flight")
    assert page.locator('[data-live-path="rates"]').get_attribute("d") is not None
    picture(page, "live")

    runs = page.locator("table.runs tbody tr")
    runs.first.wait_for(state="attached", timeout=PATIENCE_MS)
    stays_open()
    loads_itself_again()
    page.locator('[data-live-text="where"]', has_text=f"Run {RUNS} of {RUNS}").wait_for(timeout=PATIENCE_MS)
    assert runs.locator(".badge").count() > 0
    page.wait_for_selector("[data-live]", state="detached", timeout=PATIENCE_MS)
    assert f"{RUNS} of {RUNS}" in page.locator(".state").inner_text()
    assert "running" not in page.locator(".state").inner_text()
    assert runs.count() == RUNS
    assert settle(page) >= 1
    assert page.evaluate("() => window.stayed") == "yes"
    assert page.title() != "now"
    picture(page, "live-ended")

    row.get_by_text("running").wait_for(state="detached")
    assert f"{RUNS} / {RUNS}" in row.inner_text()


def listed_as_running(page: Any, dashboard: str) -> Any:
    """The row of the sweep in the list."""
    page.goto(dashboard)
    row = page.locator("table.list tbody tr").first
    assert "running" in row.inner_text()
    assert NAME in row.inner_text()
    return row


def opened(page: Any, url: str) -> Callable[[], None]:
    """Open details of the page; what is returned waits until another run has ended, and holds them to be open and in focus still."""
    page.goto(url)
    seen = page.locator("table.runs tbody tr").count()
    summary = page.locator("main details:not([open]) > summary").last
    said = summary.inner_text()
    summary.click()

    def check() -> None:
        page.locator("table.runs tbody tr").nth(seen).wait_for(state="attached", timeout=PATIENCE_MS)
        assert said in page.locator("main details[open] > summary").all_inner_texts()
        assert page.evaluate("() => document.activeElement.textContent.trim()") == said

    return check


def without_scripts(page: Any, url: str) -> Callable[[], None]:
    """What is returned waits until the page, which can only load itself again, shows another run that has ended."""
    page.goto(url)
    assert "running" in page.locator(".state").inner_text()
    page.get_by_text("Time left").wait_for()
    seen = page.locator("table.runs tbody tr").count()

    def check() -> None:
        page.locator("table.runs tbody tr").nth(seen).wait_for(state="attached", timeout=PATIENCE_MS)

    return check
