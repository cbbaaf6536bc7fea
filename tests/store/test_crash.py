"""A process that is killed while it stores a run: earlier runs are whole, and of that run there is nothing."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadgen.engine.records.record import Records
from loadgen.store.repository import Store

# Kills itself with SIGKILL at a chosen point of its second add_run.
PROGRAM = """
import json, os, signal, sys
from sqlalchemy import Engine, event
from loadgen.engine.records.record import Records
from loadgen.store.repository import Store

url, point, document = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with Store.open(url) as store:
    records = Records.from_rows([store.records("r1")[0]] * 12_000)
    seen = 0

    def executed(connection, cursor, statement, *_):
        global seen
        seen += statement.startswith("INSERT INTO request")
        if seen == 2 and point == "between two batches":
            os.kill(os.getpid(), signal.SIGKILL)

    def committing(connection):
        if point == "before the commit":
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "after_cursor_execute", executed)
    event.listen(Engine, "commit", committing)
    store.add_run("s1", document, records)
    if point == "after the commit":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("point", "stored"),
    [("between two batches", ["r1"]), ("before the commit", ["r1"]), ("after the commit", ["r1", "r2"])],
)
def test_killed_while_storing(
    tmp_path: Path,
    make_sweep: Any,
    make_document: Any,
    records: Records,
    database_rows: Any,
    any_url: str,
    point: str,
    stored: list[str],
) -> None:
    with Store.open(any_url) as store:
        store.add_sweep(make_sweep("s1"))
        store.add_run("s1", make_document("r1", "s1"), records)
    document = json.dumps(make_document("r2", "s1"))
    killed = subprocess.run([sys.executable, "-c", PROGRAM, any_url, point, document], timeout=60)
    assert killed.returncode == -signal.SIGKILL

    with Store.open(any_url, read_only=True) as store:
        assert [run["run_id"] for run in store.runs("s1")] == stored
        assert [len(store.records(run_id)) for run_id in stored] == [3, 12_000][: len(stored)]
        found = store.resumable(make_sweep("s1").spec_hash)
        assert found is not None
        assert (found.sweep_id, found.status, found.runs) == ("s1", "running", len(stored))
    assert database_rows("SELECT count(DISTINCT run_number) FROM request") == [(len(stored),)]
    with Store.open(any_url) as store:  # and it can be written again
        store.add_run("s1", make_document("r3", "s1"), records)
        assert [run["run_id"] for run in store.runs("s1")] == [*stored, "r3"]
