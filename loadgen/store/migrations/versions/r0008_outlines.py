"""What pages draw of each run, made once when it is saved."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the table; the outlines of runs so far are made when they are looked at."""
    op.create_table(
        "run_outline",
        sa.Column("run_number", sa.Integer(), nullable=False),
        sa.Column("outline", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_number", name="pk_run_outline"),
        sa.ForeignKeyConstraint(["run_number"], ["run.run_number"], name="fk_run_outline_run_number_run"),
    )
