"""What `loadgen.db` of the working directory holds, for a question asked often: reading it whole takes from the command that is watched."""

import sqlite3
from contextlib import closing


def count_of_runs() -> int:
    """How many runs are stored, cut short and repeated ones included; 0 while the database is being made."""
    return _count("run")


def count_of_finished_sweeps() -> int:
    """How many sweeps have ended with all their runs."""
    return _count("sweep WHERE status = 'finished'")


def _count(of: str) -> int:
    try:
        with closing(sqlite3.connect("file:loadgen.db?mode=ro", uri=True)) as database:
            (count,) = database.execute(f"SELECT count(*) FROM {of}").fetchone()
            return int(count)
    except sqlite3.OperationalError:
        return 0
