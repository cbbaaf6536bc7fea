"""One worker process: tasks in, recordings out. `Worker` is the parent's handle on it, kept for a whole sweep.

Measuring happens in a process of its own, so that progress displays, the database and the rest of loadgen never share its
interpreter. Tasks and results travel over one socket pair; orders (drain, stop) over another, which also tells the worker
that the parent is gone, however it died.
"""

import asyncio
import itertools
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from loadgen.engine.connection import ask_for_kernel_stamps
from loadgen.engine.driver import Driver, Progress, Target
from loadgen.engine.measurement import Task, measure
from loadgen.engine.record import Recording
from loadgen.errors import EngineError

__all__ = ["Progress", "Target", "Task", "Worker"]

_POLL_S = 0.1
_GOODBYE_S = 5.0
_DRAIN, _STOP = 0, 1
_ORDER = struct.Struct("BI")  # what to do, and in which run: one that comes late must not hit the next run


class Worker:
    """The measuring process, from the parent's side. A context manager; usable for any number of runs in turn."""

    def __init__(self) -> None:
        channel, their_channel = socket.socketpair()
        self._orders, their_orders = socket.socketpair()
        with their_channel, their_orders:
            descriptors = (their_channel.fileno(), their_orders.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-m", "loadgen.engine.worker", *map(str, descriptors)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is the parent's to judge: it drains or stops us
                env=_environment(),
            )
        self._channel = Connection(channel.detach())
        self._run = 0

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def run(self, task: Task, on_progress: Callable[[Progress], None] = lambda progress: None) -> Recording:
        """Carry out `task`; `on_progress` hears of it a few times a second.

        Raises EngineError when the worker dies or cannot carry it out.
        """
        self._run += 1
        try:
            self._channel.send(task)
            while True:
                if not self._channel.poll(_POLL_S):
                    continue
                message = self._channel.recv()
                if isinstance(message, Recording):
                    return message
                if isinstance(message, EngineError):
                    raise message
                on_progress(message)
        except (EOFError, ConnectionError) as error:
            code = self._process.wait(_GOODBYE_S)
            raise EngineError(
                f"the measuring process ended unexpectedly (exit code {code}); this run is lost"
            ) from error

    def drain(self) -> None:
        """Send nothing more in the present run and wait for what is in flight. Safe in a signal handler."""
        self._order(_DRAIN)

    def stop(self) -> None:
        """End the present run now; what finished is returned. Safe in a signal handler."""
        self._order(_STOP)

    def close(self) -> None:
        """End the process."""
        self._channel.close()
        self._orders.close()
        try:
            self._process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _order(self, order: int) -> None:
        try:
            self._orders.send(_ORDER.pack(order, self._run))
        except ConnectionError:
            return  # the worker has died; `run` is about to find out and say so


def _environment() -> dict[str, str]:
    """The parent's environment, in which this very package is found first whatever the working directory."""
    package_parent = str(Path(__file__).resolve().parents[2])
    paths = [package_parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


async def _carry_out(task: Task, run: int, channel: Connection, orders: socket.socket) -> Recording:
    """Measure `task`, the `run`-th, while listening for orders. Raises asyncio.CancelledError when the parent is gone."""
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()
    assert running is not None
    heard: list[int] = []
    drivers: list[Driver] = []

    def obey(driver: Driver, order: int) -> None:
        if order == _DRAIN:
            driver.drain()
        else:
            driver.stop()

    def hear() -> None:
        message = orders.recv(_ORDER.size, socket.MSG_WAITALL)
        if len(message) < _ORDER.size:
            loop.remove_reader(orders)
            running.cancel()
            return
        order, meant_for = _ORDER.unpack(message)
        if meant_for == run:
            heard.append(order)
            for driver in drivers:
                obey(driver, order)

    def adopt(driver: Driver) -> None:
        drivers.append(driver)
        for order in heard:
            obey(driver, order)

    loop.add_reader(orders, hear)
    try:
        return await measure(task, channel.send, adopt)
    finally:
        loop.remove_reader(orders)


def serve(channel: Connection, orders: socket.socket) -> None:
    """The worker's life: one task after the other until the parent's side closes."""
    for run in itertools.count(1):
        try:
            task: Task = channel.recv()
            try:
                answer: Recording | EngineError = uvloop.run(_carry_out(task, run, channel, orders))
            except EngineError as error:
                answer = error
            except (EOFError, ConnectionError):
                raise
            except Exception as error:  # a fault of ours: told in one sentence, and the process lives on
                answer = EngineError(f"the measuring process failed: {error!r}; this run is lost")
            channel.send(answer)
        except (EOFError, ConnectionError, asyncio.CancelledError):
            return


if __name__ == "__main__":
    with socket.socket() as keeper:
        ask_for_kernel_stamps(keeper)  # from now on, so that the first read of the first run is stamped too
        serve(Connection(int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
