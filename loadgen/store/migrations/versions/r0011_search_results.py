"""What a search found, next to the sweep of its runs."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column; searches of an older loadgen have NULL."""
    op.add_column("sweep", sa.Column("search", sa.JSON(none_as_null=True), nullable=True))
