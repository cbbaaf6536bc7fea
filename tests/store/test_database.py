"""Every way in which a database cannot be had: one sentence that names it, without its password, and says what to do; nothing is created."""

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from loadgen.engine.records.record import Records
from loadgen.errors import NotFoundError, StoreError
from loadgen.store.database import remove_unused, shown_url, sqlite_path
from loadgen.store.repository import Store

NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write anywhere, whatever the mode of a file: step down for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("results.db", "the database 'results.db' is no database URL: write sqlite:///results.db"),
        ("/data/x.db", "the database '/data/x.db' is no database URL: write sqlite:////data/x.db"),
        ("", "the database '' is no database URL: write sqlite:///FILE.db, for example sqlite:///loadgen.db"),
        ("mysql://localhost/x", "the database kind 'mysql' is not supported: use sqlite:///FILE.db or postgresql://"),
        ("sqlite+aiosqlite:///x.db", "the database kind 'sqlite+aiosqlite' is not supported"),
        ("sqlite://x.db", "lacks a slash: write sqlite:///FILE.db, with three slashes"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///x.db?timeout=soon", "the timeout 'soon' in the database URL is no number of seconds"),
        ("sqlite:///x.db?mode=ro", "has an option 'mode' that is not known"),
        ("sqlite:////absent-folder/x.db", "cannot be created because /absent-folder is no directory: create it first"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=re.escape(sentence)):
        Store.open(url)
    assert list(tmp_path.iterdir()) == []


def test_relative_and_absolute_urls_reach_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store.open("sqlite:///here.db") as store:
        monkeypatch.chdir("/")  # a store stays with its file
        assert store.sweeps() == []
    with Store.open(f"sqlite:///{tmp_path}/here.db", read_only=True) as store:
        assert store.sweeps() == []


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=rf"{tmp_path} is a directory: name a file in it, for example {tmp_path}/loadgen.db"
    ):
        Store.open(f"sqlite:///{tmp_path}")


