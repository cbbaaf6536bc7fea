"""Names of sweeps, their groups and runs: readable, sortable by time, unique by chance. Imports no room."""

import secrets
from datetime import UTC, datetime
from typing import Literal


def new_id(kind: Literal["s", "r", "g"]) -> str:
    """A sweep's (`s261123-152901-4f2a`), a run's (`r261123-152907-91bc`) or a group's id: UTC date and time, then 16 random bits."""
    return f"{kind}{datetime.now(UTC):%y%m%d-%H%M%S}-{secrets.token_hex(2)}"
