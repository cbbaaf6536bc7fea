"""Measures one share of a run in this process: connect, freeze the garbage collector, run, and only then look at the bytes."""

import asyncio
import gc
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from loadgen.engine.capture.recorder import Recorder
from loadgen.engine.capture.sample import SampledReply
from loadgen.engine.capture.spool import Spool
from loadgen.engine.capture.tokenizer import Tokenizer
from loadgen.engine.drive.closed_loop import ClosedLoopDriver
from loadgen.engine.drive.driver import Driver, DriverPlan, Progress, Wiring
from loadgen.engine.drive.open_loop import OpenLoopDriver
from loadgen.engine.drive.throttle import Throttle
from loadgen.engine.eventloop.clock import LoopProbe, WallClock, monotonic_ns
from loadgen.engine.eventloop.host import make_room, raised_priority
from loadgen.engine.eventloop.loop import watcher_of
from loadgen.engine.eventloop.selector import PollPacer
from loadgen.engine.eventloop.spill_queue import SpillQueues
from loadgen.engine.records.column_files import ColumnFiles, Unwritten
from loadgen.engine.records.record import ClientFacts, Int64, Priority, Records
from loadgen.engine.wire.address import Address, ConnectFailedError, resolve
from loadgen.engine.wire.connection import STALE_LIMIT_NS
from loadgen.engine.wire.open_bodies import OpenBodies
from loadgen.engine.wire.target import Target
from loadgen.engine.wire.transport import StampingTransport, first_reachable
from loadgen.errors import EngineError
from loadgen.load.disk import bulk_folder
from loadgen.load.rate_limits import UNLIMITED, RateLimits
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import LoadShape
from loadgen.load.shards import ShardRows, shard, shard_rows

PROGRESS_PERIOD_S = 0.25
_SPILL_PERIOD_S = 0.005  # a quarter of a megabyte each: 50 MB/s, or 150,000 events/s
_NOTHING_TO_SPILL_PERIOD_S = 0.1  # while there is nothing to be written; looking costs as much as ten events

_MARK_PERIOD_NS = 1_000_000_000  # what is older than one or two of them is not lost when the process is killed


@dataclass(frozen=True, slots=True)
class Task(DriverPlan):
    """One run, for one worker or several. `workers` is the most to be used; a run of fewer callers takes fewer."""

    tokenizer: str | None = None  # counts the tokens of chunks where the server does not
    workers: int = 1
    limits: RateLimits = UNLIMITED  # which one worker alone can keep to
    stale_limit_ns: int = STALE_LIMIT_NS
    keep_replies: int = 0  # how many replies are kept with their text


@dataclass(frozen=True, slots=True)
class Share:
    """What worker number `worker` of `workers` does of a task, and the empty folder into which it writes its records."""

    task: Task
    worker: int
    workers: int
    folder: Path


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker reports over its channel; the records are in the share's folder, apart from what is `unwritten`."""

    client: ClientFacts
    origin_at: str
    interrupted: bool
    failure: str | None
    refusal: str | None
    replies: tuple[SampledReply, ...]  # by their index in the whole schedule
    unwritten: Unwritten  # of the records, where the disk was full


@dataclass(frozen=True, slots=True)
class Pause:
    """Sent by a worker whose server asked for silence until then, on the monotonic clock, so that the others pause too."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class Shard:
    """The requests and the load that are a share's own."""

    rows: ShardRows
    schedule: Schedule
    shape: LoadShape
    unplanned: bool  # how many are sent is found out by running

    @classmethod
    def of(cls, share: Share) -> "Shard":
        """Deal it out of the whole task."""
        task, worker, workers = share.task, share.worker, share.workers
        rows = shard_rows(task.shape, len(task.schedule), worker, workers, task.schedule.turns)
        schedule = task.schedule if workers == 1 else shard(task.schedule, rows)
        return cls(rows, schedule, task.shape.share(worker, workers), task.shape.is_unplanned(task.duration_s))

    def in_whole_schedule(self, piece: Records) -> Records:
        """The same records by their places in the whole schedule, and by callers of the whole load."""
        piece.index = self.rows.at(piece.index.astype(np.int64)).astype(np.int32)
        piece.slot = np.where(piece.slot < 0, piece.slot, piece.slot * self.rows.workers + self.rows.worker)
        return piece


