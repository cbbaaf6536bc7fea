"""Where words go: results to stdout, everything else to stderr; and the settings which every command shares.

Colours are Rich's affair: it obeys NO_COLOR and leaves pipes plain.
"""

import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from loadgen.cli.console.streams import clean_json, one_line, rich_file

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from loadgen.store.repository import Store

_FILE_NAME = "loadgen.db"
DEFAULT_DB = f"sqlite:///{_FILE_NAME}"
PIPE_WIDTH = 120  # columns of a table that goes to a file or a pipe


@dataclass(frozen=True, slots=True)
class Globals:
    """Flags given before the command's name, where they are allowed as well."""

    db: str | None = None
    quiet: bool = False
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Terminal:
    """What one command knows of its surroundings."""

    db: str
    quiet: bool
    verbose: bool
    _announcements: list[str] = field(default_factory=list)  # what to say once the database takes a result

    @classmethod
    def of(cls, context: typer.Context, db: str | None, quiet: bool, verbose: bool) -> "Terminal":
        """The flags of the command, else those before its name, else the environment, else the default."""
        before = context.find_object(Globals) or Globals()
        chosen = db or before.db or os.environ.get("LOADGEN_DB") or default_db()
        return cls(chosen, quiet or before.quiet, verbose or before.verbose)

    @property
    def db_flag(self) -> str:
        """` --db URL` for a command to type next, a password hidden; empty where the next command finds the same database by itself."""
        return "" if self.db == (os.environ.get("LOADGEN_DB") or default_db()) else f" --db {self.shown_db}"

    @property
    def shown_db(self) -> str:
        """The database's URL without a password."""
        from loadgen.store.database import shown_url

        return shown_url(self.db)

    def open(self) -> "Store":
        """The database, to read what is on record. Raises StoreError."""
        from loadgen.store.repository import Store

        return Store.open(self.db, read_only=True)

    def open_to_write(self) -> "Store":
        """The database, created if it is not there; `announce` says so when a result is kept. Raises StoreError."""
        from loadgen.store.repository import Store

        existed = self.has_database
        store = Store.open(self.db)
        if not existed:
            self._announcements.append(f"new database {store.place}")
        elif self.db.startswith("sqlite:////") and self.db == default_db():
            self._announcements.append(f"database {store.place}")
        return store

    @contextmanager
    def open_for_results(self) -> Iterator["Store"]:
        """The database, to keep a result in. A new one that the command leaves empty is removed if it fails and nobody else uses it.

        Raises StoreError.
        """
        from loadgen.errors import LoadgenError
        from loadgen.store.database import remove_unused, sqlite_path

        existed = self.has_database
        with self.open_to_write() as store:
            try:
                yield store
            except LoadgenError:
                store.close()
                if not existed and (path := sqlite_path(self.db)) is not None and path.exists():
                    remove_unused(path)
                raise

    def announce(self) -> None:
        """Say, once, which database is new, or was found above the working directory."""
        while self._announcements:
            self.note(self._announcements.pop())

    @property
    def has_database(self) -> bool:
        """Whether the file of an SQLite database is there; PostgreSQL's is never new."""
        from loadgen.store.database import sqlite_path

        path = sqlite_path(self.db)
        return path is None or path.exists()

    def note(self, text: str) -> None:
        """A line on stderr, unless -q."""
        if not self.quiet:
            sys.stderr.write(f"{text}\n")


def echo(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(f"{text}\n")


def warn(text: str) -> None:
    """A failure or a warning in one line on stderr, also with -q."""
    sys.stderr.write(f"loadgen: {one_line(text)}\n")


def write_bytes(content: bytes) -> None:
    """A file's content to stdout: as it is to a file or a pipe, and clean to a terminal."""
    if sys.stdout.isatty():
        sys.stdout.write(content.decode(errors="replace"))
        return
    checked = rich_file(sys.stdout)
    if checked is not None:
        checked.write_bytes(content)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)


def stdout() -> "Console":
    from loadgen.cli.console.clean_console import clean_console

    console = clean_console()
    return console if console.is_terminal else clean_console(width=_pipe_width())


def stderr() -> "Console":
    from loadgen.cli.console.clean_console import clean_console

    return clean_console(stderr=True)


def show(renderable: "RenderableType") -> None:
    """A result for people."""
    stdout().print(renderable)


def show_json(document: Mapping[str, object]) -> None:
    """A result for programs: one document. A NaN would be a mistake of ours and is refused."""
    sys.stdout.write(clean_json(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)) + "\n")


def _pipe_width() -> int:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdigit() and int(columns) > 20 else PIPE_WIDTH


def default_db() -> str:
    """The nearest `loadgen.db` from the working directory upwards, else a new one in the working directory."""
    found = _upwards()
    return DEFAULT_DB if found is None else f"sqlite:///{found}"


def _upwards() -> Path | None:
    """The database above the working directory; None if the working directory has one, or no directory has.

    The search ends at the home directory, or at the root of the file system. A file that somebody else has put into a
    directory where everyone may write is passed over.
    """
    try:
        start, home = Path.cwd(), Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home raises without a home)
    except OSError:  # the working directory is gone
        return None
    if (start / _FILE_NAME).exists() or start == home:
        return None
    for folder in start.parents:
        candidate = folder / _FILE_NAME
        if _is_ours(candidate):
            return candidate
        if folder == home:
            return None
    return None


def _is_ours(path: Path) -> bool:
    try:
        found, folder = path.stat(), path.parent.stat()
    except OSError:
        return False
    is_shared = bool(folder.st_mode & stat.S_IWOTH)
    return stat.S_ISREG(found.st_mode) and (not is_shared or found.st_uid == os.geteuid())
