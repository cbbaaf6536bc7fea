"""The two sides of a comparison: sweeps and runs of the database, or result files, read in place."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

from loadgen.cli.commands.ids import full_id
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from loadgen.analysis.document.run import RunDocument
    from loadgen.cli.console.terminal import Terminal
    from loadgen.store.repository import Store

Side = tuple[str, "list[RunDocument]"]  # an id and its run documents


def sides(terminal: "Terminal", a: str, b: str | None) -> list[tuple[Side, Side]]:
    """A and B, or the first sweep of a group and each other one. The database is not opened for files alone.

    Raises UsageError.
    """
    if b is None:
        if is_file(a):
            raise UsageError(f"{a} alone is no comparison: name another file, sweep or run to compare it with")
        with terminal.open() as store:
            return _of_group(store, full_id(store, a))
    with ExitStack() as stack:
        opened: list[Store] = []

        def side(given: str) -> Side:
            if is_file(given):
                return _of_file(Path(given))
            if not opened:
                opened.append(stack.enter_context(terminal.open()))
            return _of_store(opened[0], given)

        return [(side(a), side(b))]


def is_file(given: str) -> bool:
    """Whether `given` names a result file and not an id or a name, which may have a slash as models' names do."""
    if given == "latest":
        return False
    return given.lower().endswith(".json") or given.startswith(("/", "./", "../")) or Path(given).is_file()


def _of_file(path: Path) -> Side:
    from loadgen.importers.importing import read_sweep

    found = read_sweep(path)
    mark = None if found.sweep.imported is None else asdict(found.sweep.imported)
    return found.sweep.sweep_id, [cast("RunDocument", run | {"imported": mark}) for run in found.runs]


def _of_group(store: "Store", found: str) -> list[tuple[Side, Side]]:
    if not found.startswith("g"):
        raise UsageError(
            f"{found} alone is no comparison: name two sweeps or runs, or a group (g…), whose sweeps are compared with its first"
        )
    members: list[Side] = [
        (sweep.sweep_id, runs) for sweep in store.group(found) if (runs := store.runs(sweep.sweep_id))
    ]
    if len(members) < 2:
        raise UsageError(
            f"the group {found} has {len(members) or 'no'} sweep{'' if len(members) == 1 else 's'} with a finished run, and comparing takes two"
        )
    return [(members[0], other) for other in members[1:]]


def _of_store(store: "Store", given: str) -> Side:
    found = full_id(store, given)
    if found.startswith("g"):
        raise UsageError(f"{found} is a group; compare it alone, or name two of its sweeps")
    runs = [store.run(found)] if found.startswith("r") else store.runs(found)
    if not runs:
        raise UsageError(f"the sweep {found} has no finished run, so there is nothing to compare")
    return found, runs
