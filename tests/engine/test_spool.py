"""Finished exchanges come back whole and in order, from memory or from the file; a full disk loses none."""

import os
from pathlib import Path

import pytest

from loadgen.engine import spool as spool_module
from loadgen.engine.exchange import Exchange, stamp_now
from loadgen.engine.record import Outcome
from loadgen.engine.spool import Spool


def exchange(index: int) -> Exchange:
    made = Exchange(index, slot=index % 3, due_ns=index * 10)
    made.sent_ns, made.connect_ns, made.gave_up_ns = index * 10 + 1, None, 7
    made.reads, made.stamps = [b"x" * 4000, b"%d" % index], [stamp_now(), stamp_now()]
    made.complete, made.failure, made.detail = True, Outcome.TIMEOUT, "late \ud800"
    return made


def facts(one: Exchange) -> list[object]:
    return [getattr(one, name) for name in Exchange.__slots__]


@pytest.mark.parametrize("most_bytes", [0, 500_000, 10**9])
def test_what_goes_in_comes_out_in_order(most_bytes: int) -> None:
    spool = Spool(most_bytes)
    before = [exchange(index) for index in range(300)]
    for one in before:
        spool.add(one)
        spool.relieve()
    assert (spool._descriptor is not None) == (most_bytes < 10**9)
    after = list(spool.drain())
    assert [facts(one) for one in after] == [facts(one) for one in before]
    assert after[0].failure is Outcome.TIMEOUT


def test_memory_holds_no_more_than_it_may() -> None:
    spool = Spool(500_000)
    for index in range(1000):
        spool.add(exchange(index))
        spool.relieve()
        assert spool._kept_bytes < 1_100_000
    spool.close()


def test_nothing_is_written_as_answers_end_unless_nobody_relieves_it_for_long() -> None:
    spool = Spool(500_000)
    for index in range(1000):
        spool.add(exchange(index))
        if spool._kept_bytes < 2_000_000 and spool._descriptor is None:
            written_from = index
        assert spool._kept_bytes < 4_000_000
    assert spool._descriptor is not None
    assert 0 < written_from < 999
    spool.close()


def test_its_file_has_no_name_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "bulk_folder", lambda: tmp_path)
    spool = Spool(0)
    for index in range(100):
        spool.add(exchange(index))
        spool.relieve()
    assert spool._descriptor is not None
    assert list(tmp_path.iterdir()) == []
    spool.close()


def test_a_full_disk_is_told_once_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    spool = Spool(0, on_full=lambda: told.append(1))
    write, calls = os.write, iter(range(100))

    def fill_up(descriptor: int, data: bytes) -> int:
        if next(calls) < 2:
            return write(descriptor, data)
        write(descriptor, bytes(data)[:1000])  # part of a batch goes out before the disk is full
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fill_up)
    for index in range(400):
        spool.add(exchange(index))
    assert told == [1]
    assert "No space left on device; free some space there" in (spool.failure or "")
    assert [one.index for one in spool.drain()] == list(range(400))
