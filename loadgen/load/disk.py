"""Where bulky data of a run lies while it lasts: in files on a disk, so that memory does not grow with the run."""

import ctypes
import os
import sys
import tempfile
from io import FileIO
from pathlib import Path

from loadgen.errors import UsageError

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


def write_all(file: FileIO, piece: bytes) -> None:
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
    """Return the kind of file system that holds `folder`; empty if unknown."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = [line.split()[1:3] for line in lines]
    holding = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(holding, key=lambda mount: len(mount[0]))[1] if holding else ""
