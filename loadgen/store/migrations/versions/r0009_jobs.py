"""The jobs of the service: sweeps that somebody asked for, in the order in which they are to be measured."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table; nobody has asked for anything so far."""
    op.create_table(
        "job",
        sa.Column("job_number", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("values", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("spec_hash", sa.String(), nullable=False),
        sa.Column("planned_runs", sa.Integer(), nullable=False),
        sa.Column("sweep_id", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("queued_number", sa.Integer(), nullable=False),
        sa.Column("submitted_at", sa.String(), nullable=False),
        sa.Column("started_at", sa.String(), nullable=True),
        sa.Column("ended_at", sa.String(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("job_number", name="pk_job"),
        sa.UniqueConstraint("job_id", name="uq_job_job_id"),
    )
    op.create_index("ix_job_status", "job", ["status"])
    op.create_index("ix_job_spec_hash", "job", ["spec_hash"])
