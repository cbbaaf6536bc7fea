"""A database file that several processes write to at once is never taken for a damaged one."""

import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from loadgen.engine.records.record import Records
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow
from tests.forked_programs import start_function
from tests.store.conftest import AddRun, MakeDocument, MakeSweep

PROCESSES, RUNS, REQUESTS = 5, 6, 3_000


def write(url: str, sweep: SweepRow, document: Any, records: Records) -> None:
    """Store a sweep with some runs, in a database that may not be there yet."""
    with Store.open(url) as store:
        store.add_sweep(sweep)
        for number in range(RUNS):
            run_id = f"{sweep.sweep_id}-{number}"
            spec = {**document["spec"], "hash": run_id}
            run: Any = {**document, "run_id": run_id, "sweep_id": sweep.sweep_id, "spec": spec}
            store.add_run(sweep.sweep_id, run, records)
            assert store.has_run(run_id)


@pytest.mark.parametrize("is_new", [True, False], ids=["a new file", "a file that is there"])
def test_processes_that_write_at_once(
    tmp_path: Path,
    records: Records,
    make_sweep: MakeSweep,
    make_document: MakeDocument,
    *,
    is_new: bool,
) -> None:
    url = f"sqlite:///{tmp_path}/measured.db"
    if not is_new:
        Store.open(url).close()
    many = Records.from_rows([records[0]] * REQUESTS)
    document = make_document("any", "any")
    writers = [start_function(write, url, make_sweep(f"s{number}"), document, many) for number in range(PROCESSES)]
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * PROCESSES
    with Store.open(url, read_only=True) as store:
        assert [len(store.runs(f"s{number}")) for number in range(PROCESSES)] == [RUNS] * PROCESSES


def begin_checkpoint(path: Path) -> None:
    """Do what a checkpoint does first: write the first page of the log, which counts more pages than the file has.

    By another process, for a plain close of the file would release the locks that this one has on it.
    """
    log = path.with_name(f"{path.name}-wal").read_bytes()
    (page_size,) = struct.unpack(">I", log[8:12])
    frames = (log[at : at + 24 + page_size] for at in range(32, len(log), 24 + page_size))
    first = [frame[24:] for frame in frames if frame[:4] == b"\0\0\0\1"][-1]
    program = "import sys; open(sys.argv[1], 'rb+').write(sys.stdin.buffer.read())"
    subprocess.run([sys.executable, "-c", program, path], input=first, check=True)


def test_a_checkpoint_of_another_process_is_no_damage(
    sqlite_store: Store, records: Records, add_run: AddRun, make_sweep: MakeSweep
) -> None:
    path = sqlite_store.path
    assert path is not None
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with Store.open(f"sqlite:///{path}") as store:
        for number in range(20):
            add_run(sqlite_store, records, number)
        begin_checkpoint(path)
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as alone,
            pytest.raises(sqlite3.DatabaseError, match="malformed"),
        ):
            alone.execute("SELECT * FROM run").fetchall()
        store.add_sweep(make_sweep("s99"))
        assert store.has_run("r1")
