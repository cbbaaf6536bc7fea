"""Where bulky data of a run lies while it lasts: in files on a disk, so that memory does not grow with the run.

The folder with the records of a run is locked by its owner while it lives, and one whose owner is gone is removed. A lock goes
with its process, however that ends, and needs no process id, which may be another's by now.
"""

import ctypes
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from loadgen.errors import UsageError

_PREFIX = "loadgen-records-"
_LOCK = ".owner"
_ABANDONED_S = 86_400.0  # a folder without a lock: of an earlier release, or of one that is being made
_IN_MEMORY = ("tmpfs", "ramfs")
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # <linux/falloc.h>


def bulk_folder() -> Path:
    """Return a folder for temporary files: the usual one, or /var/tmp if the usual one lies in memory.

    An explicit TMPDIR wins.
    """
    usual = Path(tempfile.gettempdir())
    if "TMPDIR" in os.environ or _file_system(usual) not in _IN_MEMORY:
        return usual
    other = Path("/var/tmp")  # kept on a disk by convention (FHS 5.15)
    return other if os.access(other, os.W_OK) and _file_system(other) not in _IN_MEMORY else usual


def write_all(file: FileIO, piece: bytes | memoryview) -> None:
    """Write all of `piece` to an unbuffered file. Raises OSError."""
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]


def release(descriptor: int, begin: int, length: int) -> None:
    """Free the disk blocks of a part of an open file, if the file system can; the part then reads as zeros."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    fallocate = getattr(libc, "fallocate64", None) or getattr(libc, "fallocate", None)  # musl has the latter alone
    if fallocate is not None:
        offset = ctypes.c_int64  # off_t
        fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, offset(begin), offset(length))


def no_room(error: OSError, what: str) -> UsageError:
    """Return the error to raise when `what` could not be written there."""
    return UsageError(
        f"{what} cannot be written to {bulk_folder()}: {error.strerror}; free some space there, or name another "
        "folder with the environment variable TMPDIR"
    )


def _file_system(folder: Path) -> str:
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = [line.split()[1:3] for line in lines]
    holding = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(holding, key=lambda mount: len(mount[0]))[1] if holding else ""


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
        return _is_abandoned(folder) and _emptied(folder)
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


def _is_abandoned(folder: Path) -> bool:
    """Whether nothing in it was changed for a day, as far as that can be seen."""
    try:
        newest_s = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:
        return False
    return datetime.now(UTC).timestamp() - newest_s >= _ABANDONED_S
