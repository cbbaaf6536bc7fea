"""A service that was started as a process: what it reports on its standard error."""

import subprocess


def address_of(process: "subprocess.Popen[str]") -> str:
    """The address at which it answers, without a slash at the end. Raises AssertionError if it ends without reporting one."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        _, at, rest = line.partition(" at http")
        if at:
            return "http" + rest.split()[0].rstrip("/")
        said.append(line)
    raise AssertionError("".join(said))
