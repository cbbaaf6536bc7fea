"""The figures of each run that the list of sweeps shows, next to the run's long document."""

import json

import sqlalchemy as sa
from alembic import op

from loadgen.store.run_figures import read_figures

revision = "0013"
down_revision = "0012"

_FIGURES = ("load_label", "output_tokens_per_s", "ttft_p50_s", "e2e_latency_p50_s", "gpu_count", "gpu_names")
_ROWS_AT_ONCE = 500


def upgrade() -> None:
    """Create the table and fill it from the documents of the runs stored so far."""
    table = op.create_table(
        "run_figures",
        sa.Column("run_number", sa.Integer(), nullable=False),
        sa.Column("load_label", sa.String(), nullable=True),
        sa.Column("output_tokens_per_s", sa.Double(), nullable=True),
        sa.Column("ttft_p50_s", sa.Double(), nullable=True),
        sa.Column("e2e_latency_p50_s", sa.Double(), nullable=True),
        sa.Column("gpu_count", sa.Integer(), nullable=True),
        sa.Column("gpu_names", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("run_number", name="pk_run_figures"),
        sa.ForeignKeyConstraint(["run_number"], ["run.run_number"], name="fk_run_figures_run_number_run"),
    )
    if op.get_context().as_sql:
        return
    connection, after = op.get_bind(), -1
    run = sa.table("run", sa.column("run_number", sa.Integer()), sa.column("document", sa.JSON()))
    query = sa.select(run.c.run_number, sa.cast(run.c.document, sa.Text())).order_by(run.c.run_number)
    while rows := connection.execute(query.where(run.c.run_number > after).limit(_ROWS_AT_ONCE)).all():
        connection.execute(table.insert(), [{"run_number": number} | _figures(text) for number, text in rows])
        after = rows[-1].run_number


def _figures(text: str | None) -> dict[str, object]:
    try:
        document = json.loads(text or "null")
    except ValueError:  # damaged: the run's own page says so
        document = None
    found = read_figures(document)
    return {name: found[name] for name in _FIGURES}
