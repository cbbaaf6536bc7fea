"""Workers and simulators forked from a process that has imported the engine: a new interpreter takes 0.2 s of a processor to be one.

What belongs to the start of an interpreter is tested with real ones: tests/engine/test_worker.py, tests/servers/test_simulator_process.py.
"""

import gc
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import IO

from loadgen.engine.worker import serve
from loadgen.servers.simulator.process import main as simulate
from tests.forked import Forked, take_streams

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "loadgen.engine.worker",
        "loadgen.servers.simulator.process",
        "pytest",
    ]  # of which the last is this process's own program
)


def _start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    process = _FORKS.Process(target=target, args=arguments)
    process.start()
    return process


class ForkedProcess(Forked):
    """A worker."""

    def __init__(self, channel: socket.socket, orders: socket.socket) -> None:
        super().__init__(_start(_work, dict(os.environ), Connection(os.dup(channel.fileno())), orders))


class ForkedSimulator(Forked):
    """A simulator, whose standard error is written to `complaints`."""

    def __init__(self, options: str, complaints: IO[bytes]) -> None:
        inner_in, outer_in = Pipe(duplex=False)
        outer_out, inner_out = Pipe(duplex=False)
        streams = (inner_in, inner_out, Connection(os.dup(complaints.fileno())))
        super().__init__(_start(_simulate, dict(os.environ), options, streams))
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
    take_streams(streams)
    sys.exit(simulate(options))
