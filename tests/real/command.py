"""The installed `loadgen` command, as a user types it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Loadgen = Callable[..., "subprocess.CompletedProcess[str]"]
Command = Callable[..., "subprocess.Popen[str]"]


def loadgen_command(*arguments: str) -> list[str]:
    """argv of the command that belongs to the interpreter of the tests."""
    return [str(Path(sys.executable).with_name("loadgen")), *arguments]
