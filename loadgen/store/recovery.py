"""An SQLite database whose file was deleted or moved while it was in use: all of it is still there as long as it is open."""

import errno
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

    Raises `StoreError` and OSError, also when another file is there now. From the moment on that nothing but the copy has the
    data it is never removed: the error names it.
    """
    path = store.path
    assert path is not None
    made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        copy(store, made)
        with _open_connection(store) as source:
            source.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # for whoever moved the file without its log
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    store.reconnect()
    try:
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        for suffix in ("-wal", "-shm"):  # of the file that was here; they would damage the copy
            path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
        _put(made, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StoreError(
            f"the database {path} was deleted or moved while it was in use, and cannot be put there again ({reason}): "
            f"all that was in it is in {made}"
        ) from error
    store._note_identity()


def _put(made: Path, path: Path) -> None:
    """Move `made` to `path`, where nothing is. Raises OSError, also when somebody has put a file there meanwhile."""
    try:
        os.link(made, path)  # unlike a rename it fails when there is a file
    except OSError:  # some file systems have no links
        if path.exists():
            raise
        made.rename(path)
    else:
        made.unlink()


@contextmanager
def _open_connection(store: Store) -> Iterator[sqlite3.Connection]:
    """The connection that the store holds, outside of any transaction."""
    with failures.named(store.place):
        pooled = store._database.reading.raw_connection()
        try:
            connection = pooled.driver_connection
            if not isinstance(connection, sqlite3.Connection):
                raise StoreError(f"the database {store.place} is no file: copy it with pg_dump")
            yield connection
        finally:
            pooled.close()
