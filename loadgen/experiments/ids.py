"""Names of sweeps, their groups and runs: readable, sortable by time, unique by chance."""

import secrets
from datetime import UTC, datetime
from typing import Literal


def new_id(kind: Literal["s", "r", "g", "j"]) -> str:
    """A sweep's (`s261123-152901-4f2a`), a run's (`r261123-152907-91bc`) a group's or a job's id: UTC date and time, then 16 random bits.

    A job's has 32, since many may be sent within a second.
    """
    return f"{kind}{datetime.now(UTC):%y%m%d-%H%M%S}-{secrets.token_hex(4 if kind == 'j' else 2)}"
