"""The service in a browser, as its owner starts it: log in, see a job that came by the API, cancel it, log out."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.browser.conftest import NARROW, WIDE, overflow, serious, serious_in_every_look

pytestmark = [pytest.mark.browser, pytest.mark.loopback]

TOKEN = "0123456789abcdef-in-a-browser"
HOSTILE = "<img src=x onerror=alert(1)>" + "and-a-word-without-an-end" * 6
LONG = {"concurrency": [1, 2], "input_tokens": 16, "output_tokens": 16, "duration_s": 60}
SHORT = {"concurrency": [1], "input_tokens": 8, "output_tokens": 4, "requests": 4}
PATIENCE_MS = 90_000.0


@dataclass(frozen=True, slots=True)
class Service:
    """A running service, and a server that it may measure; both end with a slash."""

    url: str
    target: str

    def submit(self, **spec: Any) -> str:
        """The id of the job that the API made of it."""
        body = json.dumps({"url": self.target, "model": "simulated-moe", **spec}).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        with urlopen(Request(f"{self.url}api/v1/sweeps", body, headers), timeout=60) as answer:
            return str(json.load(answer)["job_id"])


class program:
    """`loadgen …` in a process of its own for the length of a block; the address that it says it listens at."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self._command = [sys.executable, "-m", "loadgen.cli", *arguments]
        self._cwd = cwd

    def __enter__(self) -> str:
        environment = {**os.environ, "BROWSER_TEST_TOKEN": TOKEN, "NO_COLOR": "1", "COLUMNS": "400"}
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self._cwd, env=environment
        )
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            for word in line.split():
                if word.startswith("http://127.0.0.1:"):
                    return word.rstrip("/.,") + "/"
        raise AssertionError(f"it ended without an address: {said}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    place = tmp_path_factory.mktemp("service")
    with program("simulate", "--port", "0", cwd=place) as target:
        allowed = ["--token-env", "BROWSER_TEST_TOKEN", "--allow-target", target.rstrip("/")]
        with program(
            "dashboard", "--port", "0", "--db", f"sqlite:///{place}/jobs.db", *allowed, cwd=place
        ) as dashboard:
            yield Service(dashboard, target)


def log_in(page: Any, service: Service) -> None:
    page.goto(f"{service.url}login?next=%2Fjobs")
    page.get_by_label("The token that this service was started with").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/jobs")


def row_of(page: Any, job_id: str) -> Any:
    return page.locator("table.jobs tbody tr").filter(has_text=job_id)


def test_a_job_is_seen_and_cancelled_by_who_is_logged_in(
    service: Service, open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    page = open_page()
    page.goto(f"{service.url}jobs")
    picture(page, "jobs-empty")
    unused = open_page(width=NARROW)
    for path in ("", "jobs"):
        unused.goto(service.url + path)
        assert unused.locator("pre").count() > 0
        assert serious(unused) == []
        assert overflow(unused) == 0
    job_id = service.submit(**LONG, name="from the API")
    page.reload()
    assert "from the API" in row_of(page, job_id).inner_text()
    assert page.get_by_role("button", name=f"Cancel {job_id}").count() == 0
    page.get_by_role("link", name="Log in").click()
    page.get_by_label("The token that this service was started with").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs")

    sweep = row_of(page, job_id).locator('a[href^="/sweeps/"]')
    sweep.wait_for(timeout=PATIENCE_MS)  # the page renews itself
    assert "running" in row_of(page, job_id).inner_text()
    picture(page, "jobs-running")
    page.get_by_role("button", name=f"Cancel {job_id}").click()
    page.wait_for_url("**/jobs")
    row_of(page, job_id).get_by_text("cancelled").first.wait_for(timeout=PATIENCE_MS)
    assert page.get_by_role("button", name=f"Cancel {job_id}").count() == 0
    assert page.get_by_role("button", name=f"Resume {job_id}").is_visible()
    picture(page, "jobs-cancelled")
    sweep.click()
    page.wait_for_url("**/sweeps/*")
    assert "from the API" in page.locator("h1").inner_text()

    page.goto(f"{service.url}jobs")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(service.url)
    page.goto(f"{service.url}jobs")
    assert page.get_by_role("button", name=f"Resume {job_id}").count() == 0
    assert page.context.cookies() == []


def test_progress_and_the_queue_are_shown_and_change_in_their_places(
    service: Service, open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    first, second, third = (service.submit(**LONG, name=name) for name in ("first", "second", "third"))
    page = open_page()
    log_in(page, service)
    row_of(page, first).get_by_text("Run 1 of 2: concurrency 1, 16 in, 16 out").wait_for(timeout=PATIENCE_MS)
    bar = row_of(page, first).get_by_role("progressbar")
    assert bar.evaluate("bar => [bar.value, bar.max]") == [0, 2]
    assert "0 of 2 runs ended" in row_of(page, first).inner_text()
    assert "1st in the queue of this server, after first, which is running" in row_of(page, second).inner_text()
    assert "2nd in the queue of this server, after second" in row_of(page, third).inner_text()
    row_of(page, third).get_by_role("link", name="second").click()
    assert page.evaluate("() => document.querySelector(':target').id") == second
    picture(page, "jobs-queue")

    button = page.get_by_role("button", name=f"Cancel {third}")
    button.focus()
    row_of(page, first).get_by_text("measuring, 1").wait_for(timeout=PATIENCE_MS)
    assert re.search(r"so far, about .+ left", row_of(page, first).inner_text())
    assert button.evaluate("button => button === document.activeElement")  # the page was not loaded again

    out = page.get_by_role("button", name="Log out").bounding_box()
    assert out["x"] + out["width"] > 1280 / 2
    assert out["y"] < page.locator("h1").bounding_box()["y"]
    for job_id in (second, first):
        page.get_by_role("button", name=f"Cancel {job_id}").click()
        page.wait_for_url("**/jobs")
    row_of(page, third).get_by_text("Run 1 of 2").wait_for(timeout=PATIENCE_MS)
    assert "runs ended" not in row_of(page, second).inner_text()  # it was cancelled before it began
    page.get_by_role("button", name=f"Cancel {third}").click()
    row_of(page, third).get_by_text("cancelled").first.wait_for(timeout=PATIENCE_MS)


def test_without_scripts_it_is_all_there(service: Service, open_page: Callable[..., Any]) -> None:
    job_id = service.submit(**LONG, name="no scripts")
    page = open_page(scripts=False)
    log_in(page, service)
    row_of(page, job_id).get_by_text("Run 1 of 2").wait_for(timeout=PATIENCE_MS)  # the page loads itself again
    out = page.get_by_role("button", name="Log out").bounding_box()
    assert out["x"] > 1280 / 2
    page.get_by_role("button", name=f"Cancel {job_id}").click()
    row_of(page, job_id).get_by_text("cancelled").first.wait_for(timeout=PATIENCE_MS)


def test_a_service_that_starts_again_shows_what_was_measured_and_goes_on_with_the_queue(
    service: Service, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path}/again.db"
    allowed = ["--token-env", "BROWSER_TEST_TOKEN", "--allow-target", service.target.rstrip("/")]
    command = ["dashboard", "--port", "0", "--db", database, *allowed]
    with program(*command, cwd=tmp_path) as url:
        one = Service(url, service.target)
        stopped = one.submit(**{**SHORT, "concurrency": [1, 2], "requests": 40, "repeats": 10}, name="stopped")
        waits = one.submit(**SHORT, name="waits")
        page = open_page()
        log_in(page, one)
        row_of(page, stopped).get_by_text("1 of 20 runs ended").or_(
            row_of(page, stopped).get_by_text("2 of 20 runs ended")
        ).wait_for(timeout=PATIENCE_MS)
        page.close()
    with program("dashboard", "--port", "0", "--db", database, cwd=tmp_path) as url:
        page = open_page()
        page.goto(f"{url}jobs")
        assert "starts when the service does" in row_of(page, waits).inner_text()
        assert "the service was ended" in row_of(page, stopped).inner_text()
        assert "took" in row_of(page, stopped).inner_text()
        page.close()
    with program(*command, cwd=tmp_path) as url:
        page = open_page()
        log_in(page, Service(url, service.target))
        row_of(page, waits).get_by_text("1 of 1 run ended").wait_for(timeout=PATIENCE_MS)
        said = row_of(page, stopped).inner_text()
        assert "of 20 runs ended" in said
        assert row_of(page, stopped).locator('a[href^="/sweeps/"]').count() == 1
        assert row_of(page, stopped).locator(".badge:not(.simulated)").count() >= 1


def test_a_wrong_token_is_a_sentence(service: Service, browser: Any, picture: Callable[[Any, str], None]) -> None:
    page = browser.new_page()  # whose console tells of status 401
    page.goto(f"{service.url}login?next=%2Fjobs")
    assert page.evaluate("() => document.activeElement.id") == "token"
    page.keyboard.type("not-the-token")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text() == "✕ That is not the token."
    assert "not-the-token" not in page.content()
    picture(page, "login-wrong")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.evaluate("() => document.cookie") == ""
    assert TOKEN not in page.content()
    page.close()


def test_a_name_from_outside_stays_text_and_in_the_window_and_nothing_is_serious(
    service: Service, page: Any, picture: Callable[[Any, str], None]
) -> None:
    job_id = service.submit(**SHORT, name=HOSTILE)
    log_in(page, service)
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 844})
        assert HOSTILE in row_of(page, job_id).inner_text()
        assert page.locator("main img").count() == 0
        assert overflow(page) == 0
        picture(page, f"jobs-hostile-{width}")
    row_of(page, job_id).get_by_text("finished").first.wait_for(timeout=PATIENCE_MS)
    assert serious_in_every_look(page) == []
    page.goto(f"{service.url}login")
    assert serious_in_every_look(page) == []
    picture(page, "login")