def test_a_path_too_long_to_exist(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be reached: File name too long"):
        Store.open(f"sqlite:///{tmp_path}/{'x' * 300}.db")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "notes.db"
    path.write_text("Milk, eggs and a good deal more than the sixteen bytes of a header.\n" * 100)
    with pytest.raises(StoreError, match=r"notes\.db is not a database of loadgen: pass another --db"):
        Store.open(f"sqlite:///{path}", read_only=read_only)
    assert path.read_text().startswith("Milk")


def test_a_reader_asks_for_a_measurement_and_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no database .*absent\.db yet: measure something first"):
        Store.open(f"sqlite:///{tmp_path}/absent.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_holds_a_connection_that_cannot_write(url: str) -> None:
    Store.open(url).close()
    refused: list[str] = []

    def try_to_write(connection: sqlite3.Connection, _: object) -> None:
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("DELETE FROM sweep")
        refused.append(caught.value.sqlite_errorname)

    event.listen(Engine, "connect", try_to_write)
    try:
        Store.open(url, read_only=True).close()
    finally:
        event.remove(Engine, "connect", try_to_write)
    assert set(refused) == {"SQLITE_READONLY"}


def test_a_reader_writes_nothing(url: str, make_sweep: Any) -> None:
    Store.open(url).close()
    with Store.open(url, read_only=True) as store, pytest.raises(StoreError, match="opened for reading only"):
        store.add_sweep(make_sweep("s1"))


def test_a_reader_notices_that_the_file_was_replaced(url: str, tmp_path: Path, make_sweep: Any) -> None:
    Store.open(url).close()
    with Store.open(url, read_only=True) as reader:
        assert reader.sweeps() == []
        (tmp_path / "measured.db").unlink()
        with Store.open(url) as writer:
            writer.add_sweep(make_sweep("s1"))
        assert [sweep.sweep_id for sweep in reader.sweeps()] == ["s1"]


def test_a_directory_that_may_not_be_written(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with without_privileges(), pytest.raises(StoreError, match="cannot be opened or created: check that its directory"):
        Store.open(f"sqlite:///{open_folder}/new.db")


def test_a_directory_that_may_not_be_entered(open_folder: Path) -> None:
    open_folder.chmod(0)
    with without_privileges(), pytest.raises(StoreError, match="cannot be reached: Permission denied"):
        Store.open(f"sqlite:///{open_folder}/x.db")


def test_a_file_that_may_only_be_read(open_folder: Path, make_sweep: Any) -> None:
    """A writer says so; a reader shows what is there, although it can put no lock file beside it."""
    url = f"sqlite:///{open_folder}/measured.db"
    with Store.open(url) as store:
        store.add_sweep(make_sweep("s1"))
    (open_folder / "measured.db").chmod(0o444)
    open_folder.chmod(0o555)
    with without_privileges():
        with Store.open(url, read_only=True) as store:
            assert [sweep.sweep_id for sweep in store.sweeps()] == ["s1"]
        with pytest.raises(StoreError, match="is read-only: make the file and its directory writable"):
            Store.open(url)


def test_another_program_holds_the_lock(sqlite_store: Store, url: str, make_sweep: Any) -> None:
    path = url.removeprefix("sqlite:///").split("?")[0]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="is locked by another program: end that program, or pass another --db"):
            sqlite_store.add_sweep(make_sweep("s1"))
        assert sqlite_store.sweeps() == []  # reading needs no lock
        other.execute("ROLLBACK")
    sqlite_store.add_sweep(make_sweep("s1"))
    assert len(sqlite_store.sweeps()) == 1


def test_the_disk_is_full(url: str, make_sweep: Any, make_document: Any, records: Records) -> None:
    """What was stored before stays readable, and the run that found no room is not half there."""

    def leave_little_room(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count=40")

    with Store.open(url) as store:
        store.add_sweep(make_sweep("s1"))
        store.add_run("s1", make_document("r1", "s1"), records)
    event.listen(Engine, "connect", leave_little_room)
    try:
        with Store.open(url) as store:
            many = Records.from_rows([records[0]] * 5_000)
            with pytest.raises(StoreError, match=r"the disk is full .* what was stored before is kept"):
                store.add_run("s1", make_document("r2", "s1"), many)
            assert [document["run_id"] for document in store.runs("s1")] == ["r1"]
            assert len(store.records("r1")) == 3
    finally:
        event.remove(Engine, "connect", leave_little_room)


def test_sqlite_is_set_up_for_one_writer_and_many_readers(sqlite_store: Store, url: str) -> None:
    settings = {}

    def look(connection: sqlite3.Connection, *_: object) -> None:
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout"):
            settings[name] = connection.execute(f"PRAGMA {name}").fetchone()[0]

    event.listen(Engine, "connect", look)
    try:
        Store.open(url).close()
    finally:
        event.remove(Engine, "connect", look)
    assert settings == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 200}


def test_a_database_is_removed_only_while_nothing_is_in_it_and_nobody_has_it_open(
    url: str, tmp_path: Path, make_sweep: Any
) -> None:
    path = sqlite_path(url)
    assert path is not None
    with Store.open(url):
        remove_unused(path)
        assert path.exists()
    remove_unused(path)
    assert not list(path.parent.glob(f"{path.name}*"))
    with Store.open(url) as store:
        store.add_sweep(make_sweep("s1"))
    remove_unused(path)
    assert path.exists()


def test_postgresql_without_its_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=re.escape("pip install 'loadgen[postgres]'")):
        Store.open("postgresql://me:hidden@localhost/measured")


def test_opening_for_one_query_does_not_load_alembic(url: str) -> None:
    Store.open(url).close()
    program = (
        "import sys; from loadgen.store.repository import Store; "
        f"Store.open({url!r}, read_only=True).sweeps(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:s3cret@h/db", "postgresql://u:***@h/db"),
        ("postgresql+psycopg://u:s3@cr/et:?@h:5/db?x=1", "postgresql+psycopg://u:***@h:5/db?x=1"),
        ("postgresql://:s3cret@h/db", "postgresql://:***@h/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db?user=u&password=s3cret&x=1", "postgresql://h/db?user=u&password=***&x=1"),
        ("postgresql://h/db?sslpassword=s3cret", "postgresql://h/db?sslpassword=***"),
        ("u:s3cret@h/db", "***@h/db"),
        ("postgresql:/u:s3cret@h/db", "***@h/db"),
        ("host=h password=s3cret", "host=h password=***"),
        ("sqlite:///loadgen.db", "sqlite:///loadgen.db"),
        ("sqlite:////x/a@b.db?timeout=3", "sqlite:////x/a@b.db?timeout=3"),
        ("results", "results"),
    ],
)
def test_the_password_is_hidden_and_the_rest_is_not(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@127.0.0.1:9/db?connect_timeout=2",
        "postgresql://127.0.0.1:9/db?password=s3cret&connect_timeout=2",
        "postgresql://u:s3cret@h:port/db",
        "sqlite://u:s3cret@h/x.db",
        "sqlite://u:s3cret@/x.db",
        "mysql://u:s3cret@h/db",
        "u:s3cret@h/db",
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_no_complaint_of_the_store_has_it(url: str, read_only: bool) -> None:
    with pytest.raises(StoreError) as caught:
        Store.open(url, read_only=read_only)
    assert "s3cret" not in str(caught.value)
