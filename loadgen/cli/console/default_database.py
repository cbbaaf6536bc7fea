"""Which database a command uses when neither --db nor LOADGEN_DB names one."""

import os
import stat
from pathlib import Path

FILE_NAME = "loadgen.db"
DEFAULT_DB = f"sqlite:///{FILE_NAME}"


def default_db() -> str:
    """The nearest `loadgen.db` from the working directory upwards, else a new one in the working directory."""
    found = _upwards()
    return DEFAULT_DB if found is None else f"sqlite:///{found}"


def _upwards() -> Path | None:
    """The database above the working directory; None if the working directory has one, or no directory has.

    The search ends at the home directory, or at the root of the file system. A file that somebody else has put into a
    directory where everyone may write is passed over.
    """
    try:
        start, home = Path.cwd(), Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home raises without a home)
    except OSError:  # the working directory is gone
        return None
    if (start / FILE_NAME).exists() or start == home:
        return None
    for folder in start.parents:
        candidate = folder / FILE_NAME
        if _is_ours(candidate):
            return candidate
        if folder == home:
            return None
    return None


def _is_ours(path: Path) -> bool:
    try:
        found, folder = path.stat(), path.parent.stat()
    except OSError:
        return False
    is_shared = bool(folder.st_mode & stat.S_IWOTH)
    return stat.S_ISREG(found.st_mode) and (not is_shared or found.st_uid == os.geteuid())
