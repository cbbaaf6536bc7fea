"""What spills comes back whole and in order, from memory or from the file; a full disk loses none."""

import os
import sys
from pathlib import Path

import pytest

from loadgen.engine.eventloop import spill_queue as spill_queue_module
from loadgen.engine.eventloop.spill_queue import SpillQueue

SIZE_BYTES = 4000
Item = tuple[int, bytes]


def item(number: int) -> Item:
    return number, bytes([number % 256]) * SIZE_BYTES


def filled(most_bytes: int, items: int, told: list[int] | None = None) -> SpillQueue[Item]:
    queue: SpillQueue[Item] = SpillQueue(most_bytes, lambda: (told if told is not None else []).append(1))
    for number in range(items):
        queue.add(item(number), SIZE_BYTES)
        queue.spill()
    return queue


@pytest.mark.parametrize("most_bytes", [0, 500_000, 10**9])
def test_what_goes_in_comes_out_in_order(most_bytes: int) -> None:
    queue = filled(most_bytes, 300)
    assert (queue._file is not None) == (most_bytes < 10**9)
    assert list(queue.drain()) == [item(number) for number in range(300)]


@pytest.mark.parametrize("most_bytes", [0, 500_000, 10**9])
def test_it_can_be_looked_through_from_the_newest_on_without_giving_anything_up(most_bytes: int) -> None:
    queue = filled(most_bytes, 300)
    assert list(queue.newest_first()) == [item(number) for number in reversed(range(300))]
    assert next(iter(queue.newest_first())) == item(299)
    assert list(queue.drain()) == [item(number) for number in range(300)]


def test_memory_holds_no_more_than_it_may() -> None:
    queue: SpillQueue[Item] = SpillQueue(500_000, lambda: None)
    for number in range(1000):
        queue.add(item(number), SIZE_BYTES)
        queue.spill()
        assert queue._kept_bytes < 1_100_000
    queue.close()


def test_nothing_is_written_as_items_come_unless_it_is_not_spilled_for_long() -> None:
    queue: SpillQueue[Item] = SpillQueue(500_000, lambda: None)
    for number in range(1000):
        queue.add(item(number), SIZE_BYTES)
        if queue._kept_bytes < 2_000_000 and queue._file is None:
            written_from = number
        assert queue._kept_bytes < 4_000_000
    assert queue._file is not None
    assert 0 < written_from < 999
    queue.close()


def test_its_file_has_no_name_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill_queue_module, "bulk_folder", lambda: tmp_path)
    queue = filled(0, 200)
    assert queue._file is not None
    assert list(tmp_path.iterdir()) == []
    queue.close()


def test_a_full_disk_is_told_once_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    write, calls = SpillQueue._write, iter(range(100))

    def fill_up(queue: SpillQueue[Item], items: list[Item], at: int) -> tuple[int, int]:
        if next(calls) < 2:
            return write(queue, items, at)
        write(queue, items[:1], at)  # part of a batch goes out before the disk is full
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SpillQueue, "_write", fill_up)
    queue = filled(0, 400, told)
    assert told == [1]
    assert "No space left on device; free some space there" in (queue.failure or "")
    assert [number for number, _ in queue.newest_first()] == list(reversed(range(400)))
    assert [number for number, _ in queue.drain()] == list(range(400))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives back a part of a file")
def test_what_was_read_leaves_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill_queue_module, "bulk_folder", lambda: tmp_path)
    queue = filled(0, 400)
    assert queue._file is not None
    descriptor = queue._file.fileno()
    before = os.fstat(descriptor).st_blocks
    reading = queue.drain()
    for _ in range(200):
        next(reading)
    assert os.fstat(descriptor).st_blocks < 0.7 * before
    queue.close()


def test_many_small_items_and_short_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    pwritev = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda file, parts, at: pwritev(file, [parts[0], parts[1][:3]], at))
    queue: SpillQueue[tuple[int, bytes, bytes]] = SpillQueue(0)
    items = [(number, b"%d" % number, b"") for number in range(2000)]
    for small in items:
        queue.add(small, 300)
        queue.spill()
    assert queue._file is not None
    assert list(queue.newest_first()) == items[::-1]
    assert list(queue.drain()) == items
