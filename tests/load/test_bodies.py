"""Bodies in a file: as they were made, in every process, and gone afterwards."""

import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.load import bulk
from loadgen.load.bulk import BodyFile


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bulk, "bulk_folder", lambda: tmp_path)
    return tmp_path


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
