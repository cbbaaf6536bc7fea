"""The dashboard on a large store: `make bench-pages`.

    python bench/pages.py [--sweeps 1000] [--requests 1000000] [--arrivals-per-request 100] [--keep FOLDER]

Makes a store of so many sweeps, one run among them of a tenth of all requests, starts a dashboard over it, and measures what a
browser waits for: list, sweep, run and comparison, first and then again, and what each page weighs with its scripts as it is sent.
Where Playwright and a Chromium are (make test-real sets them up), also how long until every chart of the page is drawn.
Exit status 4 when a limit is missed. The runs are made up and say so: they are copies of a few made by the analysis itself.
"""

import argparse
import gzip
import importlib
import importlib.util
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from loadgen.analysis.checks.validity import judge
from loadgen.analysis.measured import measured_of
from loadgen.analysis.outline.run_outline import Outline, outline
from loadgen.analysis.summary import summarise
from loadgen.engine.records.ragged import Texts
from loadgen.engine.records.record import ClientFacts, CountedBy, Outcome, Recording, Records
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from loadgen.servers.environment import environment
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow

LOADS = (1, 16, 64)
REPEATS = 2
GAP_S, TTFT_S = 0.012, 0.05
LIMIT_S = {
    "list": 1.0,
    "filtered list": 1.0,
    "sweep": 1.0,
    "run": 2.0,
    "largest run": 2.0,
    "comparison": 2.0,
    "comparison of 50": 2.0,
}
LIMIT_BYTES = 1_500_000
AGAIN = 5
HERE = "2026-11-26T12:00:00+00:00"


@dataclass(frozen=True, slots=True)
class Made:
    """A run as it is stored."""

    spec: RunSpec
    document: dict[str, Any]
    records: Records
    outline: Outline


def records_of(spec: RunSpec, arrivals: int, seed: int) -> Records:
    """Requests of a closed loop whose answers have so many chunks of one token each."""
    draw = np.random.default_rng(seed)
    n, callers = spec.requests or 0, spec.concurrency or 1
    slow = 1 + callers / 40
    ttft_ns = (TTFT_S * 1e9 * slow * draw.lognormal(0, 0.2, n)).astype(np.int64)
    gaps_ns = (GAP_S * 1e9 * slow * draw.lognormal(0, 0.1, (n, arrivals))).astype(np.int64)
    gaps_ns[:, 0] = ttft_ns
    lasted_ns = gaps_ns.sum(axis=1)
    slot = np.arange(n) % callers
    start_ns = np.zeros(n, np.int64)
    for each in range(callers):
        rows = slice(each, n, callers)
        start_ns[rows] = np.concatenate([[0], np.cumsum(lasted_ns[rows] + 50_000)[:-1]])
    arrival_ns = np.cumsum(gaps_ns, axis=1) + start_ns[:, None]
    end_ns = arrival_ns[:, -1] + 20_000
    whole = np.full(n, arrivals, np.int32)
    return Records(
        index=np.arange(n, dtype=np.int32),
        slot=slot.astype(np.int32),
        outcome=np.full(n, int(Outcome.OK), np.int8),
        http_status=np.full(n, 200, np.int16),
        due_ns=start_ns,
        start_ns=start_ns,
        sent_ns=start_ns,
        first_byte_ns=arrival_ns[:, 0].copy(),
        end_ns=end_ns,
        connect_ns=np.full(n, np.iinfo(np.int64).min, np.int64),
        limit_wait_ns=np.zeros(n, np.int64),
        prompt_tokens_asked=np.full(n, spec.input_tokens or 0, np.int32),
        output_tokens_asked=whole,
        prompt_tokens=np.full(n, spec.input_tokens or 0, np.int32),
        output_tokens=whole,
        hidden_tokens=np.zeros(n, np.int32),
        counted_by=np.full(n, int(CountedBy.TOKEN_IDS), np.int8),
        finish_reason=Texts.of(["length"] * n),
        detail=Texts.of([None] * n),
        server_timing=Texts.of([None] * n),
        arrival_start=np.arange(n + 1, dtype=np.int64) * arrivals,
        arrival_ns=arrival_ns.reshape(-1),
        arrival_tokens=np.ones(n * arrivals, np.int32),
        arrival_choice=np.zeros(n * arrivals, np.int16),
        arrival_coalesced=np.zeros(n * arrivals, np.bool_),
    )


