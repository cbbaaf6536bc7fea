"""Columns in files: as they were written, in every process, and no memory but for what is looked at."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loadgen.load import bulk
from loadgen.load.bulk import FileArray, chunks_of, items, release_pages


@pytest.mark.parametrize("pieces", [[], [[]], [[1, -2], [], [3]]])
def test_a_column_is_what_was_written(pieces: list[list[int]]) -> None:
    column = FileArray.write(np.int32, [np.array(piece, np.int64) for piece in pieces])
    expected = [entry for piece in pieces for entry in piece]
    assert column.dtype == np.int32
    assert column.tolist() == list(items(column)) == expected
    copy = pickle.loads(pickle.dumps(column))
    del column
    assert copy.tolist() == expected
    made = copy[copy > 0] + 1
    assert pickle.loads(pickle.dumps(made)).tolist() == [entry + 1 for entry in expected if entry > 0]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere another process finds the file by its name alone")
def test_what_is_sent_to_another_process_is_no_copy() -> None:
    column = FileArray.write(np.int64, [np.arange(100_000)])
    sent = pickle.dumps(column)
    assert len(sent) < 500
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)[-1])"
    reader = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    assert reader.stdout == b"99999\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped of a file")
def test_who_goes_through_a_column_holds_a_piece_of_it() -> None:
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    column = FileArray.write(np.int64, (np.full(100_000, number) for number in range(40)))
    before = resident_bytes()
    assert sum(int(piece.sum()) for piece in chunks_of(column)) == 100_000 * sum(range(40))
    assert resident_bytes() - before < 8_000_000
    assert int(column.sum()) == 100_000 * sum(range(40))
    assert resident_bytes() - before > 24_000_000
    release_pages(column)
    assert resident_bytes() - before < 8_000_000
    assert column[-1] == 39


def test_pieces_are_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_ENTRIES_AT_ONCE", 3)
    for entries in range(8):
        assert [entry for piece in chunks_of(np.arange(entries)) for entry in piece] == list(range(entries))
