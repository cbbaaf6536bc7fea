"""A script: run a command, and end all processes of this session if the one that started it is gone.

    python guard.py FAILURES COMMAND…

Standard input is the lifeline: it ends when the process that holds its other end does, however that happens. The exit code, or the
signal, is the command's. Why a command cannot be started is written to the file descriptor FAILURES. Standard library only, and
nothing of loadgen.
"""

import os
import signal
import subprocess
import sys
from threading import Thread


def main(failures: int, command: list[str]) -> int:
    """Run the command to its end, or to that of the lifeline."""
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # the command gets it too, and its end is waited for
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        os.write(failures, (error.strerror or str(error)).encode())
        return 1
    os.close(failures)
    Thread(target=_end_with_lifeline, daemon=True).start()
    code = child.wait()
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _end_with_lifeline() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.killpg(0, signal.SIGKILL)  # this process too


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
