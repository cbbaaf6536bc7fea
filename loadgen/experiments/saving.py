"""Saving what a sweep measures, whatever its database does: wait, retry, and at last write to a file."""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.sweep import SearchDocument, SweepStatus
from loadgen.errors import LoadgenError, StoreError, UsageError
from loadgen.experiments.events import DatabaseRestored, OnEvent, SavingDelayed
from loadgen.experiments.interrupts import Stop
from loadgen.experiments.run_document import MeasuredRun
from loadgen.load.disk import bulk_folder
from loadgen.servers.launcher.state import state_folder
from loadgen.store import plain
from loadgen.store.failures import UnavailableError
from loadgen.store.identity import ReplacedError
from loadgen.store.recovery import bring_back
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow, sweep_json

SAVE_WITHIN_S = 300.0
SAVE_WITHIN_VARIABLE = "LOADGEN_SAVE_WITHIN_S"
_FIRST_WAIT_S, _MAX_WAIT_S = 0.5, 10.0
_POLL_S = 0.1  # how soon an interrupt is noticed while waiting


class UnsavedError(StoreError):
    """A run was measured and is not in the database."""


def save_within_s(environ: Mapping[str, str]) -> float:
    """How long to go on trying to save a run. Raises UsageError."""
    given = environ.get(SAVE_WITHIN_VARIABLE)
    try:
        seconds = SAVE_WITHIN_S if given is None else float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise UsageError(
            f"the environment variable {SAVE_WITHIN_VARIABLE} is {given!r}, which is no number of seconds up to 86400: write 300"
        )
    return seconds


