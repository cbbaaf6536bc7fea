"""Folders of runs whose process is gone are removed at the next start, and those of living ones never."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.load.records_folder import owned_folder, remove_leftovers

HOLD = """
import sys, time
from loadgen.load.records_folder import owned_folder
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
