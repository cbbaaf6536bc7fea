"""Which file a sweep was imported from."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; every sweep so far was measured into its database."""
    op.add_column("sweep", sa.Column("imported", sa.JSON(none_as_null=True), nullable=True))
