"""Whether the file at a path is still the database that was opened there.

A process that has a file open goes on writing into it when somebody deletes it, moves it or puts another in its place: it
would take a run for saved that is nowhere.
"""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from loadgen.errors import StoreError

_MIN_BYTES = 512  # of an SQLite database that has any table
_CHECKED_FOR_S = 1.0  # at most; a database of a few hundred megabytes takes so long
_LOOK_AGAIN_S = 0.1
_STEPS_AT_ONCE = 10_000  # of SQLite's, between two looks at the time
_READ_REVISION = "SELECT version_num FROM alembic_version"
_NOT_OURS = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB)  # no such table; no database at all


class ReplacedError(StoreError):
    """The database file is not the one that was opened. `is_absent`: there is none at its path."""

    def __init__(self, message: str, *, is_absent: bool = False) -> None:
        super().__init__(message)
        self.is_absent = is_absent


@dataclass(slots=True)
class FileIdentity:
    """A database file as it was when it was opened, and as it was found when it was checked last."""

    path: Path
    device: int
    inode: int
    written_ns: int  # of the file without its log
    stands_alone: bool  # it has our tables also without its log

    @classmethod
    def of(cls, path: Path) -> "FileIdentity":
        """The file at `path` now. Raises OSError."""
        found = path.stat()
        stands_alone = _error_alone(path, _READ_REVISION) is None
        return cls(path, found.st_dev, found.st_ino, found.st_mtime_ns, stands_alone)

    def check(self) -> None:
        """Raise `ReplacedError` if another file, a damaged one or none is at the path now."""
        try:
            found = self.path.stat()
        except FileNotFoundError as error:
            raise ReplacedError(
                f"the database {self.path} was deleted or moved while it was in use: put it back, or pass another --db",
                is_absent=True,
            ) from error
        except OSError:
            return  # the write that follows fails as well, and says why
        if (found.st_dev, found.st_ino) != (self.device, self.inode):
            raise ReplacedError(
                f"the database {self.path} was replaced by another file while it was in use: put it back, or pass another --db"
            )
        if found.st_size < _MIN_BYTES:
            raise ReplacedError(
                f"the database {self.path} was emptied while it was in use: restore it from a copy, or pass another --db"
            )
        if found.st_mtime_ns != self.written_ns or not self._has_header():
            if not (self._has_header() and self._has_tables() and self._is_sound()):
                raise ReplacedError(
                    f"the database {self.path} was overwritten or damaged while it was in use: restore it from a copy, "
                    "or pass another --db"
                )
            self.written_ns = found.st_mtime_ns

    def _has_header(self) -> bool:
        """Whether it begins as an SQLite database does; the log may hide from every reader that it does not."""
        return _error_alone(self.path, "PRAGMA schema_version") != sqlite3.SQLITE_NOTADB

    def _has_tables(self) -> bool:
        """Whether our tables are still in it, looked at again for as long as somebody may be copying the log into it."""
        until_s = time.monotonic() + _CHECKED_FOR_S
        while self.stands_alone and _error_alone(self.path, _READ_REVISION) in _NOT_OURS:
            if time.monotonic() > until_s:
                return False
            time.sleep(_LOOK_AGAIN_S)
        return True

    def _is_sound(self) -> bool:
        """Whether somebody who opens it now finds it whole, as far as that can be told in a second."""
        until_s = time.monotonic() + _CHECKED_FOR_S
        try:
            with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=1.0)) as fresh:
                fresh.set_progress_handler(lambda: time.monotonic() > until_s, _STEPS_AT_ONCE)
                return bool(fresh.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        except sqlite3.OperationalError:  # locked, or stopped by the time: nothing speaks against it
            return True
        except sqlite3.DatabaseError:
            return False


def _error_alone(path: Path, query: str) -> int | None:
    """SQLite's code of the error that a query of the file without its log has; None without an error.

    `SQLITE_CORRUPT` says nothing: in the middle of a checkpoint, and after one that was killed, the first page counts pages
    that only the log has yet.
    """
    # By SQLite, for a plain close of the file would release all locks that this process has on it.
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as alone:
            alone.execute(query).fetchone()
    except sqlite3.Error as error:
        return error.sqlite_errorcode & 0xFF
    return None
