"""Stores, sweeps, run documents and records for the tests of this room."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine

from loadgen.analysis.document.sweep import SweepStatus
from loadgen.engine.records.record import CountedBy, Outcome, Records, RequestRecord
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave
from loadgen.load.spec import RunSpec
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow
from tests.store.postgresql import MISSING, PostgresServer, programs, server

ENVIRONMENT = {"host": {"name": "bench-1"}, "cpu_count": 2, "cpu_governor": None, "packages": {"numpy": "2.4"}}

MakeSweep = Callable[..., SweepRow]
MakeDocument = Callable[..., Any]
AddRun = Callable[..., str]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database that does not exist yet; whoever waits for its lock waits a moment only."""
    return f"sqlite:///{tmp_path}/measured.db?timeout=0.2"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server, one for all tests that ask for it."""
    if programs() is None:
        pytest.skip(MISSING)
    with server() as running:
        yield running


KINDS = [pytest.param("sqlite"), pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=KINDS)
def any_url(request: pytest.FixtureRequest) -> str:
    """A database that has no table yet, of each kind that the store works with."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("url"))
    running: PostgresServer = request.getfixturevalue("postgres")
    return running.new_database()


@pytest.fixture
def store(any_url: str) -> Iterator[Store]:
    with Store.open(any_url) as opened:
        yield opened


@pytest.fixture
def sqlite_store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


@pytest.fixture(scope="session")
def make_sweep() -> MakeSweep:
    def make(sweep_id: str, created_at: str = "2026-11-23T15:29:01+00:00", status: SweepStatus = "running") -> SweepRow:
        return SweepRow(
            sweep_id=sweep_id,
            name="für Elise",
            spec={"concurrency": [1, 16], "repeats": 2},
            spec_hash="00112233aabbccdd",
            planned_runs=4,
            status=status,
            simulated=True,
            created_at=created_at,
            environment=ENVIRONMENT,
            server={"url": "http://127.0.0.1:8000", "version": None},
        )

    return make


@pytest.fixture(scope="session")
def make_document() -> MakeDocument:
    seeds = count()

    def make(
        run_id: str, sweep_id: str, shape: LoadShape | None = None, seed: int | None = None, verdict: str = "valid"
    ) -> dict[str, Any]:
        shape = shape or ClosedLoop(16)
        seed = next(seeds) if seed is None else seed  # another seed is another planned run
        requests = None if isinstance(shape, Wave) else 64
        spec = RunSpec("http://127.0.0.1:8000", "tiny", shape, 128, 32, requests=requests, seed=seed)
        return {
            "schema_version": 1,
            "run_id": run_id,
            "sweep_id": sweep_id,
            "repeat": seed,
            "started_at": "2026-11-23T15:29:07+00:00",
            "elapsed_s": 12.5,
            "simulated": True,
            "spec": {
                **spec.to_json(),
                "hash": spec.hash,
                "point_hash": spec.point.hash,
                "load_label": spec.load_label,
            },
            "server": {"url": spec.url, "model": spec.model, "version": None},
            "environment": ENVIRONMENT,
            "method_version": 1,
            "interrupted": False,
            "ttft_s": {"n": 64, "mean": 0.0501234567890123, "p99": None},
            "requests_per_s": 5.12 if not isinstance(shape, OpenLoop) else None,
            "paper": None,
            "verdict": {"status": verdict, "findings": []},
        }

    return make


@pytest.fixture(scope="session")
def add_run(make_sweep: MakeSweep, make_document: MakeDocument) -> AddRun:
    """Store a run alone in a sweep of its own: `s` + its number, `r` + its number."""

    def add(store: Store, records: Records, number: int = 1) -> str:
        store.add_sweep(make_sweep(f"s{number}"))
        store.add_run(f"s{number}", make_document(f"r{number}", f"s{number}"), records)
        return f"r{number}"

    return add


@pytest.fixture
def records() -> Records:
    """One request that went well, one that failed before its first byte, one that was never sent."""
    well = RequestRecord(
        index=0,
        slot=0,
        outcome=Outcome.OK,
        http_status=200,
        finish_reason="length",
        due_ns=0,
        start_ns=1_000,
        sent_ns=1_000,
        first_byte_ns=50_001_000,
        end_ns=80_000_000,
        connect_ns=120_000,
        prompt_tokens_asked=128,
        output_tokens_asked=4,
        prompt_tokens=128,
        output_tokens=5,
        counted_by=CountedBy.TOKEN_IDS,
        server_timing={"time_to_first_token_ms": 49.5},
        arrival_ns=np.array([50_001_000, 60_002_000, 60_002_000], np.int64),
        arrival_tokens=np.array([1, 3, 1], np.int32),
        arrival_choice=np.zeros(3, np.int16),
        arrival_coalesced=np.array([False, False, True]),
    )
    failed = RequestRecord(
        index=1,
        slot=1,
        outcome=Outcome.CONNECT_ERROR,
        detail="The server closed the connection.",
        due_ns=0,
        start_ns=1_500,
        sent_ns=1_500,
        end_ns=2_500,
        prompt_tokens_asked=128,
        output_tokens_asked=4,
    )
    dropped = RequestRecord(
        index=2,
        outcome=Outcome.DROPPED,
        detail="The run ended before its turn.",
        prompt_tokens_asked=128,
        output_tokens_asked=4,
    )
    return Records.from_rows([well, failed, dropped])


@pytest.fixture
def database_rows(any_url: str) -> Callable[[str], list[tuple[Any, ...]]]:
    """Ask the database behind `any_url` in SQL, past the store."""

    def ask(query: str) -> list[tuple[Any, ...]]:
        engine = create_engine(any_url.split("?")[0])
        with engine.connect() as connection:
            rows = [tuple(row) for row in connection.exec_driver_sql(query)]
        engine.dispose()
        return rows

    return ask
