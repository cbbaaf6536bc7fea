"""Workers forked from a process that has imported the engine: a new interpreter takes 0.2 s of a processor to be one."""

import gc
import multiprocessing
import os
import socket
import subprocess
from multiprocessing.connection import Connection

from loadgen.engine.worker import serve

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["loadgen.engine.worker", "pytest"])  # of which the latter is this process's own program


class ForkedProcess:
    """What a `Worker` asks of its process, a `subprocess.Popen` otherwise."""

    def __init__(self, channel: socket.socket, orders: socket.socket) -> None:
        arguments = (dict(os.environ), Connection(os.dup(channel.fileno())), orders)
        self._process = _FORKS.Process(target=_work, args=arguments)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout_s: float | None = None) -> int:
        self._process.join(timeout_s)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("worker", timeout_s or 0)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()


def _work(environment: dict[str, str], channel: Connection, orders: socket.socket) -> None:
    gc.freeze()  # what was imported before the fork is looked through by no collection
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    serve(channel, orders)
