"""A folder that appears as a whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadgen.errors import UsageError


@contextmanager
def new_folder(target: Path, size_bytes: int) -> Iterator[Path]:
    """Yield an empty folder next to `target`, which takes that name when the block ends, and is removed if it fails.

    Raises UsageError, before anything is written, if `target` exists or the disk has less room than `size_bytes`; and if it
    cannot be written to.
    """
    part = target.with_name(f"{target.name}.part")
    if target.is_symlink() or target.exists():
        raise UsageError(f"{target} exists; name a new folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    except OSError as error:
        raise _unwritable(target, error) from None
    if free < size_bytes:
        raise UsageError(
            f"{target} takes {size_bytes / 1e6:,.1f} MB and the disk has {free / 1e6:,.1f} MB free; free some, or name "
            "a folder on another disk"
        )
    try:
        part.mkdir()
    except FileExistsError:
        raise UsageError(
            f"{part} exists: another command writes to it, or one was killed; if none does, remove it"
        ) from None
    except OSError as error:
        raise _unwritable(target, error) from None
    try:
        yield part
        part.rename(target)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            raise _unwritable(target, error) from None
        raise


def _unwritable(target: Path, error: OSError) -> UsageError:
    return UsageError(f"{target} cannot be written: {error.strerror or error}; name another folder")
