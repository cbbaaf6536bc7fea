"""What a plan says of the disk is an upper bound that is not far above what is needed."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from loadgen.engine import workers
from loadgen.engine.records import column_files
from loadgen.engine.records.record import Records
from loadgen.experiments import estimate
from loadgen.servers.simulator import SimulatorProcess
from loadgen.store.repository import Store
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback

LOADS = [
    ("--requests", "1500", "--output-tokens", "8"),
    ("--requests", "60", "--output-tokens", "500"),
    ("--requests", "120", "--output-tokens", "200", "--endpoint", "chat"),
    ("--requests", "50", "--output-tokens", "200", "--choices", "3"),
]


def stored_bytes() -> int:
    with closing(sqlite3.connect("loadgen.db")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path("loadgen.db").stat().st_size


@pytest.mark.parametrize("load", LOADS, ids=["short replies", "long replies", "chat", "three choices"])
def test_it_holds_what_was_needed(
    cli: Cli, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, load: tuple[str, ...]
) -> None:
    flags = ("--url", simulator.url, "--model", "simulated-moe", "--concurrency", "8", "--input-tokens", "8", *load)
    Store.open("sqlite:///loadgen.db").close()
    empty = stored_bytes()
    planned = cli("sweep", *flags, "--plan", "--json").json
    needed: list[int] = []
    in_order = column_files.in_schedule_order

    def add_up(parts: Sequence[Records], folder: Path) -> Records:
        records = in_order(parts, folder)
        files = [each for each in folder.parent.rglob("*") if each.is_file()]
        needed.append(sum(each.stat().st_size for each in files))
        return records

    monkeypatch.setattr(workers, "in_schedule_order", add_up)
    assert cli("run", *flags, "--warmup-requests", "1", "-q").measured
    assert needed[-1] < planned["estimated_spool_bytes"]
    stored = stored_bytes() - empty
    assert stored < planned["estimated_database_bytes"] < 3 * stored
    (run,) = planned["runs"]
    assert run["estimated_spool_bytes"] == planned["estimated_spool_bytes"]


def test_a_disk_with_less_than_that_is_named_and_the_sweep_begins(
    cli: Cli, point: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_free_bytes", lambda folder: 20_000)
    said = cli("run", *point, "-q", "--json")
    assert said.measured, said.err
    assert said.json["outcomes"]["ok"] == 8
    assert "the disk may fill up: the temporary files of a run may need 31.9 KiB in " in said.err
    assert "the disk may fill up: the database may need" in said.err
    planned = cli("sweep", *point, "--plan")
    assert "the disk may fill up: the database may need" in planned.err
    assert "of temporary files at a time" in " ".join(planned.out.split())


def test_enough_room_is_not_told_and_a_folder_that_is_gone_neither(
    cli: Cli, point: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "the disk may fill up" not in cli("sweep", *point, "--plan").err

    def gone(folder: Any) -> Any:
        raise FileNotFoundError

    monkeypatch.setattr(os, "statvfs", gone)
    assert "the disk may fill up" not in cli("sweep", *point, "--plan").err


def test_where_the_server_decides_how_many_requests_there_are_nobody_knows(
    cli: Cli, simulator: SimulatorProcess
) -> None:
    planned = cli(
        *("sweep", "--url", simulator.url, "--model", "simulated-moe", "--concurrency", "2", "--input-tokens", "8"),
        *("--output-tokens", "8", "--duration-s", "5", "--plan", "--json"),
    ).json
    assert (planned["estimated_spool_bytes"], planned["estimated_database_bytes"]) == (None, None)
