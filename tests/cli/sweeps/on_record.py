"""What `loadgen.db` of the working directory holds."""

import sqlite3
from contextlib import closing

from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow


def sweeps() -> list[SweepRow]:
    """Those on record, the oldest first."""
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        return store.sweeps()[::-1]


def count_of_runs() -> int:
    """How many runs are stored, cut short and repeated ones included; 0 while the database is being made."""
    return _count("run")


def count_of_finished_sweeps() -> int:
    """How many sweeps have ended with all their runs."""
    return _count("sweep WHERE status = 'finished'")


def _count(of: str) -> int:
    """Count without reading the database whole, for questions asked often: that takes time from the command that is watched."""
    try:
        with closing(sqlite3.connect("file:loadgen.db?mode=ro", uri=True)) as database:
            (count,) = database.execute(f"SELECT count(*) FROM {of}").fetchone()
            return int(count)
    except sqlite3.OperationalError:
        return 0
