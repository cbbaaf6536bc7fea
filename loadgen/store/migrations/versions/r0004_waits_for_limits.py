"""How long a limit held each request back."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; of the requests so far none waited."""
    op.add_column("request", sa.Column("limit_wait_ns", sa.BigInteger(), nullable=True))
