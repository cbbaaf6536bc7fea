"""Is the schema of this database ours, and of this version? Creates and migrates it.

Alembic is imported only when there is something to migrate: opening a database for one query should not pay for it.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from loadgen.errors import NotFoundError, StoreError
from loadgen.store.database import Database
from loadgen.store.tables import Entity

HEAD = "0015"  # the newest file of migrations/versions
MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = """CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)"""  # as Alembic makes it
_LOCK = 0x6C6F616467656E  # "loadgen": the one lock that it takes of a PostgreSQL server, while it makes its tables


def prepare(database: Database, *, read_only: bool) -> None:
    """Leave the database at `HEAD`, or raise `StoreError`: newer, another program's, or older than this reader's.

    A reader of an empty database gets a `NotFoundError`.
    """
    with database.reading.connect() as connection:
        if _is_current(connection, database.place):
            return
        if read_only:
            revision = _revision(connection)
            if revision is None:
                raise NotFoundError(f"the database {database.place} is empty: measure something with it first")
            raise StoreError(
                f"the database {database.place} is of an older loadgen (schema {revision}, ours is {HEAD}): "
                "measure something with it, which brings it up to date"
            )
    with database.writing.begin() as connection:
        if connection.dialect.name == "postgresql":  # SQLite has given the lock at the transaction's beginning
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        # Looked at again now that we hold the lock: another process may have migrated it while we waited.
        if not _is_current(connection, database.place):
            _migrate(connection)


def _is_current(connection: Connection, place: str) -> bool:
    revision = _revision(connection)
    if revision == HEAD:
        return True
    if revision is None:
        if inspect(connection).get_table_names():
            raise StoreError(f"the database {place} belongs to another program: pass another --db")
        return False
    if revision not in _known_revisions():
        raise StoreError(
            f"the database {place} has schema {revision}, which is newer than this loadgen's schema {HEAD}: upgrade loadgen"
        )
    return False


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if revision is None else str(revision)


def _known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def _migrate(connection: Connection) -> None:
    if _revision(connection) is None:
        Entity.metadata.create_all(connection, checkfirst=False)
        connection.execute(text(VERSION_TABLE))
        connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": HEAD})
    else:
        _migrate_step_by_step(connection)


def _migrate_step_by_step(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
