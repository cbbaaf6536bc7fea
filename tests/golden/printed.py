"""What commands and pages show of the stored results, by name, as text. `python -m tests.golden.printed` writes it anew.

Write it anew only for a change that is meant to be seen, and look at the difference first.
"""

import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from functools import partial
from pathlib import Path

from fastapi.testclient import TestClient

from loadgen.cli.app import main
from loadgen.errors import UsageError
from loadgen.report.charts.plots import PLOTS
from loadgen.report.run_selection import gather
from loadgen.store.repository import Store
from loadgen.web.app import create_app
from tests.golden import stored
from tests.golden.page_lines import page_lines

_ENVIRONMENT = {"COLUMNS": "180", "NO_COLOR": "1", "TERM": "dumb"}
_AGO = re.compile(r"\b(just now|yesterday|\d+ (?:s|min|h|days) ago)\b")
_PLANS = {
    "closed": ("--concurrency", "1,8", "--repeats", "3"),
    "open": ("--rate", "1,4.5", "--duration-s", "60"),
    "waves": ("--wave", "4,64"),
    "conversations": ("--concurrency", "4", "--turns", "3", "--think-time-s", "1", "--endpoint", "chat"),
}
_WHOLE = ("closed", "waves", "trace", "grid", "search", "gpus", "fault-errors", "interrupted", "aiperf-profile")
_ALIKE = {  # whose pages have nothing that those of another sweep lack
    *("closed-again", "closed-slower", "search-none", "workers", "dataset", "constant", "overload", "prefix", "image"),
    *("fault-keep-alives", "fault-merged", "tells-usage", "profiles: slow", "broken: quick", "vllm-bench-appended"),
}


def printed(db: str) -> dict[str, str]:
    """Every view of the results at `db`, by its name."""
    with Store.open(db, read_only=True) as store:
        sweeps = store.sweeps()
        last_run = {sweep.sweep_id: runs[-1]["run_id"] for sweep in sweeps if (runs := store.runs(sweep.sweep_id))}
    ids = {sweep.name or sweep.sweep_id: sweep.sweep_id for sweep in sweeps}
    ids_shown = [found for name, found in ids.items() if name not in _ALIKE]
    last_run = {found: run for found, run in last_run.items() if found in ids_shown}
    groups = sorted({sweep.group_id for sweep in sweeps if sweep.group_id})
    with _terminal():
        return {
            **_commands(db, ids, last_run, groups),
            **_pages(db, ids_shown, last_run, groups),
            **_reports(db, ids, last_run, groups),
            **_charts(db, ids, last_run),
        }


def _commands(db: str, ids: dict[str, str], last_run: dict[str, str], groups: list[str]) -> dict[str, str]:
    commands: list[tuple[str, ...]] = [("list",), ("list", "--json"), ("plot", "--list"), ("plot", "--list", "--json")]
    commands += [("show", each) for each in (*last_run.values(), *groups)]
    whole = [ids[name] for name in _WHOLE]
    commands += [("show", each) for each in whole]
    commands += [("show", each, "--json") for each in (*whole, *groups, last_run[ids["closed"]])]
    commands += [("export", each, "--format", "csv") for each in (*whole, *groups)]
    for name in ("closed", "poisson", "conversations", "trace", "dataset", "choices", "fault-closing", "limits"):
        commands.append(("export", ids[name], "--format", "csv", "--requests"))
    for name in ("closed", "poisson", "grid", "fault-errors", "cerebras"):
        commands.append(("export", ids[name], "--format", "vllm-bench"))
    commands.append(("export", ids["waves"], "--format", "vllm-bench", "--requests"))
    pairs = [("closed", "closed-again"), ("closed", "closed-slower")]
    for a, b in pairs:
        commands += [("compare", ids[a], ids[b], "--anyway", *form) for form in ((), ("--json",))]
    commands.append(("compare", ids["closed"], ids["closed-slower"], "--fail-if-worse"))
    commands += [("compare", group, *form) for group in groups for form in ((), ("--json",))]
    for shape in _PLANS.values():
        lengths = ("--input-tokens", "64,128", "--output-tokens", "32", "--price", "usd_per_gpu_hour=2")
        at = ("--url", "http://127.0.0.1:9", "--model", "m")
        commands += [("sweep", *at, *shape, *lengths, "--plan", *form) for form in ((), ("--json",))]
    return {" ".join(command): _said(db, command) for command in commands}


