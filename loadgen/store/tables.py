"""The tables, as typed SQLAlchemy models.

One word per thing: a column is called like the field of the run document or of `Records` that it holds. Moments are `_ns`
relative to the run's origin, and a moment or a count that nobody knows is NULL. All types are portable between SQLite and
PostgreSQL. A change here needs a new file in `migrations/versions` and a new `HEAD` in `schema.py`.
"""

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

JsonObject = dict[str, Any]
"""A document as a column holds it: whose keys it has is told by what reads it."""


class Entity(DeclarativeBase):
    """The root of the models; constraints have names, so that a migration can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, TypeEngine[Any]]] = {
        JsonObject: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        float: Double(),  # by default it differs between releases of SQLAlchemy
    }


class EnvironmentTable(Entity):
    """What a run ran on. One row however many runs shared it, named by the hash of its content."""

    __tablename__ = "environment"

    environment_hash: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[JsonObject]


class SweepTable(Entity):
    """Load points on one server. `status`, `planned_runs` and `search` change while it is measured, and nothing after."""

    __tablename__ = "sweep"
    __table_args__ = (Index(None, "spec_hash"), Index(None, "group_id"))

    sweep_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    spec: Mapped[JsonObject]
    spec_hash: Mapped[str]
    planned_runs: Mapped[int]
    status: Mapped[str]
    simulated: Mapped[bool]
    created_at: Mapped[str]
    environment_hash: Mapped[str] = mapped_column(ForeignKey("environment.environment_hash"))
    server: Mapped[JsonObject]
    imported: Mapped[JsonObject | None]  # file, sha256, imported_at; NULL: measured into this database
    group_id: Mapped[str | None]  # of sweeps over variants of a server, that were asked for together
    start_failure: Mapped[JsonObject | None]  # why the server did not start, where it did not
    search: Mapped[JsonObject | None]  # what a search found; NULL: it was no search, or an older loadgen's


class RunTable(Entity):
    """One load point, one schedule, one verdict: the columns that lists filter by, and the whole run document.

    `run_number` counts up in the order in which runs were stored. The document's `environment` is null here and kept in
    its own table.
    """

    __tablename__ = "run"
    __table_args__ = (Index(None, "sweep_id"), Index(None, "spec_hash"), Index(None, "point_hash"))

    run_number: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(unique=True)
    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweep.sweep_id"))
    spec_hash: Mapped[str]
    point_hash: Mapped[str]
    repeat: Mapped[int]
    started_at: Mapped[str]
    elapsed_s: Mapped[float]
    verdict_status: Mapped[str]
    interrupted: Mapped[bool]
    simulated: Mapped[bool]
    model: Mapped[str]
    endpoint: Mapped[str]
    shape_kind: Mapped[str]
    concurrency: Mapped[int | None]  # closed loop: callers; wave: its size; NULL in the open loop
    rate_per_s: Mapped[float | None]  # open loop only
    input_tokens: Mapped[int | None]
    output_tokens: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    method_version: Mapped[int]
    environment_hash: Mapped[str] = mapped_column(ForeignKey("environment.environment_hash"))
    document: Mapped[JsonObject]


class RunFiguresTable(Entity):
    """The figures of a run that the list of sweeps shows: documents are long. A run stored without them has no row here."""

    __tablename__ = "run_figures"

    run_number: Mapped[int] = mapped_column(ForeignKey("run.run_number"), primary_key=True)
    load_label: Mapped[str | None]
    output_tokens_per_s: Mapped[float | None]
    ttft_p50_s: Mapped[float | None]
    e2e_latency_p50_s: Mapped[float | None]
    gpu_count: Mapped[int | None]
    gpu_names: Mapped[list[str] | None]  # one for each GPU; each model once if which were used is unknown


class RequestTable(Entity):
    """One request of a run: the columns of `engine.record.Records`, its arrivals as one BLOB (see `blobs.py`)."""

    __tablename__ = "request"

    run_number: Mapped[int] = mapped_column(ForeignKey("run.run_number"), primary_key=True)
    row_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # position in `Records`
    index: Mapped[int]  # position in the schedule
    slot: Mapped[int | None]
    outcome: Mapped[str]
    http_status: Mapped[int | None]
    due_ns: Mapped[int | None] = mapped_column(BigInteger)
    start_ns: Mapped[int | None] = mapped_column(BigInteger)
    sent_ns: Mapped[int | None] = mapped_column(BigInteger)
    first_byte_ns: Mapped[int | None] = mapped_column(BigInteger)
    end_ns: Mapped[int | None] = mapped_column(BigInteger)
    connect_ns: Mapped[int | None] = mapped_column(BigInteger)
    limit_wait_ns: Mapped[int | None] = mapped_column(BigInteger)  # NULL: it did not wait
    prompt_tokens_asked: Mapped[int | None]
    output_tokens_asked: Mapped[int]
    prompt_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    hidden_tokens: Mapped[int | None]  # NULL: none; -1: nobody can tell
    counted_by: Mapped[str]
    finish_reason: Mapped[str | None]
    detail: Mapped[str | None]
    server_timing: Mapped[JsonObject | None]
    arrivals: Mapped[bytes]


class ServerSampleTable(Entity):
    """What the server said of itself at one moment of a run."""

    __tablename__ = "server_sample"

    run_number: Mapped[int] = mapped_column(ForeignKey("run.run_number"), primary_key=True)
    sample_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at_ns: Mapped[int] = mapped_column(BigInteger)
    values: Mapped[JsonObject]


class GpuReadingsTable(Entity):
    """The readings of one of the server's GPUs through a run, as one BLOB of columns (see `blobs.py`)."""

    __tablename__ = "gpu_readings"

    run_number: Mapped[int] = mapped_column(ForeignKey("run.run_number"), primary_key=True)
    gpu_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # position among the GPUs watched
    device: Mapped[JsonObject]
    readings: Mapped[bytes]


