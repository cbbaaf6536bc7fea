"""Sweeps that were measured elsewhere: stored whole or not at all, marked, and never gone on with."""

from dataclasses import replace
from typing import Any

import pytest

from loadgen.engine.records.record import Records
from loadgen.errors import StoreError
from loadgen.store.repository import Store
from loadgen.store.rows import ImportMark

MARK = ImportMark("evening.json", "ab" * 32, "2026-11-26T17:00:00+00:00")
HASH = "00112233aabbccdd"  # of the sweeps that the fixtures make


@pytest.fixture
def imported(make_sweep: Any, make_document: Any) -> tuple[Any, list[dict[str, Any]]]:
    sweep = replace(make_sweep("s1", status="interrupted"), imported=MARK)
    return sweep, [make_document("r1", "s1"), make_document("r2", "s1")]


def test_it_comes_back_with_its_mark_and_without_requests(store: Store, imported: Any) -> None:
    sweep, runs = imported
    assert store.add_imported(sweep, runs)
    assert store.sweep("s1") == replace(sweep, runs=2, valid=2)
    marked: dict[str, str | None] = {
        "file": "evening.json",
        "sha256": "ab" * 32,
        "imported_at": "2026-11-26T17:00:00+00:00",
    }
    marked |= {"tool": None, "tool_version": None}
    assert store.runs("s1") == [run | {"imported": marked} for run in runs]
    assert store.run("r2")["imported"] == marked
    assert len(store.records("r1")) == 0
    assert store.samples("r1") == []


def test_the_same_again_is_there_already(store: Store, imported: Any) -> None:
    sweep, runs = imported
    store.add_imported(sweep, runs)
    later = replace(sweep, imported=replace(MARK, file="again.json", sha256="cd" * 32))
    assert not store.add_imported(later, [run | {"imported": {"file": "again.json"}} for run in runs])
    assert store.sweep("s1").imported == MARK


def test_what_was_measured_here_stays_so(store: Store, imported: Any, records: Records) -> None:
    sweep, runs = imported
    store.add_sweep(replace(sweep, imported=None))
    for run in runs:
        store.add_run("s1", run, records)
    assert not store.add_imported(sweep, runs)
    assert store.sweep("s1").imported is None
    assert len(store.records("r1")) == 3


@pytest.mark.parametrize("change", ["status", "fewer runs", "figure", "created_at"])
def test_another_content_under_the_same_id_is_refused(store: Store, imported: Any, change: str) -> None:
    sweep, runs = imported
    store.add_imported(sweep, runs)
    match change:
        case "status":
            sweep = replace(sweep, status="finished")
        case "fewer runs":
            runs = runs[:1]
        case "figure":
            runs = [runs[0], runs[1] | {"requests_per_s": 5.13}]
        case _:
            sweep = replace(sweep, created_at="2026-11-23T15:29:02+00:00")
    with pytest.raises(StoreError, match=r"the sweep s1 is in .* with another content: pass another --db"):
        store.add_imported(sweep, runs)


def test_nothing_is_left_of_one_that_fails_half_way(
    store: Store, imported: Any, make_sweep: Any, make_document: Any, records: Records, database_rows: Any
) -> None:
    sweep, runs = imported
    store.add_sweep(make_sweep("s0"))
    store.add_run("s0", make_document("r2", "s0"), records)
    with pytest.raises(StoreError, match="the run r2 is stored already"):
        store.add_imported(sweep, runs)
    assert database_rows("SELECT sweep_id FROM sweep") == [("s0",)]
    assert database_rows("SELECT run_id FROM run") == [("r2",)]


@pytest.mark.parametrize("status", ["interrupted", "failed", "stopped", "finished"])
def test_a_resume_never_finds_it(store: Store, imported: Any, make_sweep: Any, status: Any) -> None:
    sweep, runs = imported
    store.add_imported(replace(sweep, status=status), runs)
    assert store.resumable(HASH) is None
    assert store.finished(HASH) is None
    store.add_sweep(make_sweep("s0", "2020-01-01", status="failed"))  # older, and measured here
    found = store.resumable(HASH)
    assert found is not None
    assert found.sweep_id == "s0"


def test_a_store_for_reading_takes_none(url: str, imported: Any) -> None:
    Store.open(url).close()
    with Store.open(url, read_only=True) as store, pytest.raises(StoreError, match="opened for reading only"):
        store.add_imported(*imported)
