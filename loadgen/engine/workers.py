"""The measuring processes of a sweep, from the parent's side: a task is dealt out, started at the same time, and put together.

The workers share nothing. Each connects and reports that it is ready; when all have, they are given the same t = 0 of the monotonic clock,
which all processes of a host share. Records come home in files.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import chain
from multiprocessing import connection
from pathlib import Path
from typing import get_args

import numpy as np

from loadgen.engine.capture.sample import drawn
from loadgen.engine.drive.driver import Progress
from loadgen.engine.eventloop.clock import WallClock, monotonic_ns
from loadgen.engine.measurement import Pause, Share, Task, WorkerReport
from loadgen.engine.records.column_files import in_schedule_order, read_columns
from loadgen.engine.records.record import ClientFacts, Priority, ReadsBy, Recording, ReplyFacts
from loadgen.engine.salvage import SALVAGED, LostWorker, salvage
from loadgen.engine.worker import READY, Message, Worker, WorkerDiedError
from loadgen.errors import LoadgenError
from loadgen.load.disk import no_room, owned_folder

_START_MARGIN_NS = 20_000_000  # from the order to t = 0: time for all of them to receive it, with a margin
_ORDERED = "ordered"  # the folder of all records in the order of the schedule
_PRIORITIES: tuple[Priority, ...] = ("normal", "raised", "realtime")
_READS_BY: tuple[ReadsBy, ...] = get_args(ReadsBy)  # from the cheapest


class Workers:
    """As many measuring processes as the tasks need, started when first needed. A context manager."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []
        self._active: list[Worker] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._workers]

    def run(self, task: Task, on_progress: Callable[[Progress], None] = lambda progress: None) -> Recording:
        """Carry out `task`; `on_progress` hears of it a few times a second.

        Raises EngineError when a worker dies or cannot carry it out before anything is sent; the next run has new ones. When one
        dies later the others send nothing more, and what all of them had measured is returned, with that as its `failure`.
        """
        count = min(task.workers, task.shape.max_workers(len(task.schedule), task.schedule.turns))
        for worker in [each for each in self._workers if not each.is_alive]:
            worker.close()
            self._workers.remove(worker)
        while len(self._workers) < count:
            self._workers.append(Worker())
        self._active = self._workers[:count]
        with _records_folder(count) as folder:
            shares = [Share(task, number, count, folder / str(number)) for number in range(count)]
            gathering = _Gathering(self._active, shares, on_progress)
            try:
                for share, worker in zip(shares, self._active, strict=True):
                    worker.send(share)
                reports = gathering.gather()
            except BaseException:
                self._kill_unfinished()
                raise
            self._kill_unfinished()
            folders = gathering.folders
            parts = [read_columns(each, report.unwritten) for each, report in zip(folders, reports, strict=True)]
            records = in_schedule_order(parts, folder / _ORDERED)
        return Recording(
            records=records,
            client=_combined([report.client for report in reports]),
            origin_at=reports[0].origin_at,
            interrupted=any(report.interrupted for report in reports),
            failure=next((report.failure for report in reports if report.failure), None),
            replies=drawn([reply for report in reports for reply in report.replies], task.keep_replies),
            refusal=next((report.refusal for report in reports if report.refusal), None),
        )

    def drain(self) -> None:
        """Send nothing more in the present run and wait for what is in flight. Safe in a signal handler."""
        for worker in self._active:
            worker.drain()

    def stop(self) -> None:
        """End the present run now; what finished is returned. Safe in a signal handler."""
        for worker in self._active:
            worker.stop()

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self._workers, self._active = [], []

    def _kill_unfinished(self) -> None:
        for worker in [each for each in self._active if each.busy]:
            worker.kill()
            self._workers.remove(worker)
        self._active = []


