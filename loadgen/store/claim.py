"""Who is at work on a sweep, or a job: one process at a time.

The claim is a socket in Linux's abstract namespace, named after it, which the kernel takes back however its holder
ends; nothing is stored that a `kill -9` would leave behind. It is seen within one machine (and one network namespace) only,
and on Linux only: a sweep that another machine writes into a shared PostgreSQL database is not noticed.
"""

import platform
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from loadgen.errors import UsageError


@contextmanager
def claimed(sweep_id: str) -> Iterator[None]:
    """Hold the sweep for the length of the block. Raises UsageError when another process holds it."""
    with held(
        sweep_id,
        f"the sweep {sweep_id} is still being measured by another process: wait until it ends, or interrupt it, "
        "before you go on with --resume",
    ):
        yield


@contextmanager
def held(name: str, otherwise: str) -> Iterator[None]:
    """Hold whatever has that name for the length of the block. Raises UsageError(`otherwise`) when another process does."""
    if sys.platform != "linux":
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        try:
            claim.bind(_name(name))
        except OSError as error:
            raise UsageError(otherwise) from error
        yield


def is_abandoned(sweep_id: str, environment: Mapping[str, Any]) -> bool:
    """Whether surely no process holds the sweep, which began in `environment`; on another machine nobody here can know.

    Asking takes nothing: a process that wants to claim the sweep at this moment still can.
    """
    if sys.platform != "linux" or environment.get("host", {}).get("name") != platform.node():
        return False
    return not is_held(sweep_id)


def is_held(name: str) -> bool:
    """Whether a process of this machine holds whatever has that name, as far as can be told."""
    if sys.platform != "linux":
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as question:
        try:
            question.connect(_name(name))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True


def _name(name: str) -> str:
    return f"\0loadgen/{name}"
