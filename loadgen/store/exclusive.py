"""The one service that works on the queue of a database, however its path is written and from whichever container.

Imports `errors` and this room. SQLite: a lock on a file next to the database, which containers on one volume share.
PostgreSQL: a lock of the server, held by a connection. Both end with the process that holds them, however it ends.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from loadgen.errors import UsageError
from loadgen.store import failures
from loadgen.store.repository import Store

_LOCK = 0x6C6F61646A6F6273  # "loadjobs"


@contextmanager
def alone_on_queue(store: Store) -> Iterator[None]:
    """Be the one service of this database for the length of the block. Raises UsageError when another one is."""
    otherwise = f"another service already works on the jobs in {store.place}: end it, or pass another --db"
    if store.path is not None:
        path = store.path.resolve()
        with path.with_name(f"{path.name}-queue").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UsageError(otherwise) from error
            yield
        return
    with failures.named(store.place), store._database.writing.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
            raise UsageError(otherwise)
        try:
            yield
        finally:
            connection.invalidate()  # the lock is of the connection, which must not go back into the pool with it
