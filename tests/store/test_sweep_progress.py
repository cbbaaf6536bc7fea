"""The row of a sweep that is being measured: written over, removed, and never waited for."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from loadgen.errors import StoreError
from loadgen.store.repository import Store
from loadgen.store.sweep_progress import SweepsProgress
from tests.store.conftest import MakeSweep


def test_it_is_written_over_and_removed(store: Store, make_sweep: MakeSweep) -> None:
    store.add_sweep(make_sweep("s1"))
    rows = SweepsProgress(store)
    assert rows.of(["s1"]) == {}
    assert rows.of([]) == {}
    rows.put("s1", {"left_s": 3.0})
    rows.put("s1", {"left_s": None})
    (found,) = rows.of(["s1", "s2"]).values()
    assert (found.sweep_id, found.document) == ("s1", {"left_s": None})
    rows.remove("s1")
    rows.remove("s1")
    assert rows.of(["s1"]) == {}


def test_a_locked_database_is_not_waited_for(sqlite_store: Store, make_sweep: MakeSweep, url: str) -> None:
    sqlite_store.add_sweep(make_sweep("s1"))
    path = url.removeprefix("sqlite:///").split("?")[0]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            SweepsProgress(sqlite_store).put("s1", {})
    SweepsProgress(sqlite_store).put("s1", {})
    assert list(SweepsProgress(sqlite_store).of(["s1"])) == ["s1"]


def test_a_database_that_is_gone_is_not_made_anew(sqlite_store: Store, make_sweep: MakeSweep, url: str) -> None:
    sqlite_store.add_sweep(make_sweep("s1"))
    path = Path(url.removeprefix("sqlite:///").split("?")[0])
    path.unlink()
    with pytest.raises(StoreError):
        SweepsProgress(sqlite_store).put("s1", {})
    assert not path.exists()


def test_a_reader_writes_nothing(sqlite_store: Store, make_sweep: MakeSweep, url: str) -> None:
    sqlite_store.add_sweep(make_sweep("s1"))
    with Store.open(url, read_only=True) as reader, pytest.raises(StoreError, match="reading only"):
        SweepsProgress(reader).put("s1", {})
