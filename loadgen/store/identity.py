"""Whether the file at a path is still the database that was opened there. Imports `errors`.

A process that has a file open goes on writing into it when somebody deletes it, moves it or puts another in its place: it
would take a run for saved that is nowhere.
"""

from dataclasses import dataclass
from pathlib import Path

from loadgen.errors import StoreError

_SMALLEST_BYTES = 512  # of an SQLite database that has any table


class ReplacedError(StoreError):
    """The database file is not the one that was opened. `is_absent`: there is none at its path."""

    def __init__(self, message: str, *, is_absent: bool) -> None:
        super().__init__(message)
        self.is_absent = is_absent


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """A database file as it was when it was opened."""

    path: Path
    device: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "FileIdentity":
        """The file at `path` now. Raises OSError."""
        found = path.stat()
        return cls(path, found.st_dev, found.st_ino)

    def check(self) -> None:
        """Raise `ReplacedError` if another file, a damaged one or none is at the path now."""
        try:
            found = self.path.stat()
        except FileNotFoundError as error:
            raise ReplacedError(
                f"The database {self.path} was deleted or moved while it was in use: put it back, or pass another --db.",
                is_absent=True,
            ) from error
        except OSError:
            return  # the write that follows fails as well, and says why
        if (found.st_dev, found.st_ino) != (self.device, self.inode):
            raise ReplacedError(
                f"The database {self.path} was replaced by another file while it was in use: put it back, or pass another --db.",
                is_absent=False,
            )
        if found.st_size < _SMALLEST_BYTES:
            raise ReplacedError(
                f"The database {self.path} was emptied while it was in use: restore it from a copy, or pass another --db.",
                is_absent=False,
            )
