"""Folders for the records of runs: each is locked by its owner while it lives, and one whose owner is gone is removed.

A lock goes with its process, however that ends, and needs no process id, which may be another's by now.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from loadgen.load.disk import bulk_folder

_PREFIX = "loadgen-records-"
_LOCK = ".owner"
_ABANDONED_S = 86_400.0  # a folder without a lock: of an earlier release, or of one that is being made


@contextmanager
def owned_folder() -> Iterator[Path]:
    """Yield a new folder that is removed at the end, or at the next start of a run if this process dies first. Raises OSError."""
    remove_leftovers(bulk_folder())
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=bulk_folder(), ignore_cleanup_errors=True) as name:
        folder = Path(name)
        unlocked = folder / f"{_LOCK}.new"
        with unlocked.open("w") as lock:
            with suppress(OSError):  # a file system without locks: the folder counts as one of an earlier release
                fcntl.flock(lock, fcntl.LOCK_EX)
                unlocked.rename(folder / _LOCK)  # never visible unlocked
            yield folder


def remove_leftovers(place: Path) -> int:
    """Remove this user's folders in `place` whose owner is gone; return how many were removed."""
    try:
        found = list(place.glob(f"{_PREFIX}*"))
    except OSError:
        return 0
    return sum(_removed(folder) for folder in found)


def _removed(folder: Path) -> bool:
    try:
        facts = folder.lstat()
        if folder.is_symlink() or not folder.is_dir() or facts.st_uid != os.getuid():
            return False
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return _now_s() - _newest_s(folder) >= _ABANDONED_S and _emptied(folder)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _emptied(folder)
    except OSError:  # its owner lives
        return False
    finally:
        os.close(lock)


def _emptied(folder: Path) -> bool:
    """Remove a folder whose owner is gone, unless something is mounted in it or a living run, whose TMPDIR is in it, has a folder there."""
    if any(os.path.ismount(path) for path in folder.rglob("*")):
        return False
    for inner in [path for path in folder.rglob(f"{_PREFIX}*") if path.is_dir() and not path.is_symlink()]:
        if inner.exists() and not _removed(inner):
            return False
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _newest_s(folder: Path) -> float:
    """When anything in it was changed last; now, if that cannot be seen."""
    newest = 0.0
    with suppress(OSError):
        for path in (folder, *folder.rglob("*")):
            newest = max(newest, path.lstat().st_mtime)
        return newest
    return _now_s()


def _now_s() -> float:
    return datetime.now(UTC).timestamp()
