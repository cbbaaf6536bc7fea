"""Workers and simulators forked from a process that has imported the engine: a new interpreter takes 0.2 s of a processor to be one.

What belongs to the start of an interpreter is tested with real ones: tests/engine/test_worker.py, tests/servers/test_simulator_process.py.
"""

import gc
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO

from loadgen.engine.worker import serve
from loadgen.servers.simulator.process import main as simulate

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "loadgen.engine.worker",
        "loadgen.servers.simulator.process",
        "pytest",
    ]  # of which the last is this process's own program
)


class _Forked:
    """What a `Worker` and a `SimulatorProcess` ask of their process, a `subprocess.Popen` otherwise."""

    def __init__(self, process: "multiprocessing.context.ForkServerProcess") -> None:
        self._process = process
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout_s: float | None = None) -> int:
        self._process.join(timeout_s)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("forked", timeout_s or 0)
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


class ForkedProcess(_Forked):
    """A worker."""

    def __init__(self, channel: socket.socket, orders: socket.socket) -> None:
        arguments = (dict(os.environ), Connection(os.dup(channel.fileno())), orders)
        super().__init__(_FORKS.Process(target=_work, args=arguments))


class ForkedSimulator(_Forked):
    """A simulator, whose standard error is written to `complaints`."""

    def __init__(self, options: str, complaints: IO[bytes]) -> None:
        inner_in, outer_in = Pipe(duplex=False)
        outer_out, inner_out = Pipe(duplex=False)
        streams = (inner_in, inner_out, Connection(os.dup(complaints.fileno())))
        super().__init__(_FORKS.Process(target=_simulate, args=(dict(os.environ), options, streams)))
        for each in streams:
            each.close()
        self.stdin = os.fdopen(os.dup(outer_in.fileno()), "wb")
        self.stdout = os.fdopen(os.dup(outer_out.fileno()), "rb")
        outer_in.close()
        outer_out.close()


def _begin(environment: dict[str, str]) -> None:
    gc.freeze()  # what was imported before the fork is looked through by no collection
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)


def _work(environment: dict[str, str], channel: Connection, orders: socket.socket) -> None:
    _begin(environment)
    serve(channel, orders)


def _simulate(environment: dict[str, str], options: str, streams: Sequence[Connection]) -> None:
    _begin(environment)
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.exit(simulate(options))