def _said(db: str, command: tuple[str, ...]) -> str:
    """Its exit code, its output and what it said beside."""
    with _captured() as (out, err):
        code = main([*command, "--db", db])
    text = f"exit code {code}\n{out()}\n{err()}".replace(db.removeprefix("sqlite:///"), "results.db")
    return re.sub(" +", " ", _AGO.sub("AGO", text)) if command == ("list",) else text


def _pages(db: str, sweeps: list[str], last_run: dict[str, str], groups: list[str]) -> dict[str, str]:
    compared = f"in={sweeps[-1]}&in={groups[0]}"
    paths = ["/", "/?q=closed", "/?page=2", "/compare", f"/compare?{compared}", f"/compare?{compared}&stat=p90"]
    paths += ["/sweeps.json", f"/compare.json?{compared}", f"/compare.csv?{compared}"]
    paths += [f"/sweeps/{each}" for each in sweeps] + [f"/runs/{each}" for each in last_run.values()]
    paths += [f"/sweeps/{sweeps[0]}.json", f"/runs/{last_run[sweeps[0]]}.json", "/runs/none", "/sweeps/none.json"]
    shown = {}
    with TestClient(create_app(db)) as client:
        for path in paths:
            answer = client.get(path)
            text = page_lines(answer.text) if "html" in answer.headers["content-type"] else answer.text
            shown[path] = f"status {answer.status_code}\n{_AGO.sub('AGO', text)}"
    return shown


def _reports(db: str, ids: dict[str, str], last_run: dict[str, str], groups: list[str]) -> dict[str, str]:
    three = [ids[name] for name in ("closed", "closed-again", "closed-slower")]
    asked: list[list[str]] = [[*three, "--compare"], [groups[0], last_run[ids["gpus"]], "--compare"]]
    asked.append([*three, "--view", "x=load&y=tpot_s&stat=p90"])
    shown = {}
    for each in asked:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            said = _said(db, ("report", *each))
            page = Path("report.html")
            html = page.read_text() if page.exists() else ""
        shown[" ".join(("report", *each))] = f"{said}\n{_AGO.sub('AGO', page_lines(html))}"
    return shown


def _charts(db: str, ids: dict[str, str], last_run: dict[str, str]) -> dict[str, str]:
    """The specification of each chart that `loadgen plot` draws, of several sweeps or of one run."""
    swept = [ids[name] for name in ("closed", "closed-slower", "gpus")]
    shown = {}
    with Store.open(db, read_only=True) as store:
        for plot in PLOTS:
            given = swept if plot.of == "runs" else [last_run[ids["gpus"]]]
            try:
                chart = plot.draw(gather(store, given))
            except UsageError as error:
                shown[f"plot {plot.name}"] = str(error)
            else:
                described = [chart.title, chart.unit, chart.caption, chart.spec]
                shown[f"plot {plot.name}"] = json.dumps(described, ensure_ascii=False, sort_keys=True)
    return shown


@contextmanager
def _terminal() -> Iterator[None]:
    """A terminal of a known width without colours."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ |= _ENVIRONMENT
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _captured() -> Iterator[tuple[Callable[[], str], Callable[[], str]]]:
    """Take what is written to stdout and stderr inside; the two functions return it."""
    before, taken = (
        (sys.stdout, sys.stderr),
        [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "oe"],
    )

    def text(stream: io.TextIOWrapper) -> str:
        stream.seek(0)
        return stream.read()

    sys.stdout, sys.stderr = taken
    try:
        yield partial(text, taken[0]), partial(text, taken[1])
    finally:
        sys.stdout, sys.stderr = before


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        stored.write(stored.PRINTED, printed(stored.database(Path(place))))
    sys.stderr.write(f"wrote {stored.PRINTED}\n")
