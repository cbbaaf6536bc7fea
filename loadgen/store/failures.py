"""What a database says when it fails, as one sentence of ours."""

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import StatementError

from loadgen.errors import StoreError

# By the beginning of SQLite's own name of the error; the first that fits is taken.
_SENTENCES = {
    "SQLITE_BUSY": "the database {place} is locked by another program: end that program, or pass another --db",
    "SQLITE_LOCKED": "the database {place} is locked by another program: end that program, or pass another --db",
    "SQLITE_READONLY": "the database {place} is read-only: make the file and its directory writable, or pass another --db",
    "SQLITE_FULL": "the disk is full and {place} could not take more: free some space; what was stored before is kept",
    "SQLITE_NOTADB": "{place} is not a database of loadgen: pass another --db",
    "SQLITE_CANTOPEN": "the database {place} cannot be opened or created: check that its directory is writable, or pass another --db",
    "SQLITE_PERM": "the database {place} cannot be opened: permission denied; pass another --db",
    "SQLITE_CORRUPT": "the database {place} is damaged: restore it from a copy, or pass another --db",
    "SQLITE_IOERR": "the database {place} cannot be read or written because its disk fails: {said}; check the disk",
}


# PostgreSQL's: by the beginning of its SQLSTATE, else by words of its client when nobody answered.
_BY_STATE = {
    "53100": "the disk of {place} is full and could not take more: free some space; what was stored before is kept",
    "53300": "the database {place} has no connection left: close some, or raise its max_connections",
    "25006": "the database {place} takes no changes now: write to its primary server, or pass another --db",
    "42501": "the user of {place} may not do that: grant it its rights there, or pass another --db",
    "55P03": "the database {place} is locked by another program: end that program, or pass another --db",
}
_BY_WORDS = {
    "authentication failed": "the database {place} refused the user or its password: check both in the --db URL",
    "no password supplied": "the database {place} wants a password: put it into the --db URL, or into ~/.pgpass",
    "does not exist": "the database server knows no such database or user as in {place}: create it (createdb), or pass another --db",
    "Connection refused": "nothing answers at {place}: start the database server, or check host and port in --db",
    "could not translate host name": "the host of {place} is not known: check it in --db",
    "failed to resolve host": "the host of {place} is not known: check it in --db",
    "timeout expired": "the database {place} did not answer in time: check host and port in --db",
}


# What may be otherwise a little later: somebody frees space, ends a program or starts the server again.
_PASSING = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")
_PASSING_STATES = ("08", "40", "53", "55P03", "57", "25006")


class UnavailableError(StoreError):
    """The database could not be reached or written now; the same may succeed later."""


@contextmanager
def named(place: str) -> Iterator[None]:
    """Turn whatever the database driver raises inside into a `StoreError` about the database at `place`."""
    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError, zlib.error) as error:  # of what a column holds
        raise StoreError(_SENTENCES["SQLITE_CORRUPT"].format(place=place)) from error
    except (StatementError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, StatementError) else error
        if isinstance(cause, StoreError):  # a value that SQLAlchemy could not bind because we refused it
            raise cause from None
        kind = UnavailableError if _passes(cause) else StoreError
        raise kind(_sentence(cause, place)) from error


def _passes(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "").startswith(_PASSING)
    state = getattr(error, "sqlstate", None)
    # Without a state it is PostgreSQL's client that failed: nobody answered, or the connection was cut.
    return type(error).__name__ == "OperationalError" if state is None else state.startswith(_PASSING_STATES)


def _has_size_limit() -> bool:
    """Whether this process may not write files of any size."""
    try:
        import resource
    except ImportError:  # not on Windows
        return False
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def _sentence(error: BaseException | None, place: str) -> str:
    said = str(error).strip().split("\n")[0]
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_IOERR", "SQLITE_FULL")) and _has_size_limit():
        return (
            f"the database {place} cannot grow: files of this shell may not be larger (ulimit -f): "
            "raise the limit, or pass another --db"
        )
    state = getattr(error, "sqlstate", None) or ""
    for code, sentences in ((name, _SENTENCES), (state, _BY_STATE)):
        for beginning, sentence in sentences.items():
            if code.startswith(beginning):
                return sentence.format(place=place, said=said)
    if not name and not state:
        for words, sentence in _BY_WORDS.items():
            if words in str(error):
                return sentence.format(place=place)
    return f"the database {place} failed: {said}; check it, or pass another --db"
