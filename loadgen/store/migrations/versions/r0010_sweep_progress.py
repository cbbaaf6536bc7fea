"""How sweeps that are being measured stand: a row each, gone when they end."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the table; a sweep that is being measured by an older loadgen has no row."""
    op.create_table(
        "sweep_progress",
        sa.Column("sweep_id", sa.String(), nullable=False),
        sa.Column("updated_at", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("sweep_id", name="pk_sweep_progress"),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweep.sweep_id"], name="fk_sweep_progress_sweep_id_sweep"),
    )
