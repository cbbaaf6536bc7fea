"""How many of a request's output tokens did not arrive."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column; requests of an older loadgen have NULL."""
    op.add_column("request", sa.Column("hidden_tokens", sa.Integer(), nullable=True))