@dataclass(slots=True)
class Keeper:
    """Saves the runs of one sweep. `documents` has those of all runs that it was given, saved or not."""

    store: Store
    sweep: SweepRow
    stop: Stop
    on_event: OnEvent
    within_s: float = SAVE_WITHIN_S
    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    documents: list[RunDocument] = field(default_factory=list, init=False)

    def keep(self, run: MeasuredRun, position: int, planned: int) -> RunDocument:
        """Save a run and return its document as it was stored.

        Raises UnsavedError, which names the run and the file that it was written to, when the database does not take it.
        """
        run_id = str(run.document["run_id"])
        self.documents.append(plain.guarded(run.document))

        def write() -> None:
            # A connection lost while a transaction was committed leaves open whether it was.
            if not (attempts and self.store.has_run(run_id)):
                attempts.append(run_id)
                self.documents[-1] = self.store.add_run(
                    self.sweep.sweep_id,
                    run.document,
                    run.records,
                    samples=run.samples,
                    gpus=run.gpus,
                    outline=run.outline,
                )
            if not self.store.has_run(run_id):
                raise StoreError(f"the database {self.store.place} has lost what was just written to it: check it")

        attempts: list[str] = []
        try:
            self._persist(write)
        except Exception as error:
            raise self._lost(run, f"run {position} of {planned} ({run_id})", error) from error
        return self.documents[-1]

    def set_search(self, search: SearchDocument) -> None:
        """Store what the search has found so far. Raises StoreError when the database does not take it in time."""
        self._persist(lambda: self.store.set_search(self.sweep.sweep_id, search))

    def set_status(self, status: SweepStatus, planned_runs: int | None = None) -> None:
        """Store the status of the sweep. Raises UnsavedError, which names the file with its results, when the database does not take it."""
        try:
            self._persist(lambda: self.store.set_sweep_status(self.sweep.sweep_id, status, planned_runs))
        except StoreError as error:
            document = rescue_results(self.store, self.sweep, self.documents) if self.documents else None
            where = "" if document is None else f" The results of its runs are in {document} too"
            raise UnsavedError(f"the sweep {self.sweep.sweep_id} is not marked as {status}: {error}{where}") from error

    def results(self) -> tuple[RunDocument, ...]:
        """Return the documents of the runs in the order in which they ran, unsaved ones included."""
        try:
            stored: list[RunDocument] = self.store.runs(self.sweep.sweep_id)
        except StoreError:
            return tuple(self.documents)
        known = {each["run_id"] for each in stored}
        latest = {each["spec"]["hash"] for each in stored}
        return (
            *stored,
            *(each for each in self.documents if each["run_id"] not in known and each["spec"]["hash"] not in latest),
        )

    def _persist(self, write: Callable[[], None]) -> None:
        """Call `write`, and retry while the database is unavailable, until the time is over or the user interrupts."""
        begun_s, wait_s = self.now_s(), _FIRST_WAIT_S
        interrupts = None
        while True:
            try:
                try:
                    write()
                except ReplacedError as replaced:
                    if not replaced.is_absent:
                        raise
                    self._restore(replaced)
                    write()
                return
            except UnavailableError as error:
                if interrupts is None:
                    interrupts = self.stop.requests
                    self.on_event(SavingDelayed(str(error), self.within_s))
                elif self.stop.requests > interrupts:
                    raise
                left_s = self.within_s - (self.now_s() - begun_s)
                if left_s <= 0 or self._wait(min(wait_s, left_s), interrupts):
                    raise
                wait_s = min(2 * wait_s, _MAX_WAIT_S)
                self.store.reconnect_if_remote()

    def _wait(self, wait_s: float, interrupts: int) -> bool:
        """Wait for `wait_s`; return whether the user interrupted."""
        until_s = self.now_s() + wait_s
        while (left_s := until_s - self.now_s()) > 0:
            if self.stop.requests > interrupts:
                return True
            self.sleep(min(_POLL_S, left_s))
        return False

    def _restore(self, replaced: ReplacedError) -> None:
        try:
            bring_back(self.store)
        except OSError as error:
            raise StoreError(f"{replaced}; it cannot be written there again: {error.strerror or error}") from error
        self.on_event(DatabaseRestored(self.store.place))

    def _lost(self, run: MeasuredRun, what: str, error: Exception) -> UnsavedError:
        document, database = rescue(self.store, self.sweep, self.documents, run)
        why = str(error) if isinstance(error, LoadgenError) else f"{type(error).__name__}: {error}"
        if document is None:
            return UnsavedError(f"{what} is not saved, and its result could be written nowhere: {why}")
        whole = (
            ""
            if database is None
            else f", and with its requests in {database} (show it with --db sqlite:///{database})"
        )
        return UnsavedError(f"{what} is not in the database: {why}; its result is in {document}{whole}")


def rescue(
    store: Store, sweep: SweepRow, documents: Sequence[RunDocument], unsaved: MeasuredRun
) -> tuple[Path | None, Path | None]:
    """Write the documents of the runs, the unsaved one included, to a JSON file, and that one with its requests to a database.

    Return both files; None for one that could not be written anywhere.
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


def rescue_results(store: Store, sweep: SweepRow, documents: Sequence[RunDocument]) -> Path | None:
    """Write the documents of the runs to a JSON file and return it; None if it could not be written anywhere."""
    return _write_results(store, sweep, documents, f"loadgen-rescued-{sweep.sweep_id}-{secrets.token_hex(2)}.json")


def _write_results(store: Store, sweep: SweepRow, documents: Sequence[RunDocument], name: str) -> Path | None:
    sweep_document = {key: value for key, value in sweep_json(sweep).items() if key != "runs"} | {
        "status": "interrupted"
    }
    text = plain.write_json(
        {"schema_version": 1, **sweep_document, "runs": [plain.guarded(each) for each in documents]}
    )

    def write_document(path: Path) -> None:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    return _first(store, name, write_document)


def _first(store: Store, name: str, write: Callable[[Path], None]) -> Path | None:
    """Write `name` into the first folder that takes it, and return the file; None if no folder does."""
    for folder in _folders(store):
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write(path)
        except FileExistsError:
            continue
        except Exception:  # whatever is wrong with this folder, the next one is tried
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
