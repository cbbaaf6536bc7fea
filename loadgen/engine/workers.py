"""The measuring processes of a sweep, from the parent's side: a task is dealt out, started at one moment, and put together.

The workers share nothing. Each connects and says so; when all have, they are given the same t = 0 of the monotonic clock,
which all processes of a host share. Records come home in files.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import chain
from multiprocessing import connection
from pathlib import Path
from typing import get_args

import numpy as np

from loadgen.engine.clock import monotonic_ns
from loadgen.engine.columns import in_schedule_order, read_columns
from loadgen.engine.driver import Progress
from loadgen.engine.measurement import Outline, Pause, Share, Task
from loadgen.engine.record import ClientFacts, Priority, ReadsBy, Recording, ReplyFacts
from loadgen.engine.sample import drawn
from loadgen.engine.worker import READY, Worker
from loadgen.errors import LoadgenError
from loadgen.load.disk import no_room
from loadgen.load.records_folder import owned_folder
from loadgen.load.shards import most_workers

_START_MARGIN_NS = 20_000_000  # from the word to the moment: to be heard by all of them, with room to spare
_ORDERED = "ordered"  # the folder of all records in the order of the schedule
_PRIORITIES: tuple[Priority, ...] = ("normal", "raised", "realtime")
_WAYS_TO_READ: tuple[ReadsBy, ...] = get_args(ReadsBy)  # from the cheapest


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
        """The process ids of all of them."""
        return [worker.pid for worker in self._workers]

    def run(self, task: Task, on_progress: Callable[[Progress], None] = lambda progress: None) -> Recording:
        """Carry out `task`; `on_progress` hears of it a few times a second.

        Raises EngineError when a worker dies or cannot carry it out; the other workers then end, and the next run has new ones.
        """
        count = min(task.workers, most_workers(task.shape, len(task.schedule), task.schedule.turns))
        while len(self._workers) < count:
            self._workers.append(Worker())
        self._active = self._workers[:count]
        with _records_folder(count) as folder:
            folders = [folder / str(number) for number in range(count)]
            try:
                for number, worker in enumerate(self._active):
                    worker.send(Share(task, number, count, folders[number]))
                outlines = self._gather(on_progress)
            except BaseException:
                self._let_go_of_the_unfinished()
                raise
            rests = [outline.rest for outline in outlines]
            parts = [read_columns(each, rest) for each, rest in zip(folders, rests, strict=True)]
            records = in_schedule_order(parts, folder / _ORDERED)
        return Recording(
            records=records,
            client=_together([outline.client for outline in outlines]),
            origin_at=outlines[0].origin_at,
            interrupted=any(outline.interrupted for outline in outlines),
            failure=next((outline.failure for outline in outlines if outline.failure), None),
            replies=drawn([reply for outline in outlines for reply in outline.replies], task.keep_replies),
            refusal=next((outline.refusal for outline in outlines if outline.refusal), None),
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
        """End the processes."""
        for worker in self._workers:
            worker.close()
        self._workers, self._active = [], []

    def _gather(self, on_progress: Callable[[Progress], None]) -> list[Outline]:
        """Wait until all are ready, say when to start, and wait until all have ended."""
        by_channel = {worker.channel: number for number, worker in enumerate(self._active)}
        outlines: dict[int, Outline] = {}
        told: dict[int, Progress] = {}
        ready = 0
        while len(outlines) < len(self._active):
            for channel in connection.wait(list(by_channel)):
                number = by_channel[channel]  # type: ignore[index]  # only connections were waited for
                message = self._active[number].receive()
                if isinstance(message, LoadgenError):
                    self._active[number].busy = False
                    raise message
                if isinstance(message, Outline):
                    self._active[number].busy = False
                    outlines[number] = message
                elif isinstance(message, Pause):
                    for other in self._active:
                        other.pause(message.until_ns)
                elif message == READY:
                    ready += 1
                    if ready == len(self._active):
                        start_at_ns = monotonic_ns() + _START_MARGIN_NS
                        for worker in self._active:
                            worker.send_start(start_at_ns)
                else:
                    assert isinstance(message, Progress)
                    told[number] = message
                    on_progress(_sum(list(told.values())))
                    told[number] = replace(message, ttft_s=())  # which has been told
        return [outlines[number] for number in range(len(self._active))]

    def _let_go_of_the_unfinished(self) -> None:
        for worker in [each for each in self._active if each.busy]:
            worker.kill()
            self._workers.remove(worker)
        self._active = []


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


def _sum(told: Sequence[Progress]) -> Progress:
    return Progress(
        elapsed_s=max(each.elapsed_s for each in told),
        planned=sum(each.planned for each in told),
        sent=sum(each.sent for each in told),
        done=sum(each.done for each in told),
        failed=sum(each.failed for each in told),
        in_flight=sum(each.in_flight for each in told),
        held=sum(each.held for each in told),
        thinking=sum(each.thinking for each in told),
        ttft_s=tuple(chain.from_iterable(each.ttft_s for each in told)),
    )


def _together(facts: Sequence[ClientFacts]) -> ClientFacts:
    """What the client knows of itself as one: sums, and the worst of what cannot be summed."""
    replies = ReplyFacts()
    for each in facts:
        replies.add(each.replies)
    return ClientFacts(
        stamp_source="kernel" if all(each.stamp_source == "kernel" for each in facts) else "read",
        workers=len(facts),
        cpu_s=sum(each.cpu_s for each in facts),
        busiest_cpu_s=max(each.cpu_s for each in facts),
        wall_s=max(each.wall_s for each in facts),
        reads=sum(each.reads for each in facts),
        reads_by=max((each.reads_by for each in facts), key=_WAYS_TO_READ.index),
        priority=min((each.priority for each in facts), key=_PRIORITIES.index),
        loop_lag_ns=np.concatenate([each.loop_lag_ns for each in facts]),
        network_rtt_ns=np.concatenate([each.network_rtt_ns for each in facts]),
        clock_step_ns=max(each.clock_step_ns for each in facts),
        connections_opened=sum(each.connections_opened for each in facts),
        connections_reopened=sum(each.connections_reopened for each in facts),
        peak_in_flight=sum(each.peak_in_flight for each in facts),
        peak_rss_bytes=sum(each.peak_rss_bytes for each in facts),
        replies=replies,
        schedule_exhausted=any(each.schedule_exhausted for each in facts),
    )
