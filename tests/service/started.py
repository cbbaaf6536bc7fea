"""A service as a process of its own, and what it reports on its standard error."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.forked_programs import ForkedProgram

TOKEN = "0123456789abcdef-token"

Process = ForkedProgram | subprocess.Popen[str]


@contextmanager
def serving(db_url: str, *allowed: str, is_forked: bool = True) -> Iterator[tuple[Process, str]]:
    """Run `loadgen dashboard`, and its jobs, in a process that is forked or an interpreter of its own; yield it with its address."""
    flags = [each for target in allowed for each in ("--allow-target", target)]
    arguments = ["dashboard", "--port", "0", "--db", db_url, "--token-env", "THE_TOKEN", *flags]
    environment = {**os.environ, "THE_TOKEN": TOKEN}
    process: Process
    if is_forked:
        process = ForkedProgram("service", arguments, environment=environment)
    else:
        command = [sys.executable, "-m", "loadgen.cli", *arguments]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process, _address_of(process)
    finally:
        process.kill()
        process.communicate()


def _address_of(process: Process) -> str:
    """The address at which it answers, without a slash at the end. Raises AssertionError if it ends without reporting one."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        _, at, rest = line.partition(" at http")
        if at:
            return "http" + rest.split()[0].rstrip("/")
        said.append(line)
    raise AssertionError("".join(said))
