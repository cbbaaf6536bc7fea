"""A folder that appears as a whole or not at all."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from loadgen.checkpoints import shard
from loadgen.checkpoints.prune import new_folder, prune
from loadgen.checkpoints.selection import Pruning
from loadgen.errors import UsageError
from tests.checkpoints.small_checkpoints import write

HALF = Pruning("inter", 0.5, "norm")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    with new_folder(tmp_path / "above" / "new", 10) as part:
        (part / "file").write_text("whole")
        assert names(tmp_path / "above") == ["new.part"]
    assert (tmp_path / "above" / "new" / "file").read_text() == "whole"
    assert names(tmp_path / "above") == ["new"]


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("cause", "error"), [(no_room, UsageError), (interrupt, KeyboardInterrupt)])
def test_nothing_is_left_of_a_pruning_that_ends_in_the_middle(
    cause: Callable[..., None], error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "source", shards=3)
    written = shard.write_shard

    def second_fails(path: Path, *rest: object) -> None:
        if "00002" in path.name:
            path.write_bytes(b"a half")
            cause()
        written(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("loadgen.checkpoints.prune.write_shard", second_fails)
    with pytest.raises(error):
        prune(source, tmp_path / "pruned", HALF)
    assert names(tmp_path) == ["source"]


def test_too_little_room_is_seen_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20_000))
    source = write(tmp_path / "source")
    with pytest.raises(UsageError, match=r"pruned takes 0\.0 MB and the disk has 0.0 MB free; free some"):
        prune(source, tmp_path / "pruned", HALF)
    assert names(tmp_path) == ["source"]


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    source = write(tmp_path / "source")
    (tmp_path / "pruned").mkdir()
    with pytest.raises(UsageError, match="pruned exists; name a new folder"):
        prune(source, tmp_path / "pruned", HALF)
    (tmp_path / "pruned").rmdir()
    (tmp_path / "pruned.part").mkdir()
    with pytest.raises(UsageError, match=r"pruned.part exists: another command writes to it, or one was killed"):
        prune(source, tmp_path / "pruned", HALF)
    assert names(tmp_path) == ["pruned.part", "source"]


def test_a_place_that_takes_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UsageError, match=r"file/pruned cannot be written: .*; name another folder"):
        prune(write(tmp_path / "source"), tmp_path / "file" / "pruned", HALF)


@pytest.mark.parametrize("taken", ["pruned", "pruned.part", "file"])
def test_a_place_that_is_taken_is_seen_before_norms_are_computed(tmp_path: Path, taken: str) -> None:
    source = write(tmp_path / "source")
    target = tmp_path / "file" / "pruned" if taken == "file" else tmp_path / "pruned"
    (tmp_path / taken).touch()
    said: list[str] = []
    with pytest.raises(UsageError):
        prune(source, target, HALF, said.append)
    assert said == []
    prune(source, tmp_path / "elsewhere", HALF, said.append)
    assert said[0].startswith("computing the norms of layer")


def test_a_folder_without_permission_is_seen_before_norms_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "source")
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)  # root may write everywhere
    said: list[str] = []
    with pytest.raises(UsageError, match="pruned cannot be written: no permission; name another folder"):
        prune(source, tmp_path / "new" / "pruned", HALF, said.append)
    assert said == []
