"""An SQLite database whose file was deleted or moved while it was in use: all of it is still there as long as it is open.

Imports `errors` and this room.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from loadgen.errors import StoreError
from loadgen.store import failures
from loadgen.store.repository import Store


def copy(store: Store, path: Path) -> None:
    """Write all of the database to a new file at `path`. Raises `StoreError` and OSError."""
    with _open_connection(store) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)


def bring_back(store: Store) -> None:
    """Put a copy of the database where its file was.

    Raises `StoreError` and OSError, also when another file is there now.
    """
    path = store.path
    assert path is not None
    made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        copy(store, made)
        with _open_connection(store) as source:
            source.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # for whoever moved the file without its log
        store.reconnect()
        if path.exists():
            raise FileExistsError(f"{path} exists")
        for suffix in ("-wal", "-shm"):  # of the file that was here; they would damage the copy
            path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
        os.link(made, path)  # unlike a rename it fails when somebody has put a file there meanwhile
    finally:
        made.unlink(missing_ok=True)
    store._note_identity()


@contextmanager
def _open_connection(store: Store) -> Iterator[sqlite3.Connection]:
    """The connection that the store holds, outside of any transaction."""
    with failures.named(store.place):
        pooled = store._database.reading.raw_connection()
        try:
            connection = pooled.driver_connection
            if not isinstance(connection, sqlite3.Connection):
                raise StoreError(f"The database {store.place} is no file: copy it with pg_dump.")
            yield connection
        finally:
            pooled.close()
