"""Where the launcher keeps its state: one folder per user, since a machine serves one measured server at a time.

Standard library and errors only: the supervisor imports it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from loadgen.errors import UsageError


def state_folder() -> Path:
    """`$LOADGEN_STATE_DIR`, else `$XDG_STATE_HOME/loadgen`, else `~/.local/state/loadgen`; it need not exist."""
    if chosen := os.environ.get("LOADGEN_STATE_DIR"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state").absolute() / "loadgen"


def state_file(folder: Path) -> Path:
    """The record of the server that was started last."""
    return folder / "server.json"


def lock_file(folder: Path) -> Path:
    """Locked by whoever is starting a server."""
    return folder / "starting.lock"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise UsageError, which names the state folder, for whatever cannot be written in it within the block."""
    try:
        yield
    except OSError as error:
        what = error.filename if isinstance(error.filename, str) and error.filename else folder
        raise UsageError(
            f"the state folder {folder} cannot be used: {what}: {error.strerror or error}; repair it, or name another with the "
            "environment variable LOADGEN_STATE_DIR"
        ) from error


KEPT_LOGS = 50


def remove_old_logs(logs: Path) -> None:
    """Remove the oldest logs of starts, so that `KEPT_LOGS` are left once another is made."""
    found: list[tuple[float, Path]] = []
    for path in logs.glob("*.log"):
        with suppress(OSError):
            facts = path.lstat()
            if not stat.S_ISDIR(facts.st_mode):  # which is not ours
                found.append((facts.st_mtime, path))
    for _, path in sorted(found)[: max(0, len(found) - KEPT_LOGS + 1)]:
        with suppress(OSError):
            path.unlink()


def new_log(folder: Path, profile: str) -> Path:
    """A log file for a server that starts now; it is made, empty."""
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    moment = datetime.now(UTC).strftime("%y%m%d-%H%M%S")
    path = logs / f"{profile}-{moment}.log"
    count = 1
    while path.exists():
        count += 1
        path = logs / f"{profile}-{moment}-{count}.log"
    remove_old_logs(logs)
    path.touch(mode=0o600)  # a server may write keys into it
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read: it may hold keys."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
