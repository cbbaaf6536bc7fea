"""Prompt lengths that only the server can tell: those of a dataset, and of prompts with images."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Let both columns be NULL.

    By way of a second column, since SQLite cannot alter one, and a table that others refer to cannot be made anew.
    """
    for table, column in (("run", "input_tokens"), ("request", "prompt_tokens_asked")):
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column}_or_null INTEGER")
        op.execute(f"UPDATE {table} SET {column}_or_null = {column}")
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {column}_or_null TO {column}")
