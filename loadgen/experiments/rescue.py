"""Where a run goes that its database does not take: its document to a JSON file, all of it to a database of its own."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadgen.experiments.bench import MeasuredRun
from loadgen.load.disk import bulk_folder
from loadgen.servers.launcher.place import state_folder
from loadgen.store import guard, plain
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow


def rescue(
    store: Store, sweep: SweepRow, documents: Sequence[dict[str, Any]], unsaved: MeasuredRun
) -> tuple[Path | None, Path | None]:
    """Write the documents of the sweep's runs, the unsaved one among them, to a JSON file; and it with its requests to a database.

    Returns the two files; None for one that could be written nowhere.
    """
    name = f"loadgen-rescued-{unsaved.document['run_id']}"

    def write_database(path: Path) -> None:
        with Store.open(f"sqlite:///{path}") as rescued:
            rescued.add_sweep(sweep)
            rescued.add_run(
                sweep.sweep_id, unsaved.document, unsaved.records, unsaved.samples, unsaved.gpus, unsaved.outline
            )
            rescued.set_sweep_status(sweep.sweep_id, "interrupted")

    document = _write_results(store, sweep, documents, f"{name}.json")
    return document, _first(store, f"{name}.db", write_database)


def rescue_results(store: Store, sweep: SweepRow, documents: Sequence[dict[str, Any]]) -> Path | None:
    """Write the documents of the sweep's runs to a JSON file. Returns it; None when it could be written nowhere."""
    return _write_results(store, sweep, documents, f"loadgen-rescued-{sweep.sweep_id}-{secrets.token_hex(2)}.json")


def _write_results(store: Store, sweep: SweepRow, documents: Sequence[dict[str, Any]], name: str) -> Path | None:
    sweep_document = asdict(sweep) | {"status": "interrupted"}
    del sweep_document["runs"]
    text = plain.write_json(
        {"schema_version": 1, **sweep_document, "runs": [guard.guarded(each) for each in documents]}
    )

    def write_document(path: Path) -> None:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    return _first(store, name, write_document)


def _first(store: Store, name: str, write: Callable[[Path], None]) -> Path | None:
    """The first file that could be written, of those that come into question."""
    for folder in _folders(store):
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write(path)
        except FileExistsError:
            continue
        except Exception:  # whatever stands against this place, the next one is tried
            for each in folder.glob(f"{name}*") if folder.is_dir() else ():
                with suppress(OSError):
                    each.unlink()
            continue
        return path
    return None


def _folders(store: Store) -> Iterator[Path]:
    """Next to the database, else in the state folder, else wherever something can be written."""
    if store.path is not None:
        yield store.path.parent
    yield state_folder()
    yield bulk_folder()
    yield from (Path("/var/tmp"), Path.cwd(), Path("/dev/shm"))
