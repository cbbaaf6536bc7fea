"""A real browser on a real dashboard: the system's own Chromium, driven by Playwright; whatever it asks for or complains of is looked at.

`LOADGEN_SCREENSHOTS=FOLDER` keeps a picture of each page that a test names, wide and as on a phone.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadgen.load.shapes import ClosedLoop, Wave
from tests.report.documents import Document, fill, specs, sweep_row

FIRST, SECOND, HOSTILE_ONE = "s261123-152901-4f2a", "s261123-160000-77aa", "s261124-101500-beef"
HOSTILE = "</script><script>document.title='taken'</script>"
HOSTILE_REPLY = "</pre><img src=x onerror=\"document.title='taken'\"><svg onload=\"document.title='taken'\">"
SERVE = "from loadgen.web.app import serve; serve({url!r}, '127.0.0.1', 0, lambda url: print(url, flush=True))"
WIDE, NARROW = 1280, 390
LIGHT_TEXT, DARK_TEXT = "#5b6675", "#a0abb8"
"""Of the labels of charts."""
COLOUR_RULES = ("color-contrast", "link-in-text-block")
"""The rules of axe-core that look at colours."""
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium: the one without windows, if there is one, takes a third less of a processor."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium on this machine: install it (Debian: apt-get install chromium-headless-shell)")
    return str(found)


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    """One browser for all tests; each of them has a context of its own."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install -e '.[browser]'")
    with sync_api.sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *sandbox])
        yield started
        started.close()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dashboard")


@pytest.fixture(scope="session")
def measured(place: Path) -> dict[str, list[Document]]:
    """Three sweeps in a database: two of models that can be compared, one of hostile names with every verdict."""
    found = {}
    for sweep_id, model, name in ((FIRST, "mixtral-8x7b", "night of the 23rd"), (SECOND, "olmoe-1b-7b", "day after")):
        planned = specs(
            [ClosedLoop(1), ClosedLoop(4), ClosedLoop(16)], (32, 64), 8, 2, requests_per_slot=8, model=model
        )
        found[sweep_id] = fill(place / "measured.db", sweep_row(sweep_id, planned, name), planned)
    planned = specs([ClosedLoop(1), Wave(4)], (32,), 8, 3, requests_per_slot=4, model=HOSTILE)
    row = sweep_row(HOSTILE_ONE, planned, HOSTILE, simulated=True)
    statuses, replies = ["valid", "doubtful", "invalid"], [HOSTILE, HOSTILE_REPLY]
    found[HOSTILE_ONE] = fill(place / "measured.db", row, planned, statuses=statuses, replies=replies)
    return found


@pytest.fixture(scope="session")
def dashboard(place: Path, measured: dict[str, list[Document]]) -> Iterator[str]:
    """The address of a dashboard over them, with a slash at its end."""
    with serving(f"sqlite:///{place}/measured.db") as url:
        yield url


class serving:
    """A dashboard of its own process over the database at `url`, for the length of a block."""

    def __init__(self, url: str) -> None:
        self._command = [sys.executable, "-c", SERVE.format(url=url)]

    def __enter__(self) -> str:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Makes pages (`open_page(dark=True, width=390)`). At the end: no console message, no error, no request that left this machine."""
    contexts, complaints, asked = [], [], []

    def make(*, dark: bool = False, width: int = 1280, scripts: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            reduced_motion="reduce",
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{page.url}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on("request", lambda request: asked.append(request.url))
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []
    strangers = [url for url in asked if not re.match(r"(http://127\.0\.0\.1:\d+/|file:///|data:|blob:)", url)]
    assert strangers == []


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    """A page as on a desk, light."""
    return open_page()


@pytest.fixture
def picture() -> Callable[[Any, str], None]:
    """Keeps a picture of a page under a name where LOADGEN_SCREENSHOTS says so: as it is, and 390 px wide."""
    folder = os.environ.get("LOADGEN_SCREENSHOTS")

    def take(page: Any, name: str) -> None:
        if folder is None:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
        size = page.viewport_size
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_timeout(300)
        page.screenshot(path=f"{folder}/{name}-390.png", full_page=True)
        page.set_viewport_size(size)

    return take


def serious(page: Any, *rules: str) -> list[str]:
    """What axe-core finds serious or critical on a page, by all of its rules or by these alone."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="no axe here: pip install -e '.[browser]'")
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe.AXE_SCRIPT)
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    found = page.evaluate("options => axe.run(document, options).then(found => found.violations)", options)
    return [
        f"{each['id']}: {each['help']}: {node['html'][:160]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]


def serious_in_every_look(page: Any) -> list[str]:
    """What is serious on a page in the dark, where its colours alone differ, in light, and narrow; it fits both widths.

    The page has been loaded, and stays narrow and light.
    """
    page.set_viewport_size({"width": WIDE, "height": 844})
    page.emulate_media(color_scheme="dark")
    recoloured(page, LIGHT_TEXT)
    found = serious(page, *COLOUR_RULES)
    page.emulate_media(color_scheme="light")
    recoloured(page, DARK_TEXT)
    found += serious(page)
    assert overflow(page) == 0
    page.set_viewport_size({"width": NARROW, "height": 844})
    deadline_s = time.monotonic() + 10
    while overflow(page) > 0:  # until charts are drawn in the new width
        assert time.monotonic() < deadline_s, f"{page.url} is {overflow(page)} px wider than {NARROW}"
        page.wait_for_timeout(50)
    return found + serious(page)


def recoloured(page: Any, old_text: str) -> None:
    """Wait until no chart has labels of the other look's colour."""
    page.locator(f".plot svg.marks text[fill='{old_text}']").first.wait_for(state="detached")
    settle(page)


def open_all(page: Any, folded: str) -> None:
    """Open the details that a selector finds."""
    for details in page.locator(folded).all():
        details.evaluate("each => { each.open = true; }")


def overflow(page: Any) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def settle(page: Any, fewest: int = 0) -> int:
    """How many charts the page has, once all of them are drawn and there are that many. The page's policy lets nobody evaluate text."""
    deadline_s = time.monotonic() + 60
    while True:
        wanted, drawn = page.locator(".plot").count(), page.locator(".plot svg.marks").count()
        if wanted == drawn >= fewest:
            return int(drawn)
        assert time.monotonic() < deadline_s, (
            f"{drawn} of {wanted} charts are drawn on {page.url}, and {fewest} were expected"
        )
        page.wait_for_timeout(100)
