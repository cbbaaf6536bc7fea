"""The readings of the server's GPUs."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table; no run so far has any."""
    op.create_table(
        "gpu_readings",
        sa.Column("run_number", sa.Integer(), nullable=False),
        sa.Column("gpu_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("device", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("readings", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_number", "gpu_number", name="pk_gpu_readings"),
        sa.ForeignKeyConstraint(["run_number"], ["run.run_number"], name="fk_gpu_readings_run_number_run"),
    )
