"""Where bulky data of a run lies while it lasts: in files on a disk, so that memory does not grow with the run."""

import os
import tempfile
from pathlib import Path

from loadgen.errors import UsageError

_IN_MEMORY = ("tmpfs", "ramfs")


def bulk_folder() -> Path:
    """A folder for temporary files, on a disk where there is one: the usual one, else /var/tmp, when that lies in memory.

    Who sets TMPDIR has decided already.
    """
    usual = Path(tempfile.gettempdir())
    if "TMPDIR" in os.environ or _file_system(usual) not in _IN_MEMORY:
        return usual
    other = Path("/var/tmp")  # kept on a disk by convention (FHS 5.15)
    return other if os.access(other, os.W_OK) and _file_system(other) not in _IN_MEMORY else usual


def no_room(error: OSError, what: str) -> UsageError:
    """What to tell when `what` could not be written there."""
    return UsageError(
        f"{what} cannot be written to {bulk_folder()}: {error.strerror}; free some space there, or name another "
        "folder with the environment variable TMPDIR"
    )


def _file_system(folder: Path) -> str:
    """The kind of file system that holds `folder`; empty where the system does not tell."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = [line.split()[1:3] for line in lines]
    holding = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(holding, key=lambda mount: len(mount[0]))[1] if holding else ""
