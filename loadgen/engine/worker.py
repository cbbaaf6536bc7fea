"""One worker process: shares of tasks in, records in files out. `Worker` is the parent's handle on it.

Measuring happens in a process of its own, so that progress displays, the database and the rest of loadgen never share its
interpreter. Shares and progress travel over one socket pair; orders (drain, stop) over another, which also tells the worker
that the parent is gone, however it died.
"""

import asyncio
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
from collections import defaultdict
from multiprocessing.connection import Connection
from pathlib import Path

from loadgen.engine.drive.driver import Driver, Progress
from loadgen.engine.drive.throttle import Throttle
from loadgen.engine.eventloop.clock import monotonic_ns
from loadgen.engine.eventloop.loop import make_loop
from loadgen.engine.measurement import Pause, Share, WorkerReport, measure_share
from loadgen.engine.wire.open_bodies import OpenBodies
from loadgen.engine.wire.sockets import ask_for_kernel_stamps
from loadgen.errors import EngineError, LoadgenError

READY = "ready"
"""Said when everything is connected; the answer is t = 0."""


class WorkerDiedError(EngineError):
    """The process of a worker has ended unexpectedly. `how`: in words, without the consequences."""

    def __init__(self, how: str) -> None:
        super().__init__(f"{how}; nothing of this run was measured")
        self.how = how


Message = Progress | Pause | WorkerReport | LoadgenError | str
_EXIT_TIMEOUT_S = 5.0
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_DRAIN, _STOP, _PAUSE = 0, 1, 2
_ORDER = struct.Struct("BIq")  # what to do, in which run (one that comes late must not hit the next), until when
_PROBE_TOKENS = 64  # the most that the one request may have had by which the server was asked what it counts


