"""Every page in a real browser: its charts are drawn, nothing is refused, nothing leaves the machine."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.load.spec import ClosedLoop
from loadgen.report.single_file import render_report
from loadgen.store.repository import Store
from tests.report.documents import Document, fill, specs, sweep_row

pytestmark = [pytest.mark.browser, pytest.mark.loopback]

SWEEP = "s261123-152901-4f2a"
HOSTILE = "</script><script>document.title='taken'</script>"
SERVE = "from loadgen.web.app import serve; serve({url!r}, '127.0.0.1', 0, lambda url: print(url, flush=True))"
NO_PAGE = "not an origin"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=8000",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # the browser's own calls home go nowhere
)


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dashboard")


@pytest.fixture(scope="module")
def runs(place: Path) -> list[Document]:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32, 64), 8, 2, requests_per_slot=4, model=HOSTILE)
    row = sweep_row(SWEEP, planned, HOSTILE, simulated=True)
    return fill(place / "measured.db", row, planned, statuses=["valid", "doubtful", "invalid"])


@pytest.fixture(scope="module")
def dashboard(place: Path, runs: list[Document]) -> Iterator[str]:
    command = [sys.executable, "-c", SERVE.format(url=f"sqlite:///{place}/measured.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def look(browser: str, url: str, place: Path) -> tuple[str, list[str], list[str]]:
    """The document after its scripts ran, what the console said, and every address that the page asked for.

    The browser's own requests, and the navigation itself, have no page as their initiator.
    """
    log = place / "net.json"
    command = [browser, *FLAGS, f"--user-data-dir={place / 'profile'}", f"--log-net-log={log}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    events = (event.get("params", {}) for event in json.loads(log.read_text())["events"])
    asked = [params["url"] for params in events if params.get("initiator", NO_PAGE) != NO_PAGE and "url" in params]
    return done.stdout, console, [address for address in asked if not address.startswith(("data:", "blob:"))]


def check(dom: str, console: list[str], charts: int) -> None:
    assert console == []
    assert dom.count('class="marks"') == charts
    assert "<title>taken" not in dom


@pytest.mark.parametrize(("path", "charts"), [("", 0), (f"sweeps/{SWEEP}", 8), ("runs/RUN", 6), ("sweeps/none", 0)])
def test_a_page_draws_its_charts_and_asks_nobody_else(
    browser: str, dashboard: str, runs: list[Document], place: Path, path: str, charts: int
) -> None:
    url = dashboard + path.replace("RUN", runs[0]["run_id"])
    dom, console, asked = look(browser, url, place)
    if path == "sweeps/none":
        console = [line for line in console if "404" not in line]
    check(dom, console, charts)
    assert asked
    assert {address for address in asked if not address.startswith(dashboard)} == set()


def test_a_report_draws_its_charts_from_one_file_alone(browser: str, runs: list[Document], place: Path) -> None:
    with Store.open(f"sqlite:///{place}/measured.db", read_only=True) as store:
        html = render_report(store, [SWEEP, runs[0]["run_id"]])
    (place / "report.html").write_text(html, encoding="utf-8")
    dom, console, asked = look(browser, (place / "report.html").as_uri(), place)
    check(dom, console, 14)
    assert asked == []
