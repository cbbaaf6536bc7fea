"""The store on a real PostgreSQL server: what SQLite does not show, and what its users type wrong."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from typer.testing import CliRunner

from loadgen.cli.app import app
from loadgen.engine.records.record import Records
from loadgen.errors import NotFoundError, StoreError
from loadgen.experiments.events import SavingDelayed
from loadgen.experiments.interrupts import Stop
from loadgen.experiments.run_document import MeasuredRun
from loadgen.experiments.saving import Keeper
from loadgen.service.access import Access
from loadgen.service.app import create_service
from loadgen.service.queue import Queue
from loadgen.service.targets import Targets
from loadgen.service.tokens import Token
from loadgen.store import schema
from loadgen.store.repository import Store
from loadgen.store.sweep_progress import SweepsProgress
from loadgen.web.app import create_app
from tests.store.first_tables import make_first_tables
from tests.store.postgresql import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.loopback]


@pytest.fixture
def empty(postgres: PostgresServer) -> str:
    return postgres.new_database()


def test_what_is_wrong_with_the_address_is_one_sentence_without_the_password(postgres: PostgresServer) -> None:
    wrong = {
        postgres.url("postgres", password="topsecret"): "refused the user or its password",
        postgres.url("nowhere"): "knows no such database",
        f"postgresql://loadgen:topsecret@127.0.0.1:1/{'x'}": "nothing answers at",
        "postgresql://loadgen:topsecret@no-such-host.invalid/x": "host of .* is not known",
    }
    for url, sentence in wrong.items():
        with pytest.raises(StoreError, match=sentence) as said:
            Store.open(url)
        assert "topsecret" not in str(said.value)
        assert postgres.password not in str(said.value)
        assert "\n" not in str(said.value)


def test_a_reader_of_an_empty_database_creates_nothing(postgres: PostgresServer, empty: str) -> None:
    with pytest.raises(NotFoundError, match="is empty"):
        Store.open(empty, read_only=True)
    assert postgres.sql(empty.rsplit("/", 1)[1], "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"


def test_a_database_of_another_program_is_left_alone(postgres: PostgresServer, empty: str) -> None:
    postgres.sql(empty.rsplit("/", 1)[1], "CREATE TABLE theirs (a int)")
    with pytest.raises(StoreError, match="belongs to another program"):
        Store.open(empty)


def test_a_newer_schema_is_named(postgres: PostgresServer, empty: str) -> None:
    Store.open(empty).close()
    postgres.sql(empty.rsplit("/", 1)[1], "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer than this loadgen"):
        Store.open(empty, read_only=True)


def test_eight_that_open_a_new_database_at_once_make_its_tables_once(empty: str) -> None:
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            Store.open(empty).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Store.open(empty, read_only=True) as store:
        assert store.sweeps() == []


@pytest.mark.parametrize(
    "revision", sorted(each.revision for each in ScriptDirectory(str(schema.MIGRATIONS)).walk_revisions())
)
def test_it_is_brought_up_to_date_from_every_earlier_schema(empty: str, revision: str, make_sweep: Any) -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    engine = create_engine(empty)
    with engine.begin() as connection:
        make_first_tables(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    with Store.open(empty) as store:
        store.add_sweep(make_sweep("s1"))
        assert [sweep.sweep_id for sweep in store.sweeps()] == ["s1"]


def test_a_reader_cannot_write(empty: str, make_sweep: Any) -> None:
    Store.open(empty).close()
    with Store.open(empty, read_only=True) as store:
        with pytest.raises(StoreError, match="for reading only"):
            store.add_sweep(make_sweep("s1"))
        with pytest.raises(Exception, match="read-only transaction"), store._database.reading.begin() as connection:
            connection.exec_driver_sql("DELETE FROM sweep")


def test_text_that_postgresql_has_no_room_for_is_replaced(
    empty: str, make_sweep: Any, make_document: Any, records: Records
) -> None:
    detail = list(records.detail)
    detail[1] = "a NUL \x00 and half a pair \ud800"
    records.detail = detail
    with Store.open(empty) as store:
        store.add_sweep(make_sweep("s1"))
        store.add_run("s1", make_document("r1", "s1"), records)
        assert store.records("r1").detail[1] == "a NUL \ufffd and half a pair \ufffd"


def test_writers_of_several_sweeps_do_not_wait_for_each_other_for_ever(
    empty: str, make_sweep: Any, make_document: Any, records: Records
) -> None:
    Store.open(empty).close()

    def write(sweep_id: str) -> None:
        with Store.open(empty) as store:
            store.add_sweep(make_sweep(sweep_id))
            for number in range(5):
                store.add_run(sweep_id, make_document(f"r{sweep_id}-{number}", sweep_id), records)

    threads = [threading.Thread(target=write, args=(f"s{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with Store.open(empty, read_only=True) as store:
        assert [sweep.runs for sweep in store.sweeps()] == [5] * 4


def test_how_a_sweep_stands_is_not_waited_for(empty: str, make_sweep: Any) -> None:
    with Store.open(empty) as store:
        store.add_sweep(make_sweep("s1"))
        rows = SweepsProgress(store)
        rows.put("s1", {"left_s": 3.0})
        engine = create_engine(empty)
        with engine.begin() as other:
            other.exec_driver_sql("SELECT * FROM sweep_progress FOR UPDATE")
            with pytest.raises(StoreError) as said:
                rows.put("s1", {"left_s": 2.0})
            with pytest.raises(StoreError):
                rows.remove("s1")
            with Store.open(empty, read_only=True) as reader:
                found = SweepsProgress(reader).of(["s1"])["s1"]
                with pytest.raises(StoreError, match="reading only"):
                    SweepsProgress(reader).put("s1", {})
        engine.dispose()
        assert "\n" not in str(said.value)
        assert found.document == {"left_s": 3.0}
        rows.put("s1", {"left_s": None})
        assert rows.of(["s1"])["s1"].document == {"left_s": None}
        rows.remove("s1")
        assert rows.of(["s1"]) == {}


def test_a_sweep_that_is_measured_into_it_tells_how_it_stands(empty: str, tmp_path: Path) -> None:
    load = ["--concurrency", "2,4", "--input-tokens", "8", "--output-tokens", "8", "--duration-s", "6"]
    command = [sys.executable, "-m", "loadgen.cli", "sweep", "--url", "simulator", *load, "--db", empty, "--quiet"]
    Store.open(empty).close()
    told: list[Any] = []
    with (
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as sweep,
        Store.open(empty, read_only=True) as store,
    ):
        rows = SweepsProgress(store)
        while sweep.poll() is None:
            told += [row.document for row in rows.of([each.sweep_id for each in store.sweeps()]).values()]
            time.sleep(0.2)
        assert sweep.returncode in (0, 3)
        assert any(document["run"] for document in told)
        (row,) = store.sweeps()
        assert row.runs == 2
        assert rows.of([row.sweep_id]) == {}


def test_jobs_of_the_service_are_measured_into_it(empty: str, postgres: PostgresServer) -> None:
    Store.open(empty).close()
    token = "0123456789abcdef-token"
    spec = {"url": "simulator", "concurrency": [1], "input_tokens": 8, "output_tokens": 4, "requests": 4}
    with Queue(empty, Targets.of([]), (), dict(os.environ)) as queue:
        service = create_service(empty, Access(Token(token), loopback_reads=True), queue)
        with TestClient(service, base_url="http://127.0.0.1:8080") as client:
            client.headers["Authorization"] = f"Bearer {token}"
            sent = client.post("/api/v1/sweeps", json=spec)
            assert sent.status_code in (201, 202), sent.text
            where = f"/api/v1/jobs/{sent.json()['job_id']}"
            deadline_s = time.monotonic() + 90
            while (job := client.get(where).json())["status"] in ("queued", "running", "ending"):
                assert time.monotonic() < deadline_s
                time.sleep(0.3)
            assert job["status"] == "finished", job
            assert client.get(f"/sweeps/{job['sweep_id']}").status_code == 200
            page = client.get("/jobs")
            assert job["job_id"] in page.text
            assert postgres.password not in page.text


def test_a_sweep_is_measured_into_it_and_looked_at(empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    point = ["--concurrency", "1,2", "--input-tokens", "8", "--output-tokens", "4", "--requests", "4", "--db", empty]
    measured = runner.invoke(app, ["sweep", "--url", "simulator", "--name", "on PostgreSQL", *point])
    assert measured.exit_code in (0, 3), measured.output
    assert empty.split(":")[2].split("@")[0] not in measured.output  # the password
    again = runner.invoke(app, ["sweep", "--url", "simulator", "--name", "on PostgreSQL", *point, "--resume"])
    assert "nothing to resume" in again.output
    assert "on PostgreSQL" in runner.invoke(app, ["list", "--db", empty]).output
    with Store.open(empty, read_only=True) as store:
        (sweep,) = store.sweeps()
        runs = store.runs(sweep.sweep_id)
    assert len(runs) == 2
    with TestClient(create_app(empty)) as client:
        for path in ("/", f"/sweeps/{sweep.sweep_id}", f"/runs/{runs[0]['run_id']}", f"/compare?in={sweep.sweep_id}"):
            page = client.get(path)
            assert page.status_code == 200
            assert "on PostgreSQL" in page.text or runs[0]["run_id"] in page.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts_while_a_run_is_saved_has_it_once(
    empty: str, postgres: PostgresServer, make_sweep: Any, make_document: Any, records: Records, mode: str
) -> None:
    waited_s: list[float] = []

    def start_after_a_while(seconds: float) -> None:
        waited_s.append(seconds)
        if sum(waited_s) > 20 and not running.is_set():
            postgres.start()
            running.set()

    running = threading.Event()
    events: list[Any] = []
    with Store.open(empty) as store:
        store.add_sweep(make_sweep("s1"))
        keeper = Keeper(
            store, store.sweep("s1"), Stop(), events.append, now_s=lambda: sum(waited_s), sleep=start_after_a_while
        )
        for position, run_id in enumerate(("r1", "r2", "r3"), 1):
            document = make_document(run_id, "s1")
            document["spec"]["hash"] = f"hash of {run_id}"
            if position == 2:
                postgres.stop(mode)
            keeper.keep(MeasuredRun(document, records, None, (), (), None, None), position, 3)
        keeper.set_status("finished")
        assert [run["run_id"] for run in store.runs("s1")] == ["r1", "r2", "r3"]
        assert all(len(store.records(run_id)) == 3 for run_id in ("r1", "r2", "r3"))
    assert 20 < sum(waited_s) < 35
    assert [type(event) for event in events] == [SavingDelayed]
