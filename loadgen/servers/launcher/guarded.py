"""A tool as a process in a session of its own. However the block ends, no process of the session is left."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from loadgen.errors import UsageError

_TERMINATE_WITHIN_S = 5.0


@contextmanager
def running(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], log: IO[bytes]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start `command` in `folder` and yield its process; Ctrl-C reaches loadgen alone, which ends the session then.

    Raises UsageError if the program cannot be started.
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be started: {error.strerror}; check where it is installed") from None
    try:
        yield process
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End all processes of the session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        try:
            process.wait(_TERMINATE_WITHIN_S)
        except subprocess.TimeoutExpired:
            continue
        break
    with suppress(ProcessLookupError, PermissionError):  # what the process started, and left behind
        os.killpg(process.pid, signal.SIGKILL)
