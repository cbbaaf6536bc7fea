"""From a database URL to an SQLAlchemy engine: paths, read-only opening, SQLite's settings; and the URL as it may be shown.

SQLite: write-ahead log, so that readers and the one writer do not wait for each other; synchronous=NORMAL, which loses
nothing when a process is killed; a writing transaction takes its lock when it begins, so that two writers queue instead of
failing half-way. A reader opens the file anew each time, and so never creates, migrates or holds on to it.
"""

import math
import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool, QueuePool

from loadgen.errors import NotFoundError, StoreError
from loadgen.store import plain

BUSY_TIMEOUT_S = 30.0  # how long to wait for another writer before giving up; `?timeout=S` in the URL changes it

_MAX_TIMEOUT_S = 86_400.0
_HIDDEN = "***"
_SECRET_OPTION = re.compile(r"((?:^|[?&\s])\w*(?:password|passphrase|secret|token)\w*=)[^&\s]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Database:
    """Engines: `reading` and `writing` over one connection pool, the latter of which takes the write lock when a transaction begins."""

    place: str  # for messages: a path, or a URL without its password
    reading: Engine
    writing: Engine
    hasty: Engine  # as `writing`, for what is better not written than waited for
    path: Path | None = None  # of the file; None for PostgreSQL


def connect(url: str, *, read_only: bool) -> Database:
    """Engines for `url`; no connection is opened yet. Raises `StoreError` for a URL or path that cannot be used."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed, read_only)
    return _sqlite(parsed, url, read_only)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        parsed = None
    if parsed is None:
        shown = shown_url(url)
        to_write = "FILE.db, for example sqlite:///loadgen.db" if "@" in url or "://" in url or not url else url
        raise StoreError(f"the database {shown!r} is no database URL: write sqlite:///{to_write}")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg"):
        raise StoreError(
            f"the database kind {parsed.drivername!r} is not supported: use sqlite:///FILE.db or postgresql://HOST/NAME"
        )
    return parsed


def _postgresql(url: URL, read_only: bool) -> Database:
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            json_serializer=plain.write_json,
            pool_pre_ping=True,  # a connection may be hours old when a run is saved
        )
    except ImportError as error:
        raise StoreError("PostgreSQL needs the package psycopg: pip install 'loadgen[postgres]'") from error
    reading = engine.execution_options(postgresql_readonly=True) if read_only else engine
    hasty = create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        json_serializer=plain.write_json,
        connect_args={"connect_timeout": 2, "options": "-c lock_timeout=100 -c statement_timeout=1000"},
    )
    place = shown_url(url.render_as_string(hide_password=True))
    return Database(place=place, reading=reading, writing=engine, hasty=hasty)


def _sqlite(url: URL, given: str, read_only: bool) -> Database:
    if url.host or url.username or url.password:
        raise StoreError(
            f"the database {shown_url(given)!r} lacks a slash: write sqlite:///FILE.db, with three slashes"
        )
    if url.database in (None, "", ":memory:"):
        raise StoreError(
            f"the database {shown_url(given)!r} names no file: write sqlite:///FILE.db, for example sqlite:///loadgen.db"
        )
    path = Path(str(url.database)).absolute()
    try:
        _check_path(path, read_only)
    except OSError as error:
        raise StoreError(f"the database {path} cannot be reached: {error.strerror}; pass another --db") from error
    engine = create_engine(
        "sqlite://",
        creator=_opener(path, _timeout_s(url), read_only),
        poolclass=NullPool if read_only else QueuePool,
        json_serializer=plain.write_json,
    )
    # The driver is in autocommit (see _opener), so that it is us who begin; it would begin too late, at the first INSERT.
    event.listen(engine, "begin", _begin)
    hasty = create_engine(
        "sqlite://",
        creator=_opener(path, 0.0, read_only, may_create=False),
        poolclass=NullPool,
        json_serializer=plain.write_json,
    )
    event.listen(hasty, "begin", _begin)
    writes = {"loadgen_writes": True}
    return Database(
        place=str(path),
        reading=engine,
        writing=engine.execution_options(**writes),
        hasty=hasty.execution_options(**writes),
        path=path,
    )


def _check_path(path: Path, read_only: bool) -> None:
    if path.is_dir():
        raise StoreError(f"the database {path} is a directory: name a file in it, for example {path / 'loadgen.db'}")
    if read_only and not path.exists():
        raise NotFoundError(f"there is no database {path} yet: measure something first, or name another with --db")
    if not path.parent.is_dir():
        raise StoreError(
            f"the database {path} cannot be created because {path.parent} is no directory: create it first"
        )


def _timeout_s(url: URL) -> float:
    unknown = sorted(set(url.query) - {"timeout"})
    if unknown:
        raise StoreError(f"the database URL has an option {unknown[0]!r} that is not known: only timeout=SECONDS is")
    given = url.query.get("timeout", str(BUSY_TIMEOUT_S))
    try:
        timeout_s = float(str(given))
    except ValueError:
        timeout_s = math.nan
    if not 0 <= timeout_s <= _MAX_TIMEOUT_S:
        raise StoreError(
            f"the timeout {given!r} in the database URL is no number of seconds from 0 to {_MAX_TIMEOUT_S:,.0f}: write 30"
        )
    return timeout_s


def _opener(path: Path, timeout_s: float, read_only: bool, may_create: bool = True) -> Callable[[], sqlite3.Connection]:
    def open_file() -> sqlite3.Connection:
        query = "mode=rwc" if may_create else "mode=rw"
        if read_only:
            query = "mode=ro"
            # A database in a directory that is mounted read-only cannot have a log beside it; without one, it is at rest.
            if not os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                at_rest = not path.with_name(f"{path.name}-wal").exists()
                query += "&immutable=1" if at_rest else ""
        connection = sqlite3.connect(
            f"{path.as_uri()}?{query}", uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA foreign_keys=ON")
            if not read_only:
                _write_ahead(connection, timeout_s)
                connection.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    return open_file


def _write_ahead(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Switch a new database to the write-ahead log; for this one step SQLite does not wait for other writers itself."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                raise
        time.sleep(0.01)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("loadgen_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite database; None for another kind, and for a URL that names no file."""
    scheme, _, rest = url.partition(":///")
    if scheme not in ("sqlite", "sqlite+pysqlite"):
        return None
    name = rest.partition("?")[0]
    return None if name in ("", ":memory:") else Path(name).absolute()


def remove_unused(path: Path) -> None:
    """Remove a SQLite file with nothing in it, unless another connection has it open.

    SQLite takes a file out of its write-ahead log only for its one connection, which then keeps all others out of it.
    """
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'")
        if not any(connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone() for (name,) in tables.fetchall()):
            path.unlink()


def shown_url(url: str) -> str:
    """`url` without the password before its `@` and without any in its options, also where it is no legal URL."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _hide_options(f"{_HIDDEN}@{url.rpartition('@')[2]}" if "@" in url else url)
    if rest.startswith("/"):  # a path, which may well have an `@`
        return _hide_options(url)
    account, at, address = rest.rpartition("@")  # the last one: a password may hold any character
    user, colon, _ = account.partition(":")
    return _hide_options(f"{scheme}://{user}{colon}{_HIDDEN if colon else ''}{at}{address}")


def _hide_options(url: str) -> str:
    return _SECRET_OPTION.sub(rf"\g<1>{_HIDDEN}", url)