def made_run(spec: RunSpec, arrivals: int) -> Made:
    """A run of `spec` with its document, records and outline."""
    records = records_of(spec, arrivals, spec.seed)
    wall_s = float(records.end_ns.max()) / 1e9
    client = ClientFacts(
        stamp_source="kernel", workers=1, cpu_s=wall_s / 10, wall_s=wall_s, reads=len(records.arrival_ns)
    )
    summary: Any = summarise(spec, Recording(records, client, HERE))
    summary["client"] |= {"doctor": None, "host_busy_ratio": None, "proxy": False, "tls": None}
    document: Any = {
        "schema_version": 1,
        "run_id": "",
        "sweep_id": "",
        "repeat": spec.seed,
        "started_at": HERE,
        "elapsed_s": wall_s,
        "simulated": True,
        "spec": spec.to_json() | {"hash": spec.hash, "point_hash": spec.point.hash, "load_label": spec.load_label},
        "server": server(spec.model),
        "environment": environment(),
        "server_account": None,
        "gpu": None,
        "cost": None,
        "prefix_cache_reset": None,
        "server_died": False,
        **summary,
    }
    document["lengths"]["output_tokens"]["can_be_asked"] = True
    document["verdict"] = judge(spec, document)
    return Made(spec, document, records, outline(measured_of(spec, records), document))


def server(model: str) -> dict[str, Any]:
    """What these runs were measured on: nothing."""
    return {
        "url": "http://127.0.0.1:9",
        "model": model,
        "dialect": "vllm",
        "name": "made up",
        "version": "0",
        "simulated": True,
    }


def spec_of(model: str, concurrency: int, requests: int, arrivals: int, seed: int) -> RunSpec:
    """One load point."""
    return RunSpec("http://127.0.0.1:9", model, ClosedLoop(concurrency), 128, arrivals, requests=requests, seed=seed)


