"""Measures one task in this process: connect, freeze the garbage collector, run, and only then look at the bytes."""

import asyncio
import gc
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from loadgen.engine.clock import WallClock
from loadgen.engine.driver import Driver, Progress, Target
from loadgen.engine.limits import make_room
from loadgen.engine.priority import woken_first
from loadgen.engine.probe import LoopProbe
from loadgen.engine.record import ClientFacts, Recording
from loadgen.engine.recorder import Recorder
from loadgen.engine.tokenizer import Tokenizer
from loadgen.engine.transport import StampingTransport, first_that_answers, resolve
from loadgen.errors import EngineError
from loadgen.load.schedule import Schedule
from loadgen.load.spec import LoadShape

PROGRESS_PERIOD_S = 0.25


@dataclass(frozen=True, slots=True)
class Task:
    """One run for the worker."""

    target: Target
    schedule: Schedule
    shape: LoadShape
    duration_s: float | None = None
    request_timeout_s: float = 600.0
    tokenizer: str | None = None  # counts the tokens of chunks where the server does not


async def measure(task: Task, on_progress: Callable[[Progress], None], orders: Callable[[Driver], None]) -> Recording:
    """Carry out one task in this process. `orders` is called with the driver once, to wire up drain and stop.

    Raises EngineError when the host name is unknown, HostLimitError when the system lends too few files or ports.
    """
    loop = asyncio.get_running_loop()
    tokenizer = None if task.tokenizer is None else Tokenizer(task.tokenizer)  # now: a failure later would lose the run
    try:
        address = await first_that_answers(resolve(task.target.scheme, task.target.host, task.target.port))
    except httpx2.ConnectError as error:
        raise EngineError(str(error)) from error
    transports: list[StampingTransport] = []

    def make_transport() -> StampingTransport:
        transports.append(StampingTransport(address))
        return transports[-1]

    driver = Driver(
        task.target,
        task.schedule,
        task.shape,
        make_transport=make_transport,
        duration_s=task.duration_s,
        request_timeout_s=task.request_timeout_s,
    )
    orders(driver)
    make_room(driver.streams, address.sockaddr)
    reporter = loop.create_task(_report(driver, on_progress))
    try:
        await driver.open()
        wall_clock = WallClock()
        probe = LoopProbe(loop, wall_clock)
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            cpu_begun_s = time.process_time()
            probe.start()
            with woken_first() as priority:
                await driver.run()
            cpu_s = time.process_time() - cpu_begun_s
        finally:
            loop_lag_ns = probe.stop()
            gc.enable()
            gc.unfreeze()
    finally:
        reporter.cancel()
        await driver.close()
    on_progress(driver.progress())
    recorder = Recorder(task.schedule, task.shape, driver.origin_ns, wall_clock, task.target.secrets, tokenizer)
    records, stamps = recorder.records(driver.exchanges)
    return Recording(
        records=records,
        client=ClientFacts(
            stamp_source=stamps.source,
            workers=1,
            priority=priority,
            cpu_s=cpu_s,
            wall_s=(driver.finished_ns - driver.origin_ns) / 1e9,
            reads=stamps.reads,
            loop_lag_ns=loop_lag_ns,
            clock_step_ns=wall_clock.largest_step_ns,
            connections_opened=sum(transport.opened for transport in transports),
            connections_reopened=sum(max(0, transport.opened - 1) for transport in transports),
            peak_in_flight=driver.peak_in_flight,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            schedule_exhausted=driver.schedule_exhausted,
        ),
        origin_at=wall_clock.to_utc(driver.origin_ns),
        interrupted=driver.interrupted,
    )


async def _report(driver: Driver, on_progress: Callable[[Progress], None]) -> None:
    while True:
        await asyncio.sleep(PROGRESS_PERIOD_S)
        on_progress(driver.progress())
