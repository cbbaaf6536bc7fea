"""The jobs of the service, in a store: what was asked for, in which order, and what became of it.

Every change is one transaction that looks at the job's status first, so that two who want to change a job do not undo each
other: the second is told that it came too late. A service changes nothing once another works on the queue.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, cast

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from loadgen.errors import NotFoundError
from loadgen.store import plain, queue_claim, tables
from loadgen.store.repository import Store
from loadgen.store.rows import JobRow, JobStanding, JobStatus, QueueOwner, SweepRow
from loadgen.store.run_figures import STATUSES, run_counts
from loadgen.store.sweep_progress import SweepsProgress

_NOWHERE = JobStanding()


class Jobs:
    """The jobs in a store, of which the repository hands out the sessions.

    With an `owner`, changes raise `ClaimLostError` if the queue is another's.
    """

    def __init__(self, store: Store, owner: QueueOwner | None = None) -> None:
        self._store = store
        self._owner = owner

    def add(self, job: JobRow) -> None:
        """Put a job at the end of the queue."""
        with self._changes() as session:
            columns = asdict(job) | {"name": plain.text(job.name)}
            session.add(tables.JobTable(**columns, queued_number=_next_place(session)))

    def job(self, job_id: str) -> JobRow:
        """The job of that id, or of that beginning of an id when only one fits. Raises `NotFoundError`."""
        query = select(tables.JobTable).where(tables.JobTable.job_id.startswith(job_id, autoescape=True))
        with self._store._read() as session:
            fitting = list(session.scalars(query.order_by(tables.JobTable.job_id).limit(2)))
            if not fitting or (len(fitting) > 1 and fitting[0].job_id != job_id):
                raise NotFoundError(_unknown(job_id, several=bool(fitting)))
            return _row(fitting[0])

    def newest(self, *, limit: int, before: str | None = None, spec_hash: str | None = None) -> list[JobRow]:
        """At most `limit` jobs, the newest first; with `before`, those older than that job. Raises `NotFoundError`."""
        query = select(tables.JobTable).order_by(tables.JobTable.job_number.desc()).limit(limit)
        with self._store._read() as session:
            if before is not None:
                query = query.where(tables.JobTable.job_number < _stored(session, before).job_number)
            if spec_hash is not None:
                query = query.where(tables.JobTable.spec_hash == spec_hash)
            return [_row(job) for job in session.scalars(query)]

    def of_status(self, status: JobStatus) -> list[JobRow]:
        """All jobs of that status, in the order of the queue."""
        query = select(tables.JobTable).where(tables.JobTable.status == status)
        in_order = query.order_by(tables.JobTable.queued_number, tables.JobTable.job_number)
        with self._store._read() as session:
            return [_row(job) for job in session.scalars(in_order)]

    def sweep_of(self, job: JobRow) -> SweepRow | None:
        """The sweep that the job measures into; None before its server has answered."""
        return None if job.sweep_id is None else self._store.sweep(job.sweep_id)

    def standings(self, jobs: Sequence[JobRow]) -> list[JobStanding]:
        """How each of these jobs stands, in their order, with the same few queries however many they are."""
        sweep_ids = [job.sweep_id for job in jobs if job.sweep_id is not None]
        progress = SweepsProgress(self._store).of(
            [job.sweep_id for job in jobs if job.status == "running" and job.sweep_id is not None]
        )
        with self._store._read() as session:
            places = _places(session) if any(job.status == "queued" for job in jobs) else {}
            runs = _runs(session, sweep_ids) if sweep_ids else {}
        return [
            replace(
                places.get(job.job_id, _NOWHERE) if job.status == "queued" else _NOWHERE,
                **runs.get(job.sweep_id or "", {}),
                progress=progress.get(job.sweep_id or ""),
            )
            for job in jobs
        ]

    def count(self, status: JobStatus) -> int:
        query = select(func.count()).select_from(tables.JobTable).where(tables.JobTable.status == status)
        with self._store._read() as session:
            return session.scalar(query) or 0

    def change(self, job_id: str, now: Sequence[JobStatus], **columns: Any) -> JobRow | None:
        """Set these columns of the job of exactly that id if its status is one of `now`; None, and no change, if it is not.

        Raises `NotFoundError`.
        """
        with self._changes() as session:
            job = _stored(session, job_id, lock=True)
            if job.status not in now:
                return None
            for name, value in columns.items():
                setattr(job, name, plain.text(value) if isinstance(value, str) else value)
            return _row(job)

    def queue_again(self, job_id: str) -> JobRow | None:
        """Put a job that ended early at the end of the queue, for another attempt; None when there is nothing to go on with.

        Raises `NotFoundError`.
        """
        with self._changes() as session:
            job = _stored(session, job_id, lock=True)
            if not _row(job).is_resumable:
                return None
            job.status, job.attempts, job.cancel_requested = "queued", job.attempts + 1, False
            job.started_at = job.ended_at = job.exit_code = job.message = None
            job.queued_number = _next_place(session)
            return _row(job)

    @contextmanager
    def _changes(self) -> Iterator[Session]:
        with self._store._write() as session:
            if self._owner is not None:
                queue_claim.check(session, self._owner)
            yield session


def _places(session: Session) -> dict[str, JobStanding]:
    """The place of each queued job in the queue of its server, and which job it waits for."""
    job = tables.JobTable
    query = select(job.job_id, job.name, job.status, job.target).where(job.status.in_(("running", "queued")))
    order = (case((job.status == "running", 0), else_=1), job.queued_number, job.job_number)
    places: dict[str, JobStanding] = {}
    last: dict[str, tuple[str, str, JobStatus]] = {}  # by server: the job that came last so far
    waiting: Counter[str] = Counter()
    for job_id, name, status, target in session.execute(query.order_by(*order)):
        if status == "queued":
            waiting[target] += 1
            places[job_id] = JobStanding(waiting[target], *last.get(target, ()))
        last[target] = (job_id, name, status)
    return places


def _runs(session: Session, sweep_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By sweep, what a standing says of its runs so far."""
    counted = run_counts(tables.RunTable.sweep_id.in_(sweep_ids)).subquery()
    counts = [func.coalesce(counted.c[name], 0) for name in ("runs", "cut_short", *STATUSES)]
    query = (
        select(tables.SweepTable.sweep_id, tables.SweepTable.simulated, *counts)
        .outerjoin(counted, counted.c.sweep_id == tables.SweepTable.sweep_id)
        .where(tables.SweepTable.sweep_id.in_(sweep_ids))
    )
    return {
        sweep_id: {
            "ended_runs": runs - cut_short,
            "cut_short_runs": cut_short,
            "valid_runs": valid,
            "doubtful_runs": doubtful,
            "invalid_runs": invalid,
            "simulated": simulated,
        }
        for sweep_id, simulated, runs, cut_short, valid, doubtful, invalid in session.execute(query)
    }


def _row(job: tables.JobTable) -> JobRow:
    return JobRow(**{name: getattr(job, name) for name in JobRow.__dataclass_fields__})


def _next_place(session: Session) -> int:
    return cast(int, session.scalar(select(func.coalesce(func.max(tables.JobTable.queued_number), 0)))) + 1


def _stored(session: Session, job_id: str, *, lock: bool = False) -> tables.JobTable:
    query = select(tables.JobTable).where(tables.JobTable.job_id == job_id)
    job = session.scalar(query.with_for_update() if lock else query)  # SQLite's writers have the whole database anyway
    if job is None:
        raise NotFoundError(_unknown(job_id, several=False))
    return job


def _unknown(job_id: str, *, several: bool) -> str:
    if several:
        return f"several jobs begin with {job_id!r}: write more of the id"
    return f"there is no job {job_id!r} in the database"
