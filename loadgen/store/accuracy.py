"""Results of evaluations: rows of their own, found again by the sweep that asked for them or by the server that was evaluated.

Two servers are the same here if they serve the same weights in the same way, whenever each was started.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from loadgen.analysis.document.server import ServerDocument
from loadgen.errors import NotFoundError
from loadgen.load.spec import canonical_hash
from loadgen.store import plain, tables
from loadgen.store.rows import AccuracyRow, Evaluation, SweepRow

_TABLE = tables.AccuracyResultTable
_COLUMNS = tuple(field.name for field in fields(AccuracyRow))
_OF_LAUNCH = ("arguments", "environment", "model_source", "model_revision", "model_hash", "weights")
_OF_SERVER = ("model", "name", "version", "simulated")


def server_hash(server: ServerDocument) -> str:
    """Return what servers have in common only if one's accuracy is the other's.

    Of a server that loadgen started: its profile, arguments, weights and release. Of another one no more is known than its address,
    its model, and its name and version.
    """
    known: dict[str, object] = {key: server.get(key) for key in _OF_SERVER}
    launch = server.get("launch")
    if launch is None:
        return canonical_hash({**known, "url": server.get("url")})
    return canonical_hash({**known, "profile": server.get("profile"), **{key: launch.get(key) for key in _OF_LAUNCH}})


def add(session: Session, evaluation: Evaluation) -> None:
    server = plain.storable(evaluation.server)[0]
    for row in evaluation.rows:
        columns = {name: getattr(row, name) for name in _COLUMNS} | {"settings": plain.storable(row.settings)[0]}
        texts = {name: plain.text(value) for name, value in columns.items() if isinstance(value, str)}
        session.add(
            _TABLE(
                **columns | texts,
                name=None if evaluation.name is None else plain.text(evaluation.name),
                server_hash=server_hash(evaluation.server),
                server=server if row.sweep_id is None else None,
            )
        )


def add_imported(session: Session, sweep: SweepRow) -> None:
    """Store the results that came with an imported sweep; those of an evaluation that is here already are left out."""
    ids = {row.evaluation_id for row in sweep.accuracy}
    here = set(session.scalars(select(_TABLE.evaluation_id).where(_TABLE.evaluation_id.in_(ids)))) if ids else set()
    rows = tuple(
        row if row.sweep_id == sweep.sweep_id else replace(row, sweep_id=None)
        for row in sweep.accuracy
        if row.evaluation_id not in here
    )
    add(session, Evaluation(sweep.server, rows))


def joined(session: Session, sweeps: Sequence[SweepRow]) -> list[SweepRow]:
    """Give each sweep the results of its own evaluations, and for other tasks those of its server, in the order of their storing."""
    if not sweeps or not session.scalar(select(func.count()).select_from(_TABLE)):
        return list(sweeps)
    by_sweep: dict[str, list[AccuracyRow]] = {}
    by_server: dict[str, list[AccuracyRow]] = {}
    columns = [_TABLE.server_hash, *(getattr(_TABLE, name) for name in _COLUMNS)]
    for found_hash, *values in session.execute(select(*columns).order_by(_TABLE.result_number)):
        row = AccuracyRow(*values)
        by_server.setdefault(found_hash, []).append(row)
        if row.sweep_id is not None:
            by_sweep.setdefault(row.sweep_id, []).append(row)
    return [
        replace(
            sweep, accuracy=_together(by_sweep.get(sweep.sweep_id, []), by_server.get(server_hash(sweep.server), []))
        )
        for sweep in sweeps
    ]


def _together(own: Sequence[AccuracyRow], of_server: Sequence[AccuracyRow]) -> tuple[AccuracyRow, ...]:
    tasks = {row.task for row in own}
    return (*own, *(row for row in of_server if row.task not in tasks))


def stored(session: Session, evaluation_id: str) -> Evaluation:
    """Return an evaluation by its full id. Raises NotFoundError."""
    query = select(_TABLE).where(_TABLE.evaluation_id == evaluation_id).order_by(_TABLE.result_number)
    found = session.scalars(query).all()
    if not found:
        raise NotFoundError(
            f"there is no evaluation {evaluation_id!r} in the database", place=session.info.get("place")
        )
    rows = tuple(AccuracyRow(*(getattr(row, name) for name in _COLUMNS)) for row in found)
    return Evaluation(_server_of(session, found[0]), rows, found[0].name)


def _server_of(session: Session, result: tables.AccuracyResultTable) -> Any:
    if result.server is not None or result.sweep_id is None:
        return result.server
    return session.scalar(select(tables.SweepTable.server).where(tables.SweepTable.sweep_id == result.sweep_id))


def is_evaluated(session: Session, sweep_ids: Sequence[str], server: ServerDocument, tasks: Sequence[str]) -> bool:
    """Whether evaluations of all of these tasks on that server are part of these sweeps."""
    query = select(_TABLE.settings).where(_TABLE.sweep_id.in_(sweep_ids), _TABLE.server_hash == server_hash(server))
    found = {task for settings in session.scalars(query) for task in settings.get("tasks", ())}
    return found >= set(tasks)