def driver_class(shape: LoadShape) -> type[Driver]:
    """What drives a load of that shape: callers, or due times."""
    return OpenLoopDriver if shape.callers is None else ClosedLoopDriver


class _Sender:
    """Sends a share, and knows what the client saw of itself meanwhile. `fault` is a fault of loadgen that ended the run."""

    wall_clock: WallClock
    _priority: Priority
    _cpu_s: float
    _loop_lag_ns: Int64
    _network_rtt_ns: Int64

    def __init__(
        self,
        share: Share,
        own: Shard,
        report: Callable[[Progress | Pause], None],
        *,
        address: Address,
        throttle: Throttle,
        open_bodies: OpenBodies,
    ) -> None:
        task = share.task
        self._transports: list[StampingTransport] = []

        def make_transport() -> StampingTransport:
            self._transports.append(StampingTransport(address, task.stale_limit_ns, open_bodies))
            return self._transports[-1]

        self._watcher = watcher_of(asyncio.get_running_loop())
        self.queues = SpillQueues(on_full=lambda: self.driver.drain(), folder=share.folder)
        self.spool = Spool(self.queues, self._watcher.log)
        wiring = Wiring(
            make_transport=make_transport,
            on_finished=self.spool.add,
            throttle=throttle,
            on_pause=lambda until_ns: report(Pause(until_ns)),
        )
        self.driver = driver_class(own.shape)(replace(task, schedule=own.schedule, shape=own.shape), wiring)
        self._may_pause = own.shape.latency_start == "sent"
        self.fault: str | None = None

    async def send(self, agree_on_start: Callable[[], int]) -> None:
        """Run the driver from the time agreed on, without the garbage collector and with the best priority there is."""
        round_trips_before = self._round_trips_ns()
        self.wall_clock = WallClock()
        probe = LoopProbe(asyncio.get_running_loop(), self.wall_clock)
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            with raised_priority() as self._priority:
                self.queues.start_thread()
                start_at_ns = agree_on_start()
                cpu_begun_s = time.process_time()
                probe.start()
                if self._may_pause:
                    self._watcher.pace(PollPacer(self.driver.connections))
                try:
                    await self.driver.run(start_at_ns)
                except Exception as error:  # a fault of ours: what was measured until then is kept
                    self.fault = f"the measuring process failed ({error!r}), which is a fault in loadgen: report it"
                self._cpu_s = time.process_time() - cpu_begun_s
        finally:
            self._loop_lag_ns = probe.stop()
            gc.enable()
            gc.unfreeze()
        self._network_rtt_ns = _min_each(round_trips_before, self._round_trips_ns())

    def client_facts(self, recorder: Recorder) -> ClientFacts:
        """What the client knows of itself, with what `recorder` has read."""
        driver, opened = self.driver, [transport.opened for transport in self._transports]
        return ClientFacts(
            stamp_source=recorder.stamp_source,
            workers=1,
            priority=self._priority,
            cpu_s=self._cpu_s,
            wall_s=(driver.finished_ns - driver.origin_ns) / 1e9,
            reads=recorder.reads,
            reads_by=self._watcher.reads_by,
            loop_lag_ns=self._loop_lag_ns,
            network_rtt_ns=self._network_rtt_ns,
            clock_step_ns=self.wall_clock.largest_step_ns,
            connections_opened=sum(opened),
            connections_reopened=sum(max(0, times - 1) for times in opened),
            peak_in_flight=driver.peak_in_flight,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            replies=recorder.replies,
            schedule_exhausted=driver.schedule_exhausted,
        )

    def _round_trips_ns(self) -> list[int | None]:
        return [transport.min_round_trip_ns() for transport in self._transports]