class RunOutlineTable(Entity):
    """What pages draw of a run, as one compressed BLOB (see `blobs.py`). Of runs stored by an older loadgen there is none."""

    __tablename__ = "run_outline"

    run_number: Mapped[int] = mapped_column(ForeignKey("run.run_number"), primary_key=True)
    outline: Mapped[bytes]


class AccuracyResultTable(Entity):
    """One metric of one task, of an evaluation of a served model: the columns of `rows.AccuracyRow`, and which server it was."""

    __tablename__ = "accuracy_result"
    __table_args__ = (Index(None, "evaluation_id"),)

    result_number: Mapped[int] = mapped_column(primary_key=True)
    evaluation_id: Mapped[str]
    name: Mapped[str | None]
    sweep_id: Mapped[str | None] = mapped_column(ForeignKey("sweep.sweep_id"))  # whose part it was; NULL: of none
    server_hash: Mapped[str]  # by which sweeps on the same server find it, see `accuracy.server_hash`
    server: Mapped[JsonObject | None]  # NULL: the sweep's
    model: Mapped[str]
    provenance: Mapped[str]
    task: Mapped[str]
    metric: Mapped[str]
    value: Mapped[float]
    standard_error: Mapped[float | None]
    samples: Mapped[int | None]
    shots: Mapped[int | None]
    tool: Mapped[str]
    tool_version: Mapped[str | None]
    settings: Mapped[JsonObject]
    measured_at: Mapped[str]


class DoctorResultTable(Entity):
    """What `loadgen doctor` found on one host: the client's error there. The latest of a host is attached to its runs."""

    __tablename__ = "doctor_result"
    __table_args__ = (Index(None, "host_hash"),)

    doctor_number: Mapped[int] = mapped_column(primary_key=True)
    host_hash: Mapped[str]
    measured_at: Mapped[str]
    document: Mapped[JsonObject]


class JobTable(Entity):
    """A sweep that somebody asked the service for. The queue is those of status "queued", in the order of `queued_number`."""

    __tablename__ = "job"
    __table_args__ = (Index(None, "status"), Index(None, "spec_hash"))

    job_number: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(unique=True)
    status: Mapped[str]
    target: Mapped[str]  # of which one job runs at a time
    name: Mapped[str]
    values: Mapped[JsonObject]  # the spec as it was sent
    spec_hash: Mapped[str]
    planned_runs: Mapped[int]
    sweep_id: Mapped[str | None]  # what it measures into, from the moment its server has answered
    attempts: Mapped[int]
    queued_number: Mapped[int]  # counts up with each attempt of any job
    submitted_at: Mapped[str]
    started_at: Mapped[str | None]  # of the latest attempt, as the three below
    ended_at: Mapped[str | None]
    exit_code: Mapped[int | None]
    message: Mapped[str | None]
    cancel_requested: Mapped[bool]


class QueueClaimTable(Entity):
    """The service that works on the jobs: one row at most, renewed every few seconds, and gone when its service ends in order."""

    __tablename__ = "queue_claim"

    claim_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # always 1
    owner_id: Mapped[str]
    host_name: Mapped[str]
    process_id: Mapped[int]
    process_started: Mapped[int] = mapped_column(BigInteger)  # clock ticks since the machine's start; 0: unknown
    process_namespace: Mapped[str]  # within which `process_id` means anything; empty: unknown
    boot_id: Mapped[str]  # of the machine's start; empty: unknown
    claimed_at: Mapped[str]
    heartbeat_at: Mapped[str]  # by the clock of a PostgreSQL server, else of the service's machine


class SweepProgressTable(Entity):
    """How a sweep stands that is being measured: a row that is written over about once a second, and gone when it ends."""

    __tablename__ = "sweep_progress"

    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweep.sweep_id"), primary_key=True)
    updated_at: Mapped[str]
    document: Mapped[JsonObject]
