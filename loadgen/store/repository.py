"""The store: the only code that opens a database session.

Each method is one transaction. A run is there with all its requests and samples, or it is not there at all. Run documents
come back as they went in; those of an imported sweep carry its mark as `imported`, and have no requests. Every failure is a
`StoreError` of one sentence.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Table, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from loadgen.analysis.document.doctor import DoctorDocument
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.server import ServerDocument
from loadgen.analysis.document.sweep import SearchDocument, SweepStatus
from loadgen.analysis.outline.run_outline import Outline
from loadgen.analysis.server.gpu import GpuSeries
from loadgen.engine.records.record import Records
from loadgen.engine.records.record_parts import joined
from loadgen.errors import NotFoundError, StoreError
from loadgen.load.shapes import shape_from_json
from loadgen.load.spec import canonical_hash
from loadgen.store import accuracy, blobs, failures, plain, request_rows, run_figures, schema, tables
from loadgen.store.claim import is_abandoned
from loadgen.store.database import Database, connect
from loadgen.store.identity import FileIdentity
from loadgen.store.rows import Evaluation, ImportMark, RunFigures, ServerSample, SweepRow
from loadgen.store.run_figures import STATUSES, latest_attempts, run_counts

INSERT: dict[str, Callable[..., Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
# Those of a `SweepRow` that are columns of its table as they are.
_SWEEP_COLUMNS = (
    *("sweep_id", "name", "spec", "spec_hash", "planned_runs", "status", "simulated", "created_at"),
    *("server", "group_id", "start_failure", "search"),
)
_MAX_VALUES = 5_000  # in one query; SQLite and PostgreSQL refuse more than about 32,000


class Store:
    """A database of sweeps and runs. May be used from several threads; SQLite lets one of them write at a time."""

    def __init__(self, database: Database, *, read_only: bool) -> None:
        self._database = database
        self._read_only = read_only
        self._identity: FileIdentity | None = None

    @classmethod
    def open(cls, url: str, *, read_only: bool = False) -> "Store":
        """Open `sqlite:///FILE` or `postgresql://…`; creates and migrates it unless `read_only`.

        Raises `StoreError` when it cannot be opened or written, is no database of ours, or has a newer schema;
        `NotFoundError` when it is to be read and there is none yet.
        """
        database = connect(url, read_only=read_only)
        with failures.named(database.place):
            schema.prepare(database, read_only=read_only)
        store = cls(database, read_only=read_only)
        store._note_identity()
        return store

    @property
    def place(self) -> str:
        """Where the database is, for messages: a path, or a URL without its password."""
        return self._database.place

    @property
    def path(self) -> Path | None:
        """The database's file; None for PostgreSQL."""
        return self._database.path

    def close(self) -> None:
        self._database.reading.dispose()

    reconnect = close
    """The next use opens new connections."""

    def reconnect_if_remote(self) -> None:
        """Open new connections at the next use, but for SQLite, whose open file is all that is left if somebody deleted it."""
        if self.path is None:
            self.reconnect()

    def has_run(self, run_id: str) -> bool:
        """Whether a reader who opens the database now finds that run in it, and the file whole. Raises `StoreError`."""
        if self._database.path is None:
            return self._holds(run_id)
        if self._identity is not None:
            self._identity.check()
        with Store.open(f"sqlite:///{self._database.path}", read_only=True) as fresh:
            return fresh._holds(run_id)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def add_sweep(self, sweep: SweepRow) -> None:
        """Store a sweep before its first run. Raises `StoreError` when there is one of that id."""
        with self._write() as session:
            _add_sweep(session, sweep)

    def add_imported(self, sweep: SweepRow, runs: Sequence[Any]) -> bool:
        """Store a sweep that was measured elsewhere with all its runs, in one transaction. False: it is there already.

        Its requests and samples stayed where it was measured. Raises `StoreError` when another content has its id, or that
        of one of its runs.
        """
        runs = [plain.guarded(document) for document in runs]
        for stored in self._sweep_rows(tables.SweepTable.sweep_id == sweep.sweep_id):
            if _content(stored, self.runs(sweep.sweep_id)) == _content(sweep, runs):
                return False
            raise StoreError(
                f"the sweep {sweep.sweep_id} is in {self._database.place} with another content: pass another --db to see both"
            )
        with self._write() as session:
            _add_sweep(session, sweep)
            for document in runs:
                _add_run(session, sweep.sweep_id, document)
            accuracy.add_imported(session, sweep)
        return True

    def set_sweep_status(self, sweep_id: str, status: SweepStatus, planned_runs: int | None = None) -> None:
        """Say how the sweep of exactly that id stands, and how many runs it turned out to need. Raises `NotFoundError`."""
        with self._write() as session:
            sweep = _stored_sweep(session, sweep_id)
            sweep.status = status
            if planned_runs is not None:
                sweep.planned_runs = planned_runs

    def set_search(self, sweep_id: str, search: SearchDocument) -> None:
        """Keep what the search of exactly that id has found so far. Raises `NotFoundError`."""
        with self._write() as session:
            _stored_sweep(session, sweep_id).search = cast(tables.JsonObject, search)

    def add_run(
        self,
        sweep_id: str,
        document: RunDocument,
        records: Records,
        samples: Sequence[ServerSample] = (),
        gpus: Sequence[GpuSeries] = (),
        outline: Outline | None = None,
    ) -> RunDocument:
        """Store a run which has ended, in one transaction. Returns its document as stored: see `plain.guarded`.

        Raises `NotFoundError` for an unknown sweep.
        """
        outline, left_out = plain.storable(outline, "outline")
        document = plain.guarded(document, left_out)
        with self._write() as session:
            _stored_sweep(session, sweep_id)
            run = _add_run(session, sweep_id, document)
            rows = request_rows.to_rows(records, run.run_number)
            while batch := list(islice(rows, request_rows.ROWS_AT_ONCE)):
                session.execute(insert(cast(Table, tables.RequestTable.__table__)), batch)
            for number, sample in enumerate(samples):
                session.add(
                    tables.ServerSampleTable(
                        run_number=run.run_number,
                        sample_number=number,
                        at_ns=sample.at_ns,
                        values=plain.finite(sample.values),
                    )
                )
            for number, gpu in enumerate(gpus):
                session.add(
                    tables.GpuReadingsTable(
                        run_number=run.run_number,
                        gpu_number=number,
                        device=plain.storable(gpu.device)[0],
                        readings=blobs.encode_readings(gpu.columns),
                    )
                )
            if outline is not None:
                session.add(tables.RunOutlineTable(run_number=run.run_number, outline=blobs.encode_outline(outline)))
        return document

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """Store all results of an evaluation, in one transaction. Raises `NotFoundError` for an unknown sweep."""
        with self._write() as session:
            for sweep_id in {row.sweep_id for row in evaluation.rows if row.sweep_id is not None}:
                _stored_sweep(session, sweep_id)
            accuracy.add(session, evaluation)

    def evaluation(self, evaluation_id: str) -> Evaluation:
        """The evaluation of that id, or of that beginning of an id when only one fits. Raises `NotFoundError`."""
        with self._read() as session:
            column = tables.AccuracyResultTable.evaluation_id
            return accuracy.stored(session, _resolve(session, "evaluation", column, evaluation_id))

    def is_evaluated(self, sweep_ids: Sequence[str], server: ServerDocument, tasks: Sequence[str]) -> bool:
        """Whether evaluations of all of these tasks on that server are part of these sweeps (full ids)."""
        with self._read() as session:
            return accuracy.is_evaluated(session, sweep_ids, server, tasks)

    def add_doctor_result(self, document: DoctorDocument) -> None:
        """Store what the doctor found on the host that the document names."""
        with self._write() as session:
            session.add(
                tables.DoctorResultTable(
                    host_hash=document["host_hash"], measured_at=document["measured_at"], document=document
                )
            )

    def doctor_result(self, host_hash: str) -> DoctorDocument | None:
        """The doctor's latest document of that host; None where there is none."""
        result = tables.DoctorResultTable
        query = select(result.document).where(result.host_hash == host_hash)
        with self._read() as session:
            found = session.scalars(query.order_by(result.doctor_number.desc()).limit(1)).first()
        return cast(DoctorDocument | None, found)

    def sweeps(self) -> list[SweepRow]:
        """All sweeps, newest first."""
        return self._sweep_rows()

    def sweep(self, sweep_id: str) -> SweepRow:
        """The sweep of that id, or of that beginning of an id when only one fits. Raises `NotFoundError`."""
        with self._read() as session:
            found = _resolve(session, "sweep", tables.SweepTable.sweep_id, sweep_id)
        return self._sweep_rows(tables.SweepTable.sweep_id == found)[0]

    def resumable(self, spec_hash: str, group_id: str | None = None, sweep_id: str | None = None) -> SweepRow | None:
        """The newest sweep of that resolved spec which did not finish, in that group or in none; or `sweep_id` alone.

        An imported one is never gone on with, here and in `finished`: it was measured elsewhere.
        "running" counts, since its process may have been killed; a sweep whose server did not start has nothing to go on with.
        """
        only = [] if sweep_id is None else [tables.SweepTable.sweep_id == sweep_id]
        unfinished = tables.SweepTable.status != "finished"
        return self._newest(spec_hash, group_id, unfinished, tables.SweepTable.start_failure.is_(None), *only)

    def finished(self, spec_hash: str, group_id: str | None = None, sweep_id: str | None = None) -> SweepRow | None:
        """The newest sweep of that resolved spec which finished, in that group or in none; or `sweep_id` alone."""
        only = [] if sweep_id is None else [tables.SweepTable.sweep_id == sweep_id]
        return self._newest(spec_hash, group_id, tables.SweepTable.status == "finished", *only)

    def group(self, group_id: str) -> list[SweepRow]:
        """The sweeps of the group (id or unique beginning), the oldest first. Raises `NotFoundError`.

        Of several attempts at one variant only the latest counts: those before it did not start.
        """
        with self._read() as session:
            found = _resolve(session, "group", tables.SweepTable.group_id, group_id)
        newest = {sweep.spec_hash: sweep for sweep in reversed(self._sweep_rows(tables.SweepTable.group_id == found))}
        return list(newest.values())

    def runs(self, sweep_id: str) -> list[Any]:
        """The run documents of the sweep (id or unique beginning), in the order they ran. Reads no request.

        A run that was cut short and repeated later counts with its latest attempt alone; the earlier one is still found by
        its own id.
        """
        with self._read() as session:
            found = _resolve(session, "sweep", tables.SweepTable.sweep_id, sweep_id)
            theirs = tables.RunTable.sweep_id == found
            return _documents(session, theirs, tables.RunTable.run_number.in_(latest_attempts(theirs)))

    def run_figures(self, sweep_ids: Sequence[str] | None = None) -> list[RunFigures]:
        """The runs of these sweeps (full ids; default all), chosen as by `runs`, with the figures that a list shows. One query."""
        wanted = None if sweep_ids is None else set(sweep_ids)
        theirs = [] if wanted is None or len(wanted) > _MAX_VALUES else [tables.RunTable.sweep_id.in_(wanted)]
        with self._read() as session:
            found = run_figures.stored_figures(
                session, *theirs, tables.RunTable.run_number.in_(latest_attempts(*theirs))
            )
        return [run for run in found if wanted is None or run.sweep_id in wanted]

    def run(self, run_id: str) -> Any:
        """The document of that run (id or unique beginning). Raises `NotFoundError`."""
        with self._read() as session:
            found = _resolve(session, "run", tables.RunTable.run_id, run_id)
            return _documents(session, tables.RunTable.run_id == found)[0]

    def records(self, run_id: str) -> Records:
        """The requests of that run (id or unique beginning), exactly as they were added. Raises `NotFoundError`."""
        request = cast(Table, tables.RequestTable.__table__)
        with self._read() as session:
            number = _run_number(session, run_id)
            query = select(*(request.c[name] for name in request_rows.COLUMNS))
            query = query.where(request.c.run_number == number).order_by(request.c.row_number)
            # A row of Python objects takes ten times what it does in columns.
            pieces = session.execute(query.execution_options(yield_per=request_rows.ROWS_AT_ONCE)).partitions()
            return joined([request_rows.from_rows(piece) for piece in pieces])

    def samples(self, run_id: str) -> list[ServerSample]:
        """What the server said of itself through that run (id or unique beginning), in the order added."""
        sample = tables.ServerSampleTable
        with self._read() as session:
            number = _run_number(session, run_id)
            query = select(sample.at_ns, sample.values).where(sample.run_number == number)
            rows = session.execute(query.order_by(sample.sample_number)).all()
        return [ServerSample(at_ns=at_ns, values=values) for at_ns, values in rows]

    def gpus(self, run_id: str) -> list[GpuSeries]:
        """The readings of the server's GPUs through that run (id or unique beginning), exactly as they were added."""
        stored = tables.GpuReadingsTable
        with self._read() as session:
            number = _run_number(session, run_id)
            query = select(stored.device, stored.readings).where(stored.run_number == number)
            rows = session.execute(query.order_by(stored.gpu_number)).all()
        return [GpuSeries(device, blobs.decode_readings(readings)) for device, readings in rows]

    def outline(self, run_id: str) -> Outline | None:
        """The outline of that run (id or unique beginning); None where none was stored with it."""
        with self._read() as session:
            number = _run_number(session, run_id)
            query = select(tables.RunOutlineTable.outline).where(tables.RunOutlineTable.run_number == number)
            found = session.scalars(query).first()
        return None if found is None else blobs.decode_outline(found)

    def _holds(self, run_id: str) -> bool:
        with self._read() as session:
            return session.scalar(select(tables.RunTable.run_id).where(tables.RunTable.run_id == run_id)) is not None

    def _note_identity(self) -> None:
        if self._database.path is not None and not self._read_only:
            # So that the file has the tables without its log too, by which it is known again.
            with suppress(StoreError), failures.named(self.place), self._database.reading.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
            with suppress(OSError):
                self._identity = FileIdentity.of(self._database.path)

    def _newest(self, spec_hash: str, group_id: str | None, *conditions: Any) -> SweepRow | None:
        in_group = tables.SweepTable.group_id.is_(None) if group_id is None else tables.SweepTable.group_id == group_id
        measured_here = tables.SweepTable.imported.is_(None)
        found = self._sweep_rows(tables.SweepTable.spec_hash == spec_hash, measured_here, in_group, *conditions)
        return found[0] if found else None

    def _sweep_rows(self, *conditions: Any) -> list[SweepRow]:
        """The sweeps as they stand: one that is running by the record, and that nobody holds any more, is stopped."""
        found = self._stored_sweeps(*conditions)
        abandoned = {
            sweep.sweep_id
            for sweep in found
            if sweep.status == "running" and is_abandoned(sweep.sweep_id, sweep.environment)
        }
        if not abandoned:
            return found
        return [  # read again: a sweep that ended between the look at the record and at its claim has said so by now
            replace(sweep, status="stopped") if sweep.status == "running" and sweep.sweep_id in abandoned else sweep
            for sweep in self._stored_sweeps(*conditions)
        ]

    def _stored_sweeps(self, *conditions: Any) -> list[SweepRow]:
        # Without this, looking at one sweep would count the runs of all.
        asked = (
            [tables.RunTable.sweep_id.in_(select(tables.SweepTable.sweep_id).where(*conditions))] if conditions else []
        )
        counted = run_counts(*asked).subquery()
        query = (
            select(
                tables.SweepTable, tables.EnvironmentTable.document, *(counted.c[name] for name in ("runs", *STATUSES))
            )
            .join(tables.EnvironmentTable)
            .outerjoin(counted, counted.c.sweep_id == tables.SweepTable.sweep_id)
            .where(*conditions)
            .order_by(tables.SweepTable.created_at.desc(), tables.SweepTable.sweep_id.desc())
        )
        with self._read() as session:
            return accuracy.joined(session, [_sweep_row(*row) for row in session.execute(query)])

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with (
            failures.named(self._database.place),
            Session(self._database.reading, info={"place": self.place}) as session,
        ):
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        if self._read_only:
            raise StoreError(f"the database {self._database.place} was opened for reading only and takes nothing new")
        if self._identity is not None:
            self._identity.check()
        with (
            failures.named(self._database.place),
            Session(self._database.writing, info={"place": self.place}) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def _hasty(self) -> Iterator[Session]:
        """As `_write`, for what is better not written than waited for."""
        if self._read_only:
            raise StoreError(f"the database {self._database.place} was opened for reading only and takes nothing new")
        with failures.named(self._database.place), Session(self._database.hasty) as session, session.begin():
            yield session


def _add_sweep(session: Session, sweep: SweepRow) -> None:
    if session.get(tables.SweepTable, sweep.sweep_id) is not None:
        raise StoreError(f"the sweep {sweep.sweep_id} is stored already: give the new one another id")
    columns = {name: getattr(sweep, name) for name in _SWEEP_COLUMNS} | {
        "name": plain.text(sweep.name),
        "spec": plain.storable(sweep.spec)[0],
        "environment_hash": _keep_environment(session, sweep.environment),
        "imported": None if sweep.imported is None else asdict(sweep.imported),
    }
    session.add(tables.SweepTable(**columns))
    session.flush()


def _add_run(session: Session, sweep_id: str, document: RunDocument) -> tables.RunTable:
    if (
        session.scalar(select(tables.RunTable.run_number).where(tables.RunTable.run_id == document["run_id"]))
        is not None
    ):
        raise StoreError(f"the run {document['run_id']} is stored already: give the new one another id")
    run = _run_row(sweep_id, document, _keep_environment(session, document["environment"]))
    session.add(run)
    session.flush()
    session.add(tables.RunFiguresTable(run_number=run.run_number, **run_figures.read_figures(document)))
    return run


def _content(sweep: SweepRow, runs: Sequence[Mapping[str, Any]]) -> Any:
    """All that was measured of a sweep's runs, without who counted it and where it came from."""
    bare = replace(sweep, imported=None, accuracy=(), runs=0, valid=0, doubtful=0, invalid=0)
    return plain.printable([asdict(bare), [{**run, "imported": None} for run in runs]])


def _run_row(sweep_id: str, document: RunDocument, environment_hash: str) -> tables.RunTable:
    spec, shape = document["spec"], shape_from_json(document["spec"]["shape"])
    return tables.RunTable(
        run_id=document["run_id"],
        sweep_id=sweep_id,
        spec_hash=spec["hash"],
        point_hash=spec["point_hash"],
        repeat=document["repeat"],
        started_at=document["started_at"],
        elapsed_s=document["elapsed_s"] or 0.0,  # the column takes no NULL; the document has what is known
        verdict_status=document["verdict"]["status"],
        interrupted=document["interrupted"],
        simulated=document["simulated"],
        model=plain.text(spec["model"]),
        endpoint=spec["endpoint"],
        shape_kind=shape.kind,
        concurrency=shape.callers,
        rate_per_s=shape.offered_per_s,
        input_tokens=spec["input_tokens"],
        output_tokens=spec["output_tokens"],
        seed=spec["seed"],
        method_version=document["method_version"],
        environment_hash=environment_hash,
        document={**document, "environment": None},  # null keeps its place among the keys
    )


def _sweep_row(sweep: tables.SweepTable, environment: Mapping[str, Any], *counts: int | None) -> SweepRow:
    """`counts`: of runs, and of those with each of `STATUSES`."""
    columns: dict[str, Any] = {name: getattr(sweep, name) for name in _SWEEP_COLUMNS}
    columns |= {name: count or 0 for name, count in zip(("runs", *STATUSES), counts, strict=True)}
    imported = None if sweep.imported is None else ImportMark(**sweep.imported)
    return SweepRow(**columns, environment=environment, imported=imported)


def _keep_environment(session: Session, environment: Mapping[str, Any]) -> str:
    environment = plain.storable(environment)[0]
    environment_hash = canonical_hash(environment)
    add = INSERT[session.get_bind().dialect.name](tables.EnvironmentTable)
    # Two sweeps that start at once on one machine may both find it absent.
    session.execute(add.values(environment_hash=environment_hash, document=environment).on_conflict_do_nothing())
    return environment_hash


def _stored_sweep(session: Session, sweep_id: str) -> tables.SweepTable:
    sweep = session.get(tables.SweepTable, sweep_id)
    if sweep is None:
        raise NotFoundError(
            f"there is no sweep {sweep_id!r} in the database: `loadgen list` shows those there are",
            place=session.info.get("place"),
        )
    return sweep


def _resolve(session: Session, kind: str, column: Any, given: str) -> str:
    """The full id for an id or its beginning."""
    if session.scalar(select(column).where(column == given)) is not None:
        return given
    beginning = select(column).distinct().where(column.startswith(given, autoescape=True))
    fitting = list(session.scalars(beginning.order_by(column).limit(4)))
    if len(fitting) == 1:
        return str(fitting[0])
    if not fitting:
        raise NotFoundError(
            f"there is no {kind} {given!r} in the database: `loadgen list` shows those there are",
            place=session.info.get("place"),
        )
    shown = ", ".join(fitting[:3]) + (", …" if len(fitting) > 3 else "")
    raise NotFoundError(
        f"several {kind}s in the database begin with {given!r} ({shown}): write more of the id",
        place=session.info.get("place"),
    )


def _documents(session: Session, *conditions: Any) -> list[Any]:
    query = (
        select(tables.RunTable.document, tables.EnvironmentTable.document, tables.SweepTable.imported)
        .join(tables.EnvironmentTable, tables.RunTable.environment_hash == tables.EnvironmentTable.environment_hash)
        .join(tables.SweepTable, tables.RunTable.sweep_id == tables.SweepTable.sweep_id)
        .where(*conditions)
    )
    rows = session.execute(query.order_by(tables.RunTable.run_number)).all()
    if not all(isinstance(each, dict) for document, environment, _ in rows for each in (document, environment)):
        raise StoreError(
            f"the database {session.info.get('place')} is damaged: restore it from a copy, or pass another --db"
        )
    return [
        {**document, "environment": environment} | ({} if imported is None else {"imported": imported})
        for document, environment, imported in rows
    ]


def _run_number(session: Session, run_id: str) -> int:
    found = _resolve(session, "run", tables.RunTable.run_id, run_id)
    return session.scalars(select(tables.RunTable.run_number).where(tables.RunTable.run_id == found)).one()
