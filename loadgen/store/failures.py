"""What a database says when it fails, as one sentence of ours. Imports `errors`."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import StatementError

from loadgen.errors import StoreError

# By the beginning of SQLite's own name of the error; the first that fits is taken.
_SENTENCES = {
    "SQLITE_BUSY": "The database {place} is locked by another program: end that program, or pass another --db.",
    "SQLITE_LOCKED": "The database {place} is locked by another program: end that program, or pass another --db.",
    "SQLITE_READONLY": "The database {place} is read-only: make the file and its directory writable, or pass another --db.",
    "SQLITE_FULL": "The disk is full and {place} could not take more: free some space; what was stored before is kept.",
    "SQLITE_NOTADB": "{place} is not a database of loadgen: pass another --db.",
    "SQLITE_CANTOPEN": "The database {place} cannot be opened or created: check that its directory is writable, or pass another --db.",
    "SQLITE_PERM": "The database {place} cannot be opened: permission denied; pass another --db.",
    "SQLITE_CORRUPT": "The database {place} is damaged: restore it from a copy, or pass another --db.",
    "SQLITE_IOERR": "The database {place} cannot be read or written because its disk fails: {said}; check the disk.",
}


@contextmanager
def named(place: str) -> Iterator[None]:
    """Turn whatever the database driver raises inside into a `StoreError` about the database at `place`."""
    try:
        yield
    except (StatementError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, StatementError) else error
        if isinstance(cause, StoreError):  # a value that SQLAlchemy could not bind because we refused it
            raise cause from None
        raise StoreError(_sentence(cause, place)) from error


def _sentence(error: BaseException | None, place: str) -> str:
    said = str(error).strip().split("\n")[0]
    name = getattr(error, "sqlite_errorname", "")
    for beginning, sentence in _SENTENCES.items():
        if name.startswith(beginning):
            return sentence.format(place=place, said=said)
    return f"The database {place} failed: {said}; check it, or pass another --db."
