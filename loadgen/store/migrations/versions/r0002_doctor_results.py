"""Results of the doctor, by host."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table and its index."""
    op.create_table(
        "doctor_result",
        sa.Column("doctor_number", sa.Integer(), nullable=False),
        sa.Column("host_hash", sa.String(), nullable=False),
        sa.Column("measured_at", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("doctor_number", name="pk_doctor_result"),
    )
    op.create_index("ix_doctor_result_host_hash", "doctor_result", ["host_hash"])
