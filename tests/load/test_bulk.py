"""Columns and bodies in files: as they were written, in every process, no memory but for what is read, and gone afterwards."""

import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loadgen.errors import UsageError
from loadgen.load import bulk
from loadgen.load.bulk import BodyFile, FileArray, chunks_of, items, release_pages


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bulk, "bulk_folder", lambda: tmp_path)
    return tmp_path


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


@pytest.mark.parametrize("bodies", [[], [b""], [b"a", b"", b"ccc" * 1000]])
def test_bodies_are_those_that_were_written(bodies: list[bytes]) -> None:
    written = BodyFile.write(iter(bodies))
    assert list(written) == [written[i] for i in range(len(bodies))] == bodies
    assert len(written) == len(bodies)
    assert written[:2] == tuple(bodies[:2])
    with pytest.raises(IndexError):
        written[len(bodies)]


def test_a_copy_reads_the_same_file_and_the_file_goes_with_its_writer(folder: Path) -> None:
    written = BodyFile.write([b"one", b"two"])
    sent = pickle.dumps(written)
    copy = pickle.loads(sent)
    del written
    gc.collect()
    assert list(folder.iterdir()) == []
    with pytest.raises(OSError, match="No such file"):
        pickle.loads(sent)
    assert list(copy) == [b"one", b"two"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere another process finds the file by its name alone")
def test_the_file_has_no_name_that_a_killed_process_would_leave_behind(folder: Path) -> None:
    written = BodyFile.write([b"one", b"two"])
    assert list(folder.iterdir()) == []
    code = "import pickle, sys; print(list(pickle.load(sys.stdin.buffer)))"
    reader = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(written), capture_output=True, check=True)
    assert reader.stdout == b"[b'one', b'two']\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped of a file")
def test_bodies_that_were_read_are_no_memory_of_the_process() -> None:
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    written = BodyFile.write(bytes(1000) for _ in range(32_000))
    before = resident_bytes()
    assert sum(len(body) for body in written) == 32_000_000
    assert resident_bytes() - before < 16_000_000


def test_what_is_not_finished_leaves_no_file(folder: Path) -> None:
    def breaks() -> "list[bytes]":
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BodyFile.write(body for _ in range(1) for body in breaks())
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_one_sentence(folder: Path) -> None:
    def full() -> bytes:
        raise OSError(28, "No space left on device")

    with pytest.raises(UsageError, match=r"cannot be written to .*: No space left on device; free some space"):
        BodyFile.write(full() for _ in range(1))
    assert list(folder.iterdir()) == []