def fill(path: Path, sweeps: int, requests: int, arrivals: int, say: Console) -> tuple[str, str, str]:
    """Make the store; the ids of a sweep, of a run of it, and of the largest run."""
    url = f"sqlite:///{path}"
    largest_requests = requests // 10
    each = max(8, (requests - largest_requests) // (sweeps * len(LOADS) * REPEATS))
    say.print(f"making {sweeps:,} sweeps of {len(LOADS) * REPEATS} runs of {each} requests of {arrivals} arrivals …")
    models = [f"model-{number}" for number in range(8)]
    templates = {
        model: [
            made_run(spec_of(model, load, max(each, load), arrivals, seed), arrivals)
            for seed in range(REPEATS)
            for load in LOADS
        ]
        for model in models
    }
    with Store.open(url) as store:
        for number in range(len(models)):
            add(store, sweep_row(number, models[number]), templates[models[number]])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        for number in range(len(models), sweeps):
            copy(connection, number % len(models), number, models)
        connection.commit()
    say.print(f"making the run of {largest_requests:,} requests …")
    largest = made_run(spec_of("the-largest", 64, largest_requests, arrivals, 0), arrivals)
    with Store.open(url) as store:
        began = time.perf_counter()
        add(store, sweep_row(sweeps, "the-largest"), [largest])
        say.print(f"saving it took {time.perf_counter() - began:.1f} s")
    middle = sweeps // 2
    return sweep_id(middle), run_id(middle, 0), run_id(sweeps, 0)


def sweep_id(number: int) -> str:
    """The id of sweep `number`."""
    return f"s261126-{number:06d}-0000"


def run_id(sweep: int, run: int) -> str:
    """The id of a run of sweep `sweep`."""
    return f"r261126-{sweep:06d}-{run:04d}"


def sweep_row(number: int, model: str) -> SweepRow:
    """Sweep `number`, made up."""
    return SweepRow(
        sweep_id=sweep_id(number),
        name=f"sweep {number} of {model}",
        spec={"concurrency": list(LOADS), "tag": [f"week-{number % 50}"]},
        spec_hash=f"{number:016x}",
        planned_runs=len(LOADS) * REPEATS,
        status="finished",
        simulated=True,
        created_at=f"2026-{1 + number % 11:02d}-{1 + number % 28:02d}T12:00:00+00:00",
        environment=environment(),
        server=server(model),
    )


def add(store: Store, row: SweepRow, runs: list[Made]) -> None:
    """Store a sweep as a measurement would."""
    store.add_sweep(row)
    number = int(row.sweep_id.split("-")[1])
    for position, made in enumerate(runs):
        document: Any = made.document | {"run_id": run_id(number, position), "sweep_id": row.sweep_id}
        store.add_run(row.sweep_id, document, made.records, outline=made.outline)


def copy(connection: sqlite3.Connection, template: int, number: int, models: list[str]) -> None:
    """Another sweep with the runs of sweep `template`, row by row in SQL: to make each through the store would take an hour."""
    row = asdict(sweep_row(number, models[template]))
    connection.execute(
        "INSERT INTO sweep (sweep_id, name, spec, spec_hash, planned_runs, status, simulated, created_at, environment_hash, server) "
        "SELECT ?, ?, ?, ?, planned_runs, status, simulated, ?, environment_hash, server FROM sweep WHERE sweep_id = ?",
        (
            row["sweep_id"],
            row["name"],
            json.dumps(row["spec"]),
            row["spec_hash"],
            row["created_at"],
            sweep_id(template),
        ),
    )
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(run)")]
    found = connection.execute(
        f"SELECT {', '.join(columns)} FROM run WHERE sweep_id = ? ORDER BY run_number", (sweep_id(template),)
    )
    for position, values in enumerate(found.fetchall()):
        run = dict(zip(columns, values, strict=True))
        old = run.pop("run_number")
        run |= {"run_id": run_id(number, position), "sweep_id": row["sweep_id"]}
        document = json.loads(run["document"]) | {"run_id": run["run_id"], "sweep_id": row["sweep_id"]}
        run["document"] = json.dumps(document)
        marks = ", ".join("?" for _ in run)
        new = connection.execute(f"INSERT INTO run ({', '.join(run)}) VALUES ({marks})", list(run.values())).lastrowid
        for table in ("request", "run_outline", "run_figures"):
            others = [
                f'"{name}"' for _, name, *_ in connection.execute(f"PRAGMA table_info({table})") if name != "run_number"
            ]
            listed = ", ".join(others)
            connection.execute(
                f"INSERT INTO {table} (run_number, {listed}) SELECT ?, {listed} FROM {table} WHERE run_number = ?",
                (new, old),
            )


@contextmanager
def dashboard(path: Path) -> Iterator[str]:
    """A dashboard over the store in a process of its own; its address."""
    serve = f"from loadgen.web.app import serve; serve('sqlite:///{path}', '127.0.0.1', 0, lambda url: print(url, flush=True))"
    with subprocess.Popen([sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            httpx2.get(url + "static/style.css", timeout=60)  # up, with no page made yet
            yield url
        finally:
            process.kill()


def fetched(client: httpx2.Client, url: str) -> tuple[float, int, str]:
    """Seconds until the whole answer was there, its bytes as they were sent, and its text."""
    began = time.perf_counter()
    with client.stream("GET", url) as answer:
        sent = b"".join(answer.iter_raw())
    took_s = time.perf_counter() - began
    if answer.status_code != 200:
        raise SystemExit(f"{url} answered {answer.status_code}")
    content = gzip.decompress(sent) if answer.headers.get("content-encoding") == "gzip" else sent
    return took_s, len(sent), content.decode()


@contextmanager
def browser() -> Iterator[Any]:
    """The system's Chromium, or None where it or Playwright is not."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None or importlib.util.find_spec("playwright") is None:
        yield None
        return
    sync_api = importlib.import_module("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])


def drawn_s(page: Any, url: str) -> float:
    """Seconds from asking for the page until it is loaded and all its charts stand, looked at twenty times a second."""
    began = time.perf_counter()
    page.goto(url)
    while page.locator(".plot").count() != page.locator(".plot svg.marks").count():
        page.wait_for_timeout(50)
    return time.perf_counter() - began


def weight_bytes(client: httpx2.Client, base: str, html: str, sent: int) -> int:
    """The page and all that it names of ours, as sent."""
    names = {part.split('"')[0] for part in html.replace('src="', 'href="').split('href="')[1:]}
    return sent + sum(fetched(client, base.rstrip("/") + name)[1] for name in names if name.startswith("/static/"))


def main() -> int:
    """Make, measure, print; 4 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=1_000)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--arrivals-per-request", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="make the store here, or take the one that is here already")
    asked = parser.parse_args()
    say = Console(stderr=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        path, ids = folder / "large.db", folder / "ids.json"
        if not ids.exists():
            folder.mkdir(parents=True, exist_ok=True)
            ids.write_text(json.dumps(fill(path, asked.sweeps, asked.requests, asked.arrivals_per_request, say)))
        return report(path, *json.loads(ids.read_text()))


def report(path: Path, sweep: str, run: str, largest: str) -> int:
    """Measure every page and print the table."""
    with closing(sqlite3.connect(path)) as connection:
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("sweep", "run", "request")
        }
    ten = ",".join(sweep_id(number) for number in range(10))
    pages = {
        "list": "",
        "filtered list": "?q=model-3&tag=week-11",
        "sweep": f"sweeps/{sweep}",
        "run": f"runs/{run}",
        "largest run": f"runs/{largest}",
        "comparison": f"compare?in={ten}",
        "comparison of 50": "compare?model=model-3",
    }
    table = Table(
        "page", "first, s", "again, s", "drawn, s", "limit, s", "sent, kB", "with scripts, kB", "limit, kB", ""
    )
    missed = False
    with browser() as chromium:
        for name, where in pages.items():
            drawn: float | None = None
            with dashboard(path) as base, httpx2.Client(timeout=120, headers={"Accept-Encoding": "gzip"}) as client:
                first_s, sent, html = fetched(client, base + where)
                again_s = statistics.median(fetched(client, base + where)[0] for _ in range(AGAIN))
                weight = weight_bytes(client, base, html, sent)
                if chromium is not None:
                    page = chromium.new_page()
                    drawn_s(page, base + where)  # scripts are kept from the first time on
                    drawn = statistics.median(drawn_s(page, base + where) for _ in range(3))
                    page.close()
            is_met = max(first_s, again_s, drawn or 0) <= LIMIT_S[name] and weight <= LIMIT_BYTES
            missed |= not is_met
            table.add_row(
                name, f"{first_s:.2f}", f"{again_s:.2f}", "–" if drawn is None else f"{drawn:.2f}", f"{LIMIT_S[name]:g}",
                f"{sent / 1e3:,.0f}", f"{weight / 1e3:,.0f}", f"{LIMIT_BYTES / 1e3:,.0f}", "met" if is_met else "MISSED",
            )  # fmt: skip
    console = Console(width=120)
    size = f"{path.stat().st_size / 1e9:.2f} GB"
    console.print(
        f"{counts['sweep']:,} sweeps, {counts['run']:,} runs, {counts['request']:,} requests, {size} (made up)"
    )
    console.print(table)
    return 4 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
