"""The migrations make what the models say, and only in a database that is ours."""

import io
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from loadgen.errors import NotFoundError, StoreError
from loadgen.store import schema
from loadgen.store.repository import Store
from loadgen.store.tables import Entity
from tests.store.first_tables import create, make_first_tables


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///").split("?")[0])


def alter(url: str, *statements: str) -> None:
    with closing(sqlite3.connect(path_of(url))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def migrate_step_by_step(url: str) -> None:
    """Bring the tables of the first loadgen to `HEAD` through every migration."""
    engine = create_engine(url.split("?")[0])
    with engine.begin() as connection:
        make_first_tables(connection)
        schema._migrate_step_by_step(connection)
    engine.dispose()


def test_the_migrations_make_the_tables_of_the_models(any_url: str) -> None:
    migrate_step_by_step(any_url)
    engine = create_engine(any_url.split("?")[0])
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Entity.metadata) == []
    engine.dispose()


def test_the_migrations_name_the_constraints_as_the_models_do(url: str) -> None:
    """Which `compare_metadata` does not look at on SQLite."""
    migrate_step_by_step(url)
    with closing(sqlite3.connect(path_of(url))) as connection:
        made = " ".join(sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))
    meant = {str(constraint.name) for table in Entity.metadata.tables.values() for constraint in table.constraints}
    assert set(re.findall(r"CONSTRAINT (\w+)", made)) - {"alembic_version_pkc"} == meant


def test_a_new_database_has_what_the_migrations_make(sqlite_store: Store, url: str, tmp_path: Path) -> None:
    def schema_of(path: Path) -> dict[str, list[object]]:
        """Of each table its columns, references and indices, whose order says nothing."""
        with closing(sqlite3.connect(path)) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {
                name: [
                    sorted(row[1:] for row in connection.execute(f"PRAGMA table_info({name})")),
                    sorted(row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({name})")),
                    sorted(row[1:] for row in connection.execute(f"PRAGMA index_list({name})")),
                ]
                for name in sorted(names)
            }

    migrate_step_by_step(f"sqlite:///{tmp_path}/migrated.db")
    assert schema_of(path_of(url)) == schema_of(tmp_path / "migrated.db")


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory(str(schema.MIGRATIONS)).get_heads() == [schema.HEAD]


def test_the_migrations_are_written_in_portable_types() -> None:
    """PostgreSQL's dialect renders each of them, and no column is left to a type that it lacks."""
    written = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written})
    scripts = list(ScriptDirectory(str(schema.MIGRATIONS)).walk_revisions())
    with Operations.context(context):
        create()
        for script in reversed(scripts):
            script.module.upgrade()
    for table in Entity.metadata.tables:
        assert f"CREATE TABLE {table} (" in written.getvalue()
    assert "arrivals BYTEA NOT NULL" in written.getvalue()
    assert "first_byte_ns BIGINT" in written.getvalue()


def test_lengths_stored_before_they_could_be_null_stay(url: str) -> None:
    engine = create_engine(f"sqlite:///{path_of(url)}")
    with engine.begin() as new:
        make_first_tables(new)
    engine.dispose()
    with closing(sqlite3.connect(path_of(url))) as connection, connection:
        for table in ("environment", "sweep", "run", "request"):  # 7 in every column, so that all refer to each other
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('7' for _ in columns)})")
    Store.open(url).close()
    with closing(sqlite3.connect(path_of(url))) as connection:
        assert connection.execute("SELECT input_tokens, output_tokens FROM run").fetchall() == [(7, 7)]
        assert connection.execute("SELECT prompt_tokens_asked, run_number FROM request").fetchall() == [(7, 7)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_opening_twice_migrates_once(url: str) -> None:
    for _ in range(2):
        with Store.open(url) as store:
            assert store.sweeps() == []


def test_a_path_with_signs_that_mean_something_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "50% of #1 ä&b=c"
    folder.mkdir()
    with Store.open(f"sqlite:///{folder}/a b.db") as store:
        assert store.sweeps() == []
    assert (folder / "a b.db").exists()


def test_a_newer_schema_is_refused_and_left_alone(url: str) -> None:
    Store.open(url).close()
    alter(url, "UPDATE alembic_version SET version_num = '0099'")
    for read_only in (False, True):
        with pytest.raises(
            StoreError, match=rf"schema 0099, which is newer than this loadgen's schema {schema.HEAD}: upgrade"
        ):
            Store.open(url, read_only=read_only)
    with closing(sqlite3.connect(path_of(url))) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0099",)]


def test_the_database_of_another_program_is_refused_and_left_alone(url: str) -> None:
    alter(url, "CREATE TABLE customers (name)")
    for read_only in (False, True):
        with pytest.raises(StoreError, match="belongs to another program"):
            Store.open(url, read_only=read_only)
    with closing(sqlite3.connect(path_of(url))) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("customers",)]


def test_a_reader_does_not_migrate_an_empty_file_and_a_writer_does(url: str) -> None:
    path_of(url).touch()
    with pytest.raises(NotFoundError, match="is empty: measure something"):
        Store.open(url, read_only=True)
    assert path_of(url).stat().st_size == 0
    with Store.open(url) as store:
        assert store.sweeps() == []


def test_a_reader_leaves_an_older_schema_to_a_writer(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(url).close()
    newest = schema.HEAD
    monkeypatch.setattr(schema, "HEAD", "9999")
    with pytest.raises(StoreError, match=rf"is of an older loadgen \(schema {newest}, ours is 9999\)") as caught:
        Store.open(url, read_only=True)
    assert not isinstance(caught.value, NotFoundError)


def test_a_migration_that_fails_leaves_nothing_behind(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All migrations run in one transaction with the note of the version."""
    migrate = schema._migrate

    def fail_at_the_end(connection: object) -> None:
        migrate(connection)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(schema, "_migrate", fail_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        Store.open(url)
    with closing(sqlite3.connect(path_of(url))) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_new_database_that_another_process_is_just_making_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself gives up at once when it cannot switch a file to its write-ahead log."""
    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.1, other.rollback)
        release.start()
        with Store.open(f"sqlite:///{tmp_path}/new.db?timeout=20") as store:
            assert store.sweeps() == []
        release.join()
