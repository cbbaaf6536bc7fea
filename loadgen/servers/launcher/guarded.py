"""A tool as a process in a session of its own. However the block ends, and if this process is killed, none of the session is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from loadgen.errors import UsageError

_TERMINATE_WITHIN_S = 5.0
_GUARD = Path(__file__).with_name("guard.py")


@contextmanager
def running(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], log: IO[bytes]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start `command` in `folder` and yield the process that guards it, which has its exit code; Ctrl-C reaches loadgen alone.

    Raises UsageError if the program cannot be started.
    """
    failures, tells = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), str(tells), *command],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.PIPE,  # the lifeline
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(tells,),
        )
    finally:
        os.close(tells)
    with os.fdopen(failures, errors="replace") as told:
        reason = told.read()
    if reason:
        _end(process)
        raise UsageError(f"{command[0]} cannot be started: {reason}; check where it is installed")
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
    if process.stdin is not None:
        process.stdin.close()
