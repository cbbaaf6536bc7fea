"""A run that was measured is kept, whatever happens to its database: it waits, comes back, or goes to a file that is named."""

import json
import math
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.sweep import SearchDocument
from loadgen.engine.records.record import Records
from loadgen.errors import StoreError, UsageError
from loadgen.experiments.events import DatabaseRestored, Event, SavingDelayed
from loadgen.experiments.interrupts import Stop
from loadgen.experiments.run_document import MeasuredRun
from loadgen.experiments.saving import Keeper, UnsavedError, save_within_s
from loadgen.store.failures import UnavailableError
from loadgen.store.repository import Store
from tests.clock import Clock
from tests.store.conftest import MakeDocument, MakeSweep

Change = Callable[[Path], None]


class EventfulClock(Clock):
    """Time that passes only while somebody sleeps, and what happens after so many seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[float], None] = lambda now_s: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.then(self.now_s)


class Sweep:
    """A sweep with one stored run, and a second one that is to be kept."""

    def __init__(self, url: str, make_sweep: MakeSweep, make_document: MakeDocument, records: Records) -> None:
        self.store = Store.open(f"{url.partition('?')[0]}?timeout=0")
        self.path = cast(Path, self.store.path)
        self.store.add_sweep(make_sweep("s1"))
        self.clock, self.stop = EventfulClock(), Stop()
        self.events: list[Event] = []
        self.records, self._make_document = records, make_document
        self.keeper = Keeper(
            self.store,
            self.store.sweep("s1"),
            self.stop,
            self.events.append,
            within_s=300.0,
            now_s=lambda: self.clock.now_s,
            sleep=self.clock.sleep,
        )
        self.keep("r1")

    def keep(self, run_id: str, **figures: Any) -> RunDocument:
        document = self._make_document(run_id, "s1") | figures
        document["spec"]["hash"] = f"hash of {run_id}"
        run = MeasuredRun(document, self.records, None, (), (), None, None)
        return self.keeper.keep(run, position=int(run_id[1:]), planned=3)


@pytest.fixture
def sweep(
    url: str, make_sweep: MakeSweep, make_document: MakeDocument, records: Records, monkeypatch: pytest.MonkeyPatch
) -> Sweep:
    path = url.partition("?")[0].removeprefix("sqlite:///")
    monkeypatch.setenv("LOADGEN_STATE_DIR", str(Path(path).parent / "state"))
    return Sweep(url, make_sweep, make_document, records)


def stored(path: Path) -> list[str]:
    with Store.open(f"sqlite:///{path}", read_only=True) as store:
        found = [str(run["run_id"]) for run in store.runs("s1")]
        assert all(len(store.records(run_id)) == 3 for run_id in found)
    return found


def every_file(path: Path) -> list[Path]:
    return [each for each in path.parent.glob(f"{path.name}*") if each.is_file()]


def delete(path: Path) -> None:
    path.unlink()


def delete_with_log(path: Path) -> None:
    for each in every_file(path):
        each.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def move_with_log(path: Path) -> None:
    for each in every_file(path):
        each.rename(each.with_name(each.name.replace(path.name, "moved.db")))


@pytest.mark.parametrize("change", [delete, delete_with_log, move, move_with_log])
def test_a_database_that_is_gone_comes_back_with_all_that_was_in_it(sweep: Sweep, change: Change) -> None:
    change(sweep.path)
    sweep.keep("r2")
    sweep.keep("r3")
    sweep.keeper.set_status("finished")
    sweep.store.close()
    assert stored(sweep.path) == ["r1", "r2", "r3"]
    assert sweep.events == [DatabaseRestored(str(sweep.path))]
    with closing(sqlite3.connect(sweep.path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    moved = sweep.path.with_name("moved.db")
    if moved.exists():
        assert stored(moved) == ["r1"]


def test_a_database_comes_back_on_a_file_system_without_links(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    delete(sweep.path)
    sweep.keep("r2")
    sweep.store.close()
    assert stored(sweep.path) == ["r1", "r2"]


def test_what_cannot_be_put_back_is_in_a_file_that_the_message_names(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_the_race(source: Path, target: Path) -> None:
        target.write_text("another's")
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(os, "link", lose_the_race)
    delete(sweep.path)
    with pytest.raises(UnsavedError, match=r"all that was in it is in \S+") as raised:
        sweep.keep("r2")
    named = re.search(r"all that was in it is in ([^\s;]+)", str(raised.value))
    assert named is not None
    assert stored(Path(named[1])) == ["r1"]
    assert sweep.path.read_text() == "another's"


def replace_by_a_copy(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").rename(path)


def replace_by_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path.with_name("other"))) as other:
        other.execute("CREATE TABLE theirs (a)")
    path.with_name("other").rename(path)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def delete_the_sweep(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA foreign_keys=OFF")
        database.execute("DELETE FROM sweep")


def overwrite_the_beginning(path: Path) -> None:
    with path.open("rb+") as file:
        file.write(b"\0" * 4096)


def overwrite_all_of_it(path: Path) -> None:
    with path.open("rb+") as file:
        file.write(os.urandom(path.stat().st_size))


def write_a_text_into_it(path: Path) -> None:
    path.write_text("these are notes of another program\n" * 1000)


def write_another_programs_database_into_it(path: Path) -> None:
    with closing(sqlite3.connect(path.with_name("other"))) as other:
        other.execute("PRAGMA page_size=1024")
        other.execute("CREATE TABLE theirs (a)")
        other.executemany("INSERT INTO theirs VALUES (?)", [("x" * 500,)] * 500)
        other.commit()
    with path.open("rb+") as file:
        file.truncate(0)
        file.write(path.with_name("other").read_bytes())


def damage_a_page(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'run'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with path.open("rb+") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def put_a_folder_there(path: Path) -> None:
    delete_with_log(path)
    path.mkdir()


def take_the_folder_away(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


@pytest.mark.parametrize(
    "change",
    [
        replace_by_a_copy,
        replace_by_another_program,
        empty,
        delete_the_sweep,
        overwrite_the_beginning,
        overwrite_all_of_it,
        write_a_text_into_it,
        write_another_programs_database_into_it,
        damage_a_page,
        put_a_folder_there,
        take_the_folder_away,
    ],
)
def test_what_the_database_does_not_take_is_in_a_file_that_the_message_names(sweep: Sweep, change: Change) -> None:
    change(sweep.path)
    with pytest.raises(UnsavedError, match=r"run 2 of 3 \(r2\) is not in the database: ") as told:
        sweep.keep("r2")
    words = str(told.value)
    document = Path(words.partition("; its result is in ")[2].partition(",")[0])
    written = json.loads(document.read_text())
    assert (written["sweep_id"], [run["run_id"] for run in written["runs"]]) == ("s1", ["r1", "r2"])
    rescued = Path(words.partition("with its requests in ")[2].partition(" ")[0])
    assert stored(rescued) == ["r2"]
    assert [run["run_id"] for run in sweep.keeper.results()][-1] == "r2"


@pytest.mark.parametrize("change", [replace_by_a_copy, overwrite_the_beginning, empty, delete_the_sweep])
def test_a_database_that_is_lost_after_the_last_run_is_named_with_the_results(sweep: Sweep, change: Change) -> None:
    sweep.keep("r2")
    change(sweep.path)
    with pytest.raises(UnsavedError, match="is not marked as finished: ") as told:
        sweep.keeper.set_status("finished")
    (written,) = sweep.path.parent.glob("loadgen-rescued-s1-*.json")
    assert str(written) in str(told.value)
    assert [run["run_id"] for run in json.loads(written.read_text())["runs"]] == ["r1", "r2"]


def test_a_database_that_others_write_to_is_sound(sweep: Sweep, make_sweep: MakeSweep) -> None:
    with Store.open(f"sqlite:///{sweep.path}") as other:
        for number in range(5):
            other.add_sweep(make_sweep(f"of-another-{number}"))
    with closing(sqlite3.connect(sweep.path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("VACUUM")
    sweep.keep("r2")
    assert stored(sweep.path) == ["r1", "r2"]
    assert sweep.events == []


def test_a_locked_database_is_waited_for_and_the_user_is_told_once(sweep: Sweep) -> None:
    locker = sqlite3.connect(sweep.path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    sweep.clock.then = lambda now_s: locker.execute("ROLLBACK") if locker.in_transaction and now_s > 250 else None  # type: ignore[assignment]
    sweep.keep("r2")
    locker.close()
    assert 250 < sweep.clock.now_s < 262
    assert stored(sweep.path) == ["r1", "r2"]
    (told,) = sweep.events
    assert isinstance(told, SavingDelayed)
    assert "locked" in told.reason


def test_what_a_search_has_found_waits_for_a_locked_database_too(sweep: Sweep) -> None:
    locker = sqlite3.connect(sweep.path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    sweep.clock.then = lambda now_s: locker.execute("ROLLBACK") if locker.in_transaction and now_s > 9 else None  # type: ignore[assignment]
    sweep.keeper.set_search(cast(SearchDocument, {"ended": "running"}))
    locker.close()
    assert sweep.store.sweep("s1").search == {"ended": "running"}


def test_a_run_is_handed_on_as_it_was_stored(sweep: Sweep) -> None:
    kept = sweep.keep("r2", requests_per_s=math.nan)
    assert kept["requests_per_s"] is None
    assert kept["verdict"] == sweep.store.run("r2")["verdict"]
    assert "figure_not_finite" in {finding["code"] for finding in kept["verdict"]["findings"]}


def test_a_lock_that_stays_ends_in_a_file(sweep: Sweep) -> None:
    with closing(sqlite3.connect(sweep.path, isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnsavedError, match="locked by another program"):
            sweep.keep("r2")
    assert 290 < sweep.clock.now_s <= 301


def test_an_interrupt_ends_the_waiting_and_not_the_saving(sweep: Sweep) -> None:
    sweep.stop.request()  # which ended the run
    with closing(sqlite3.connect(sweep.path, isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        sweep.clock.then = lambda now_s: sweep.stop.request() if now_s > 20 else None
        with pytest.raises(UnsavedError, match="; its result is in "):
            sweep.keep("r2")
    assert sweep.clock.now_s < 22


def test_a_commit_whose_acknowledgement_was_lost_is_not_repeated(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    add_run = Store.add_run
    calls: list[int] = []

    def cut(store: Store, *arguments: Any, **named: Any) -> None:
        add_run(store, *arguments, **named)
        calls.append(1)
        raise UnavailableError("the connection was cut")

    monkeypatch.setattr(Store, "add_run", cut)
    sweep.keep("r2")
    assert calls == [1]
    assert stored(sweep.path) == ["r1", "r2"]


@pytest.mark.parametrize(
    "failure", [StoreError("the document cannot be written"), OverflowError("int too large"), MemoryError()]
)
def test_no_failure_of_saving_costs_the_run(sweep: Sweep, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(Store, "add_run", fail)
    with pytest.raises(UnsavedError, match=r"\(r2\) is not in the database.*; its result is in "):
        sweep.keep("r2")


@pytest.mark.parametrize("given", ["soon", "-1", "nan", "inf", "1e9", ""])
def test_a_time_to_save_within_that_is_none(given: str) -> None:
    with pytest.raises(UsageError, match="LOADGEN_SAVE_WITHIN_S"):
        save_within_s({"LOADGEN_SAVE_WITHIN_S": given})


def test_five_minutes_by_default() -> None:
    assert save_within_s({}) == 300.0
    assert save_within_s({"LOADGEN_SAVE_WITHIN_S": "0"}) == 0.0


OPEN_AND_CLOSE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM sweep").fetchone()
connection.close()
"""


@pytest.mark.loopback
def test_looking_at_the_file_of_a_database_in_use_keeps_its_locks(sweep: Sweep) -> None:
    """The locks of a process on a file go when it closes that file anywhere; the log then goes with the next who closes."""
    log = sweep.path.with_name(f"{sweep.path.name}-wal")
    sweep.keep("r2")
    assert sweep.store.has_run("r2")
    assert log.exists()
    subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, str(sweep.path)], check=True)
    assert log.exists()
    sweep.keep("r3")
    assert stored(sweep.path) == ["r1", "r2", "r3"]
