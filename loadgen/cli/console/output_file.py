"""Files that users name: written whole or not at all."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from loadgen.errors import UsageError


def write_file(path: Path, content: bytes) -> None:
    """Put `content` in the file at `path`; an earlier file stays as it is until the new one is complete.

    What is no regular file, such as a device or a pipe, is written to directly, and so is a file whose folder takes no other.
    Raises UsageError.
    """
    try:
        before = path.stat() if path.exists() else None  # of /dev/stdout what it stands for, which may have no path
        target = path.resolve()
        if (before is None or stat.S_ISREG(before.st_mode)) and _may_replace(target):
            _replace(target, content, before)
        else:
            path.write_bytes(content)
    except (OSError, ValueError, RuntimeError) as error:  # a name with a NUL; links in a circle
        why = (getattr(error, "strerror", None) or "refused").lower()
        raise UsageError(f"cannot write {path}: {why}") from error


def _may_replace(target: Path) -> bool:
    if not target.exists():
        return True
    return os.access(target.parent, os.W_OK) and os.access(target, os.W_OK)


def _replace(target: Path, content: bytes, before: os.stat_result | None) -> None:
    part = target.with_name(f".loadgen-{secrets.token_hex(8)}.part")
    mode = 0o666 if before is None else stat.S_IMODE(before.st_mode)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if before is not None:
                os.fchmod(descriptor, mode)
                with suppress(OSError):  # only root gives files away
                    os.fchown(descriptor, before.st_uid, before.st_gid)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
