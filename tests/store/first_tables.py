"""A database as the first loadgen made it, at revision 0001: environment, sweep, run, request, server_sample."""

import sqlalchemy as sa
from alembic import op
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection

from loadgen.store.schema import VERSION_TABLE


def make_first_tables(connection: Connection) -> None:
    """Leave an empty database at revision 0001."""
    with Operations.context(MigrationContext.configure(connection)):
        create()
    connection.execute(sa.text(VERSION_TABLE))
    connection.execute(sa.text("INSERT INTO alembic_version VALUES ('0001')"))


def create() -> None:
    """Create the tables and their indices in the present context of operations."""
    op.create_table(
        "environment",
        sa.Column("environment_hash", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("environment_hash", name="pk_environment"),
    )
    op.create_table(
        "sweep",
        sa.Column("sweep_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("spec", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("spec_hash", sa.String(), nullable=False),
        sa.Column("planned_runs", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.Column("environment_hash", sa.String(), nullable=False),
        sa.Column("server", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("sweep_id", name="pk_sweep"),
        sa.ForeignKeyConstraint(
            ["environment_hash"], ["environment.environment_hash"], name="fk_sweep_environment_hash_environment"
        ),
    )
    op.create_index("ix_sweep_spec_hash", "sweep", ["spec_hash"])
    op.create_table(
        "run",
        sa.Column("run_number", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("sweep_id", sa.String(), nullable=False),
        sa.Column("spec_hash", sa.String(), nullable=False),
        sa.Column("point_hash", sa.String(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.Column("elapsed_s", sa.Double(), nullable=False),
        sa.Column("verdict_status", sa.String(), nullable=False),
        sa.Column("interrupted", sa.Boolean(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("shape_kind", sa.String(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=True),
        sa.Column("rate_per_s", sa.Double(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("method_version", sa.Integer(), nullable=False),
        sa.Column("environment_hash", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("run_number", name="pk_run"),
        sa.UniqueConstraint("run_id", name="uq_run_run_id"),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweep.sweep_id"], name="fk_run_sweep_id_sweep"),
        sa.ForeignKeyConstraint(
            ["environment_hash"], ["environment.environment_hash"], name="fk_run_environment_hash_environment"
        ),
    )
    op.create_index("ix_run_sweep_id", "run", ["sweep_id"])
    op.create_index("ix_run_spec_hash", "run", ["spec_hash"])
    op.create_index("ix_run_point_hash", "run", ["point_hash"])
    op.create_table(
        "request",
        sa.Column("run_number", sa.Integer(), nullable=False),
        sa.Column("row_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("due_ns", sa.BigInteger(), nullable=True),
        sa.Column("start_ns", sa.BigInteger(), nullable=True),
        sa.Column("sent_ns", sa.BigInteger(), nullable=True),
        sa.Column("first_byte_ns", sa.BigInteger(), nullable=True),
        sa.Column("end_ns", sa.BigInteger(), nullable=True),
        sa.Column("connect_ns", sa.BigInteger(), nullable=True),
        sa.Column("prompt_tokens_asked", sa.Integer(), nullable=False),
        sa.Column("output_tokens_asked", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("output_tokens", sa.Integer(), nullable=True),
        sa.Column("counted_by", sa.String(), nullable=False),
        sa.Column("finish_reason", sa.String(), nullable=True),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("server_timing", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("arrivals", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_number", "row_number", name="pk_request"),
        sa.ForeignKeyConstraint(["run_number"], ["run.run_number"], name="fk_request_run_number_run"),
    )
    op.create_table(
        "server_sample",
        sa.Column("run_number", sa.Integer(), nullable=False),
        sa.Column("sample_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("values", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("run_number", "sample_number", name="pk_server_sample"),
        sa.ForeignKeyConstraint(["run_number"], ["run.run_number"], name="fk_server_sample_run_number_run"),
    )