async def measure_share(
    share: Share,
    report: Callable[[Progress | Pause], None],
    *,
    adopt: Callable[[Driver], None],
    agree_on_start: Callable[[], int],
    throttle: Throttle,
    open_bodies: OpenBodies | None = None,
) -> WorkerReport:
    """Carry out one share in this process. `adopt` is called with the driver once, to wire up drain and stop.

    `throttle` remembers what earlier runs of this process sent, `open_bodies` what they learned of the server. `agree_on_start`
    is called once everything is connected, and may block; it returns t = 0 on the monotonic clock.
    Raises EngineError when the host name is unknown, HostLimitError when the system lends too few files or ports.
    """
    task, own = share.task, Shard.of(share)
    tokenizer = None if task.tokenizer is None else Tokenizer(task.tokenizer)  # now: a failure later would lose the run
    address = await _address(task.target)
    open_bodies = open_bodies or OpenBodies()
    sender = _Sender(share, own, report, address=address, throttle=throttle, open_bodies=open_bodies)
    driver = sender.driver
    adopt(driver)
    make_room(driver.connections, address.sockaddr)
    schedules = (task.schedule, own.schedule)
    background = [
        asyncio.create_task(_report_progress(driver, report, schedules)),
        asyncio.create_task(_spill(sender.spool, sender.queues)),
    ]
    try:
        await driver.wait_for_room()
        await driver.open()
        await sender.send(agree_on_start)
    finally:
        for each in background:
            each.cancel()
        driver.close()
        open_bodies.close()
        sender.queues.end_thread()
    report(driver.progress())
    recorder = Recorder(
        own.schedule,
        own.shape,
        origin_ns=driver.origin_ns,
        wall_clock=sender.wall_clock,
        secrets=task.target.secrets,
        tokenizer=tokenizer,
        keep_replies=task.keep_replies,
    )
    unwritten, unreadable = await _record(sender.spool, recorder, own, folder=share.folder, schedules=schedules)
    return WorkerReport(
        client=sender.client_facts(recorder),
        origin_at=sender.wall_clock.to_utc(driver.origin_ns),
        interrupted=driver.interrupted or unreadable is not None,
        failure=sender.fault or sender.queues.failure or unreadable,
        refusal=driver.refusal,
        replies=tuple(_in_schedule(recorder.sample.kept, own.rows)),
        unwritten=unwritten,
    )


async def _address(target: Target) -> Address:
    try:
        return await first_reachable(resolve(target.scheme, target.host, target.port, target.route))
    except ConnectFailedError as error:
        raise EngineError(str(error)) from error


async def _record(
    spool: Spool, recorder: Recorder, own: Shard, *, folder: Path, schedules: Iterable[Schedule]
) -> tuple[Unwritten, str | None]:
    """Write the records into `folder`: (what the disk did not take of them, why not all could be read)."""
    unreadable: str | None = None
    with ColumnFiles(folder) as files:
        try:
            for piece in recorder.pieces(spool.drain()):
                files.append(own.in_whole_schedule(piece))
                _release_pages(schedules)
                await asyncio.sleep(0)  # a parent that has gone is noticed in between
        except OSError as error:  # what was read before is kept
            unreadable = f"the responses cannot be read back from {bulk_folder()}: {error.strerror}; check that disk"
        except Exception as error:
            unreadable = f"the responses cannot all be read ({error!r}), which is a fault in loadgen: report it"
    return files.unwritten, unreadable


def _in_schedule(replies: Sequence[SampledReply], rows: ShardRows) -> Iterator[SampledReply]:
    for reply in replies:
        yield replace(reply, index=int(rows.at(np.array([reply.index], np.int64))[0]))


def _min_each(before: Sequence[int | None], after: Sequence[int | None]) -> Int64:
    """The least of each connection, before the run and after it; those that were opened meanwhile have but the latter."""
    pairs = zip_longest(before, after)
    known = ([each for each in pair if each is not None] for pair in pairs)
    return np.array([min(each) for each in known if each], dtype=np.int64)


async def _report_progress(
    driver: Driver, report: Callable[[Progress | Pause], None], schedules: Iterable[Schedule]
) -> None:
    while True:
        await asyncio.sleep(PROGRESS_PERIOD_S)
        report(driver.progress())
        _release_pages(schedules)


def _release_pages(schedules: Iterable[Schedule]) -> None:
    for schedule in schedules:
        schedule.release_pages()


async def _spill(spool: Spool, queues: SpillQueues) -> None:
    """Keep the memory of the queues within its bounds, and what has aged in their files."""
    marked_ns = monotonic_ns()
    while True:
        is_behind = spool.is_behind or queues.is_full
        await asyncio.sleep(_SPILL_PERIOD_S if is_behind else _NOTHING_TO_SPILL_PERIOD_S)
        if monotonic_ns() - marked_ns > _MARK_PERIOD_NS:
            marked_ns = monotonic_ns()
            queues.mark()
        spool.pack()
        queues.spill()
