"""The store as the dashboard sees it: opened for reading, for one request at a time.

A database that does not exist yet is no error: it is one without sweeps. One that was there and is gone is an error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from loadgen.errors import NotFoundError, StoreError
from loadgen.store.claim import is_held
from loadgen.store.database import shown_url
from loadgen.store.repository import Store
from loadgen.store.rows import ProgressRow, RunFigures, SweepRow
from loadgen.store.sweep_progress import SweepsProgress


@dataclass(slots=True)
class DashboardStore:
    url: str
    was_there: bool = False

    def open(self) -> Store:
        """The store, for reading. Raises `NotFoundError` while there is none yet, and `StoreError` when it is there no more."""
        try:
            store = Store.open(self.url, read_only=True)
        except NotFoundError as absent:
            if self.was_there:
                raise StoreError(
                    f"the database {shown_url(self.url)} was there and is gone: bring it back, or start the dashboard on another"
                ) from absent
            raise
        self.was_there = True
        return store

    def open_if_there(self) -> Store | None:
        """The store, for reading; None while there is none yet. Raises `StoreError` when it is there no more."""
        try:
            return self.open()
        except NotFoundError:
            return None

    def progress(self, sweeps: Sequence[SweepRow]) -> dict[str, ProgressRow]:
        """How those of the sweeps stand that are being measured, by their ids. Raises `StoreError`.

        Among them the latest of a group whose next server is starting.
        """
        status = {sweep.sweep_id: sweep.status for sweep in sweeps}
        if not status:
            return {}
        with self.open() as store:
            rows = SweepsProgress(store).all()
        return {
            sweep_id: row for sweep_id, row in rows.items() if status.get(sweep_id) == "running" or is_held(sweep_id)
        }

    def run_figures(self, sweeps: Sequence[SweepRow]) -> list[RunFigures]:
        """The runs of these sweeps with the figures that a list shows, by one query. Raises `StoreError`."""
        if not sweeps:
            return []
        with self.open() as store:
            return store.run_figures([sweep.sweep_id for sweep in sweeps])

    def sweeps(self) -> tuple[list[SweepRow], str]:
        """All sweeps, newest first, and in their absence a sentence that says why. Raises `StoreError`."""
        try:
            opened = self.open()
        except NotFoundError as absent:
            return [], str(absent)
        with opened as store:
            return store.sweeps(), "Nothing has been measured yet."


def reading(request: Request) -> Iterator[Store]:
    """The store, for one request. Raises `StoreError`."""
    database: DashboardStore = request.app.state.database
    with database.open() as store:
        yield store


Reading = Annotated[Store, Depends(reading)]
