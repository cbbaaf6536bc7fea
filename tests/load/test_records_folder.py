"""Folders of runs whose process is gone are removed at the next start, and those of living ones never."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadgen.load.disk import owned_folder, remove_leftovers

HOLD = """
import sys, time
from loadgen.load.disk import owned_folder
with owned_folder() as folder:
    (folder / "0").mkdir()
    (folder / "0" / "data").write_bytes(b"x" * 4096)
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


@pytest.mark.loopback
def test_the_folder_of_a_killed_process_is_removed_and_that_of_a_living_one_stays(place: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    folder = Path(holder.stdout.readline().strip())
    assert remove_leftovers(place) == 0
    assert (folder / "0" / "data").exists()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert folder.exists()
    with owned_folder() as ours:
        assert [path.name for path in place.iterdir()] == [ours.name]
    assert list(place.iterdir()) == []


def test_what_is_not_ours_or_may_be_in_use_stays(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / ".owner").touch()
    (place / "loadgen-records-link").symlink_to(elsewhere)
    (place / "loadgen-records-young").mkdir()
    (place / "loadgen-records-file").touch()
    (place / "other").mkdir()
    (place / "other" / ".owner").touch()
    with owned_folder():
        assert remove_leftovers(place) == 0
    assert (elsewhere / ".owner").exists()
    assert len(list(place.iterdir())) == 4


def test_a_folder_without_a_lock_is_removed_a_day_after_its_last_change(place: Path) -> None:
    old, used = place / "loadgen-records-old", place / "loadgen-records-used"
    for folder in (old, used):
        (folder / "0").mkdir(parents=True)
        for path in (folder / "0", folder):
            os.utime(path, (1, 1))
    (used / "0" / "data").touch()
    assert remove_leftovers(place) == 1
    assert used.exists()
    assert not old.exists()


def test_a_place_that_is_not_there_costs_nothing(place: Path) -> None:
    assert remove_leftovers(place / "none") == 0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A folder whose owner lives."""
    folder.mkdir(parents=True)
    with (folder / ".owner").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def abandoned(folder: Path) -> Path:
    """A folder whose owner is gone."""
    folder.mkdir(parents=True)
    (folder / ".owner").touch()
    (folder / "data").write_bytes(b"x")
    return folder


def test_a_living_folder_within_that_of_a_dead_process_stays_with_it(place: Path) -> None:
    outer = abandoned(place / "loadgen-records-outer")
    with locked(outer / "0" / "loadgen-records-inner"):
        assert remove_leftovers(place) == 0
        assert (outer / "data").exists()
    assert remove_leftovers(place) == 1
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder: (folder / ".owner").write_text("123"), id="a lock with text in it"),
        pytest.param(lambda folder: (folder / ".owner.new").touch(), id="a lock in the making next to it"),
        pytest.param(lambda folder: os.mkfifo(folder / "fifo"), id="a FIFO in it"),
        pytest.param(lambda folder: (folder / "link").symlink_to("/"), id="a link out of it"),
        pytest.param(lambda folder: (folder / "loop").symlink_to(folder), id="a link to itself"),
        pytest.param(lambda folder: (folder / os.fsdecode(b"\xff")).touch(), id="a name that is not UTF-8"),
        pytest.param(lambda folder: (folder / "0").mkdir(mode=0o500), id="a folder that only its owner reads"),
        pytest.param(
            lambda folder: abandoned(abandoned(folder / "loadgen-records-x") / "loadgen-records-y"), id="two more in it"
        ),
    ],
)
def test_what_a_dead_process_left_is_removed_whatever_is_in_it(place: Path, change: Callable[[Path], object]) -> None:
    folder = abandoned(place / "loadgen-records-dead")
    change(folder)
    assert remove_leftovers(place) == 1
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda lock: lock.symlink_to("/etc/passwd"), id="a link"),
        pytest.param(lambda lock: lock.symlink_to("nowhere"), id="a link to nowhere"),
        pytest.param(lambda lock: lock.mkdir(), id="a folder"),
    ],
)
def test_a_lock_that_is_no_file_of_ours_keeps_the_folder(place: Path, make: Callable[[Path], object]) -> None:
    folder = place / "loadgen-records-odd"
    folder.mkdir()
    make(folder / ".owner")
    assert remove_leftovers(place) == 0
    assert folder.exists()


def test_what_is_mounted_in_the_folder_of_a_dead_process_is_not_emptied(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = abandoned(place / "loadgen-records-dead")
    (folder / "mounted").mkdir()
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path).name == "mounted")
    assert remove_leftovers(place) == 0
    assert (folder / "data").exists()


def test_a_file_system_without_locks_does_not_refuse_the_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("loadgen.load.disk.fcntl.flock", no_locks)
    with owned_folder() as folder:
        assert remove_leftovers(place) == 0
        assert folder.exists()
    assert list(place.iterdir()) == []


def test_a_folder_that_another_start_removes_meanwhile_is_no_error(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = abandoned(place / "loadgen-records-dead")
    whole = shutil.rmtree

    def removed_twice(path: Path, *, ignore_errors: bool) -> None:
        whole(path)
        whole(path, ignore_errors=ignore_errors)

    monkeypatch.setattr("loadgen.load.disk.shutil.rmtree", removed_twice)
    assert remove_leftovers(place) == 1
    assert not folder.exists()