class Worker:
    """One measuring process, from the parent's side; usable for any number of runs in turn. `channel` may be waited on."""

    def __init__(self) -> None:
        channel, their_channel = socket.socketpair()
        self._orders, their_orders = socket.socketpair()
        with their_channel, their_orders:
            self._process = _start_process(their_channel, their_orders)
        self.channel = Connection(channel.detach())
        self._run = 0
        self.busy = False  # it has been given something and has not answered

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, share: Share) -> None:
        """Give it something to do. Raises EngineError when it has died."""
        self._run += 1
        self.busy = True
        self._tell(share)

    def send_start(self, start_at_ns: int) -> None:
        """Send t = 0, after the worker has reported that it is ready."""
        self._tell(start_at_ns)

    def receive(self) -> Message:
        """Return its next message; block until there is one. Raise WorkerDiedError when it has died."""
        try:
            message: Message = self.channel.recv()
        except (EOFError, ConnectionError) as error:
            raise self._died() from error
        return message

    def drain(self) -> None:
        """Send nothing more in the present run and wait for what is in flight. Safe in a signal handler."""
        self._order(_DRAIN)

    def stop(self) -> None:
        """End the present run now; what finished is returned. Safe in a signal handler."""
        self._order(_STOP)

    def pause(self, until_ns: int) -> None:
        """Send nothing in the present run before that time of the monotonic clock."""
        self._order(_PAUSE, until_ns)

    def close(self) -> None:
        self.channel.close()
        self._orders.close()
        try:
            self._process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End the process at once, whatever it is doing."""
        self._process.kill()
        self.close()

    def _tell(self, message: Share | int) -> None:
        try:
            self.channel.send(message)
        except ConnectionError as error:
            raise self._died() from error

    def _died(self) -> WorkerDiedError:
        code = self._process.wait(_EXIT_TIMEOUT_S)
        if code >= 0:
            return WorkerDiedError(f"the measuring process ended unexpectedly (exit code {code})")
        name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
        memory = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
        return WorkerDiedError(f"the measuring process was killed ({name}{memory})")

    def _order(self, order: int, until_ns: int = 0) -> None:
        try:
            self._orders.send(_ORDER.pack(order, self._run, until_ns))
        except ConnectionError:
            return  # the worker has died; `run` is about to notice


def _start_process(channel: socket.socket, orders: socket.socket) -> "subprocess.Popen[bytes]":
    descriptors = (channel.fileno(), orders.fileno())
    return subprocess.Popen(
        [sys.executable, "-m", "loadgen.engine.worker", *map(str, descriptors)],
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is the parent's to judge: it drains or stops us
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    """The parent's environment, in which this very package is found first whatever the working directory."""
    package_parent = str(Path(__file__).resolve().parents[2])
    paths = [package_parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    single = dict.fromkeys(_THREADS, "1")  # NumPy's would spin beside the measurement
    return {**os.environ, **single, "PYTHONPATH": os.pathsep.join(paths)}


class _Orders:
    """The orders for the `run`-th run: each goes to its driver, at once or as soon as there is one."""

    def __init__(self, orders: socket.socket, run: int) -> None:
        self._orders = orders
        self._run = run
        self._received: list[tuple[int, int]] = []
        self._driver: Driver | None = None
        self._task = asyncio.current_task()

    def adopt(self, driver: Driver) -> None:
        """Give `driver` the orders that have come, and those to come."""
        self._driver = driver
        for order, until_ns in self._received:
            _apply(order, driver, until_ns)

    def on_readable(self) -> None:
        """Read one order. At the end of the stream, which is that of the parent, the task of the run is cancelled."""
        message = self._orders.recv(_ORDER.size, socket.MSG_WAITALL)
        if len(message) < _ORDER.size:
            asyncio.get_running_loop().remove_reader(self._orders)
            assert self._task is not None
            self._task.cancel()
            return
        order, meant_for, until_ns = _ORDER.unpack(message)
        if meant_for != self._run:
            return
        self._received.append((order, until_ns))
        if self._driver is not None:
            _apply(order, self._driver, until_ns)


def _apply(order: int, driver: Driver, until_ns: int) -> None:
    if order == _DRAIN:
        driver.drain()
    elif order == _STOP:
        driver.stop()
    else:
        driver.pause(until_ns)


async def _carry_out(
    share: Share,
    run: int,
    *,
    channel: Connection,
    orders: socket.socket,
    throttle: Throttle,
    open_bodies: OpenBodies,
) -> WorkerReport:
    """Measure `share`, the `run`-th, while listening for orders. Raises asyncio.CancelledError when the parent is gone."""
    loop = asyncio.get_running_loop()
    received = _Orders(orders, run)

    def agree_on_start() -> int:
        channel.send(READY)
        start_at_ns: int = channel.recv()
        return start_at_ns

    loop.add_reader(orders, received.on_readable)
    try:
        return await measure_share(
            share,
            channel.send,
            adopt=received.adopt,
            agree_on_start=agree_on_start,
            throttle=throttle,
            open_bodies=open_bodies,
        )
    finally:
        loop.remove_reader(orders)


def serve(channel: Connection, orders: socket.socket) -> None:
    """The worker's life: one share after the other until the parent's side closes."""
    with socket.socket() as keeper:
        ask_for_kernel_stamps(keeper)  # from now on, so that the first read of the first run is stamped too
        _serve(channel, orders)


def _serve(channel: Connection, orders: socket.socket) -> None:
    throttle = Throttle()
    open_bodies: defaultdict[tuple[str, int], OpenBodies] = defaultdict(OpenBodies)  # by host and port
    for run in itertools.count(1):
        try:
            share: Share = channel.recv()
            if share.task.limits != throttle.limits:
                throttle = Throttle(share.task.limits)
                throttle.note_sent(_PROBE_TOKENS, monotonic_ns())
            bodies = open_bodies[share.task.target.host, share.task.target.port]
            try:
                with asyncio.Runner(loop_factory=make_loop) as runner:
                    message: WorkerReport | EngineError = runner.run(
                        _carry_out(share, run, channel=channel, orders=orders, throttle=throttle, open_bodies=bodies)
                    )
            except EngineError as error:
                message = error
            except (EOFError, ConnectionError):
                raise
            except Exception as error:  # a fault of ours: reported in one sentence, and the process lives on
                message = EngineError(
                    f"the measuring process failed ({error!r}), which is a fault in loadgen: report it"
                )
            channel.send(message)
        except (EOFError, ConnectionError, asyncio.CancelledError):
            return


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
