"""Records through files: what is written in pieces and read by another process is the same, in the order of the schedule."""

import os
import re
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from loadgen.engine.records.column_files import ColumnFiles, in_schedule_order, read_columns, whole_rows
from loadgen.engine.records.record import CountedBy, Outcome, Records, RequestRecord
from loadgen.engine.records.record_parts import release_pages
from tests.memory import peak_bytes


def row(index: int) -> RequestRecord:
    arrivals = index % 4
    return RequestRecord(
        index=index,
        slot=index % 3,
        outcome=Outcome.OK if index % 5 else Outcome.TIMEOUT,
        http_status=200,
        detail=None if index % 5 else f"late {index}",
        finish_reason="length",
        due_ns=index,
        start_ns=index,
        sent_ns=index + 1,
        end_ns=index + 100,
        prompt_tokens_asked=8,
        output_tokens_asked=4,
        prompt_tokens=8,
        output_tokens=arrivals,
        counted_by=CountedBy.USAGE,
        server_timing={"n": index} if index % 7 == 0 else None,
        arrival_ns=np.arange(arrivals, dtype=np.int64) + index * 1000,
        arrival_tokens=np.full(arrivals, index, np.int32),
        arrival_choice=np.zeros(arrivals, np.int16),
        arrival_coalesced=np.arange(arrivals) % 2 == 1,
    )


def assert_equal(left: Records, right: Records) -> None:
    for field in fields(Records):
        mine, theirs = getattr(left, field.name), getattr(right, field.name)
        if isinstance(theirs, np.ndarray):
            assert mine.dtype == theirs.dtype, field.name
            assert mine.tolist() == theirs.tolist(), field.name
        else:
            assert list(mine) == list(theirs), field.name


def written(folder: Path, pieces: list[list[int]]) -> Records:
    folder.mkdir()
    with ColumnFiles(folder) as files:
        for piece in pieces:
            files.append(Records.from_rows([row(index) for index in piece]))
    return read_columns(folder)


@pytest.mark.parametrize("pieces", [[], [[]], [[0]], [[3, 1, 2], [9], [4, 8]]])
def test_pieces_come_back_end_to_end(tmp_path: Path, pieces: list[list[int]]) -> None:
    expected = Records.from_rows([row(index) for piece in pieces for index in piece])
    assert_equal(written(tmp_path / "0", pieces), expected)


def test_several_workers_rows_stand_in_the_order_of_the_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadgen.engine.records.column_files._ROWS_AT_ONCE", 7)
    order = np.random.default_rng(1).permutation(60).tolist()
    parts = [written(tmp_path / str(k), [order[k::3][:5], order[k::3][5:]]) for k in range(3)]
    ordered = tmp_path / "ordered"
    ordered.mkdir()
    records = in_schedule_order(parts, ordered)
    for path in tmp_path.glob("*/*"):
        path.unlink()  # the mapped files may go
    assert_equal(records, Records.from_rows([row(index) for index in range(60)]))


def test_requests_without_a_row_leave_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.engine.records.column_files._ROWS_AT_ONCE", 3)
    parts = [written(tmp_path / "0", [[40, 2, 38]]), written(tmp_path / "1", [[], [17, 1, 39]])]
    ordered = tmp_path / "ordered"
    ordered.mkdir()
    expected = Records.from_rows([row(index) for index in (1, 2, 17, 38, 39, 40)])
    assert_equal(in_schedule_order(parts, ordered), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped of a file")
def test_pages_that_were_looked_at_are_given_back_and_come_again(tmp_path: Path) -> None:
    records = written(tmp_path / "0", [list(range(2000))])

    def looked_at_kib() -> int:
        maps = Path("/proc/self/smaps").read_text().split(str(tmp_path))[1:]
        return sum(int(re.findall(r"Rss: +(\d+) kB", each)[0]) for each in maps)

    before = [getattr(records, field.name)[7] for field in fields(Records)]
    assert looked_at_kib() > 0
    release_pages(records)
    assert looked_at_kib() == 0
    assert [getattr(records, field.name)[7] for field in fields(Records)] == before
    release_pages(Records.from_rows([row(0)]))  # which has nothing mapped


def test_putting_rows_in_order_takes_a_few_bytes_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.load.bulk._ENTRIES_AT_ONCE", 1000)

    def bytes_for(rows: int) -> int:
        piece = Records.from_rows([row(index) for index in reversed(range(1000))])
        folder, ordered = tmp_path / str(rows), tmp_path / f"{rows} ordered"
        folder.mkdir()
        ordered.mkdir()
        with ColumnFiles(folder) as files:
            for begin in reversed(range(0, rows, 1000)):
                files.append(replace(piece, index=piece.index + np.int32(begin)))
        part = read_columns(folder)
        return peak_bytes(lambda: in_schedule_order([part], ordered))

    few, many = 10_000, 50_000
    # Where the row of each lies. A row itself is 130 bytes.
    assert (bytes_for(many) - bytes_for(few)) / (many - few) < 5


@pytest.mark.parametrize("rows", [0, 1, 7, 40])
@pytest.mark.parametrize("cut_bytes", [0, 1, 9, 10**6])
def test_rows_that_a_killed_process_had_not_written_in_full_are_left_out(
    tmp_path: Path, rows: int, cut_bytes: int
) -> None:
    whole = Records.from_rows([row(index) for index in range(rows)])
    names = [path.name for path in _written(tmp_path / "whole", whole)]
    for name in names:  # whichever column was being written
        folder = tmp_path / name
        (cut,) = [path for path in _written(folder, whole) if path.name == name]
        os.truncate(cut, max(0, cut.stat().st_size - cut_bytes))
        found = whole_rows(folder)
        assert_equal(found, Records.from_rows([row(index) for index in range(len(found))]))
        assert len(found) == rows or cut_bytes
    assert len(whole_rows(tmp_path / "nothing")) == 0


def _written(folder: Path, records: Records) -> list[Path]:
    folder.mkdir()
    with ColumnFiles(folder) as files:
        files.append(records)
    return list(folder.iterdir())