class _Gathering:
    """Waits until all workers are ready, starts them, and waits until all have ended; then `folders` hold their records."""

    def __init__(
        self, workers: Sequence[Worker], shares: Sequence[Share], on_progress: Callable[[Progress], None]
    ) -> None:
        self._workers = workers
        self._shares = shares
        self._on_progress = on_progress
        self._clock = WallClock()  # for the stamps of a worker that dies
        self._reports: dict[int, WorkerReport] = {}
        self._lost: dict[int, LostWorker] = {}
        self._progress: dict[int, Progress] = {}
        self._ready = 0
        self._start_at_ns: int | None = None

    @property
    def folders(self) -> list[Path]:
        """Where the records of each worker lie."""
        return [
            share.folder / SALVAGED if number in self._lost else share.folder
            for number, share in enumerate(self._shares)
        ]

    def gather(self) -> list[WorkerReport]:
        """What each worker reports, or what is left of it. Raises EngineError when one dies or gives up before the start."""
        by_channel = {worker.channel: number for number, worker in enumerate(self._workers)}
        while len(self._reports) + len(self._lost) < len(self._workers):
            waiting = [each for each, number in by_channel.items() if not self._has_ended(number)]
            for channel in connection.wait(waiting):
                number = by_channel[channel]  # type: ignore[index]  # only connections were waited for
                try:
                    message = self._workers[number].receive()
                except WorkerDiedError as died:
                    if self._start_at_ns is None:
                        raise
                    self._lose(number, died.how)
                else:
                    self._take(number, message)
            self._clock.sample()
        for number, lost in self._lost.items():
            self._reports[number] = salvage(lost, self._clock)
        return [self._reports[number] for number in range(len(self._workers))]

    def _has_ended(self, number: int) -> bool:
        return number in self._reports or number in self._lost

    def _take(self, number: int, message: Message) -> None:
        if isinstance(message, LoadgenError):
            if self._start_at_ns is None:
                self._workers[number].busy = False
                raise message
            self._lose(number, str(message))
        elif isinstance(message, WorkerReport):
            self._workers[number].busy = False
            self._reports[number] = message
            if message.failure is not None:
                self._drain()
        elif isinstance(message, Pause):
            for other in self._workers:
                other.pause(message.until_ns)
        elif message == READY:
            self._ready += 1
            if self._ready == len(self._workers):
                self._start_at_ns = monotonic_ns() + _START_MARGIN_NS
                for worker in self._workers:
                    with suppress(WorkerDiedError):  # which the next `receive` reports
                        worker.send_start(self._start_at_ns)
        else:
            assert isinstance(message, Progress)
            self._progress[number] = message
            self._on_progress(_sum(list(self._progress.values())))
            self._progress[number] = replace(message, ttft_s=())  # reported already

    def _lose(self, number: int, how: str) -> None:
        """Go on without that worker, to the end of what the others have in flight; it stays busy, and ends with the run."""
        assert self._start_at_ns is not None
        self._lost[number] = LostWorker(self._shares[number], self._start_at_ns, self._progress.get(number), how)
        self._drain()

    def _drain(self) -> None:
        for number, worker in enumerate(self._workers):
            if not self._has_ended(number):
                worker.drain()


@contextmanager
def _records_folder(count: int) -> Iterator[Path]:
    """A folder for the records of a run, with one for each of `count` workers, all made before anything is sent.

    Raises UsageError when the disk has no room for them.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(owned_folder())
            for name in (*map(str, range(count)), _ORDERED):
                Path(folder, name).mkdir()
        except OSError as error:
            raise no_room(error, "the records of the run") from error
        yield folder


def _sum(progress: Sequence[Progress]) -> Progress:
    return Progress(
        elapsed_s=max(each.elapsed_s for each in progress),
        planned=sum(each.planned for each in progress),
        sent=sum(each.sent for each in progress),
        done=sum(each.done for each in progress),
        failed=sum(each.failed for each in progress),
        in_flight=sum(each.in_flight for each in progress),
        held=sum(each.held for each in progress),
        thinking=sum(each.thinking for each in progress),
        ttft_s=tuple(chain.from_iterable(each.ttft_s for each in progress)),
    )


def _combined(facts: Sequence[ClientFacts]) -> ClientFacts:
    """What the client knows of itself as one: sums, and the worst of what cannot be summed."""
    replies = ReplyFacts()
    for each in facts:
        replies.add(each.replies)
    stamped = [each.stamp_source for each in facts if each.reads]
    cpu_s = [each.cpu_s for each in facts if each.cpu_s is not None]
    peak_rss_bytes = [each.peak_rss_bytes for each in facts if each.peak_rss_bytes is not None]
    return ClientFacts(
        stamp_source="kernel" if stamped and all(source == "kernel" for source in stamped) else "read",
        workers=len(facts),
        cpu_s=sum(cpu_s) if len(cpu_s) == len(facts) else None,
        busiest_cpu_s=max(cpu_s) if len(cpu_s) == len(facts) else None,
        wall_s=max(each.wall_s for each in facts),
        reads=sum(each.reads for each in facts),
        reads_by=max((each.reads_by for each in facts), key=_READS_BY.index),
        priority=min((each.priority for each in facts), key=_PRIORITIES.index),
        loop_lag_ns=np.concatenate([each.loop_lag_ns for each in facts]),
        network_rtt_ns=np.concatenate([each.network_rtt_ns for each in facts]),
        clock_step_ns=max(each.clock_step_ns for each in facts),
        connections_opened=sum(each.connections_opened for each in facts),
        connections_reopened=sum(each.connections_reopened for each in facts),
        peak_in_flight=sum(each.peak_in_flight for each in facts),
        peak_rss_bytes=sum(peak_rss_bytes) if len(peak_rss_bytes) == len(facts) else None,
        replies=replies,
        schedule_exhausted=any(each.schedule_exhausted for each in facts),
    )
