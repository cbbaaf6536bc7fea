"""The first tables: environment, sweep, run, request, server_sample."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Change nothing: every database has them, since a new one is made from the models."""
