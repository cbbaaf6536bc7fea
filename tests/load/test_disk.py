"""Bulky data keeps out of memory."""

from pathlib import Path

import pytest

from loadgen.load import disk


def test_a_folder_in_memory_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    kinds = {tmp_path: "tmpfs", Path("/var/tmp"): "ext4"}
    monkeypatch.setattr(disk, "_file_system", kinds.__getitem__)
    assert disk.bulk_folder() == Path("/var/tmp")
    kinds[tmp_path] = "ext4"
    assert disk.bulk_folder() == tmp_path
    kinds[tmp_path] = kinds[Path("/var/tmp")] = "tmpfs"
    assert disk.bulk_folder() == tmp_path


def test_whoever_names_a_folder_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(disk, "_file_system", lambda folder: "tmpfs")
    assert disk.bulk_folder() == tmp_path


def test_a_file_system_is_that_of_the_innermost_mount() -> None:
    assert disk._file_system(Path("/proc/self")) == "proc"
