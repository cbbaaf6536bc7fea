"""How accurate served models are: the results of evaluations."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the table; nothing so far has been evaluated."""
    op.create_table(
        "accuracy_result",
        sa.Column("result_number", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("sweep_id", sa.String(), nullable=True),
        sa.Column("server_hash", sa.String(), nullable=False),
        sa.Column("server", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("provenance", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("standard_error", sa.Double(), nullable=True),
        sa.Column("samples", sa.Integer(), nullable=True),
        sa.Column("shots", sa.Integer(), nullable=True),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("tool_version", sa.String(), nullable=True),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("measured_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("result_number", name="pk_accuracy_result"),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweep.sweep_id"], name="fk_accuracy_result_sweep_id_sweep"),
    )
    op.create_index("ix_accuracy_result_evaluation_id", "accuracy_result", ["evaluation_id"])
