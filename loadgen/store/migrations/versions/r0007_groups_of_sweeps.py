"""Sweeps that belong together, one for each variant of a server; and servers that did not start."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add both columns; of the sweeps so far each stood by itself, on a server that ran."""
    op.add_column("sweep", sa.Column("group_id", sa.String(), nullable=True))
    op.add_column("sweep", sa.Column("start_failure", sa.JSON(none_as_null=True), nullable=True))
    op.create_index("ix_sweep_group_id", "sweep", ["group_id"])
