"""From a file to a sweep that the store takes, marked with where it came from. Imports errors, store and this room.

Which format a file has would be decided here; there is one.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadgen.errors import UsageError
from loadgen.imports import own
from loadgen.imports.file import read_file, shown
from loadgen.store.rows import ImportMark, SweepRow


@dataclass(frozen=True, slots=True)
class FoundSweep:
    """A sweep of a file, ready for `Store.add_imported`."""

    sweep: SweepRow
    runs: list[dict[str, Any]]


def read_sweep(path: Path) -> FoundSweep:
    """The sweep in the file at `path`. Raises UsageError in one sentence that names the file and what is wrong with it."""
    file = read_file(path)
    try:
        sweep, runs = own.measured(file.document)
    except UsageError as error:
        raise UsageError(f"{shown(path)} {error}") from None
    mark = ImportMark(file.name, file.sha256, datetime.now(UTC).isoformat())
    return FoundSweep(replace(sweep, imported=mark), runs)
