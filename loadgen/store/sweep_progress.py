"""How the sweeps that are being measured stand, in a store.

What is written here is for who watches and lost without harm, so that it never waits for a lock: a database that is busy is
told of as a `StoreError` at once.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import delete, select

from loadgen.store import tables
from loadgen.store.claim import is_held
from loadgen.store.repository import INSERT, Store
from loadgen.store.rows import ProgressDocument, ProgressRow


class SweepsProgress:
    """The rows of progress in a store, one for each sweep that is being measured. May be used from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, sweep_id: str, document: ProgressDocument) -> None:
        """How that sweep stands now, in place of what was said before. Raises `StoreError`, also when the database is busy."""
        row = {"updated_at": datetime.now(UTC).isoformat(), "document": document}
        with self._store._hasty() as session:
            add = INSERT[session.get_bind().dialect.name](tables.SweepProgressTable).values(sweep_id=sweep_id, **row)
            session.execute(add.on_conflict_do_update(index_elements=["sweep_id"], set_=row))

    def remove(self, sweep_id: str) -> None:
        """The sweep is not being measured any more. Raises `StoreError`, also when the database is busy."""
        with self._store._hasty() as session:
            session.execute(delete(tables.SweepProgressTable).where(tables.SweepProgressTable.sweep_id == sweep_id))

    def all(self) -> dict[str, ProgressRow]:
        """What is known of any sweep, by its id; likewise."""
        with self._store._read() as session:
            return {row.sweep_id: _row(row) for row in session.scalars(select(tables.SweepProgressTable))}

    def going_on(self) -> dict[str, ProgressRow]:
        """Those of sweeps that a process of this machine holds: measured now, or the latest of a group that goes on."""
        return {sweep_id: row for sweep_id, row in self.all().items() if is_held(sweep_id)}

    def of(self, sweep_ids: Sequence[str]) -> dict[str, ProgressRow]:
        """What is known of those sweeps, by their ids. Of one whose process was killed, it is what was said last."""
        if not sweep_ids:
            return {}
        with self._store._read() as session:
            query = select(tables.SweepProgressTable).where(tables.SweepProgressTable.sweep_id.in_(sweep_ids))
            return {row.sweep_id: _row(row) for row in session.scalars(query)}


def _row(row: tables.SweepProgressTable) -> ProgressRow:
    return ProgressRow(row.sweep_id, row.updated_at, cast(ProgressDocument, row.document))
