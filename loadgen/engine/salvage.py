"""What a measuring process that was killed had recorded: read from its files by the process that is left.

Requests without a record count as cancelled up to the number reported as sent, the others as dropped.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.capture.recorder import Recorder, unknown_request
from loadgen.engine.capture.spool import left_behind
from loadgen.engine.capture.tokenizer import Tokenizer
from loadgen.engine.drive.driver import Progress
from loadgen.engine.eventloop.clock import WallClock, monotonic_ns
from loadgen.engine.measurement import Shard, Share, WorkerReport
from loadgen.engine.records.column_files import ColumnFiles, whole_rows
from loadgen.engine.records.record import MISSING, ClientFacts, Outcome, Records

_ROWS_AT_ONCE = 1_000
SALVAGED = ".salvaged"
"""The folder, in the share's own, in which the records that were put together here lie."""


@dataclass(frozen=True, slots=True)
class LostWorker:
    """A measuring process that is gone: what it was to do, its last progress, and how it ended, in words."""

    share: Share
    start_at_ns: int
    progress: Progress | None
    how: str


def salvage(lost: LostWorker, wall_clock: WallClock) -> WorkerReport:
    """Put the records that are left into the folder `SALVAGED`, with one row for each request that was planned. Raises OSError."""
    share, shard = lost.share, Shard.of(lost.share)
    task = share.task
    tokenizer = None if task.tokenizer is None else Tokenizer(task.tokenizer)
    recorder = Recorder(
        shard.schedule,
        shard.shape,
        origin_ns=lost.start_at_ns,
        wall_clock=wall_clock,
        secrets=task.target.secrets,
        tokenizer=tokenizer,
    )
    folder = share.folder / SALVAGED
    folder.mkdir()
    known = np.zeros(len(shard.schedule), np.bool_)
    opened = 0
    with ColumnFiles(folder) as files:
        with suppress(Exception):  # whatever is wrong with what is left, the requests after it are unknown
            for piece in _left(share, shard, recorder):
                own = piece.index.copy()
                files.append(shard.in_whole_schedule(piece))
                known[own] = True
                opened += int(np.count_nonzero(piece.connect_ns != MISSING))
        for piece in _unknown(lost, shard, known):
            files.append(shard.in_whole_schedule(piece))
    return WorkerReport(
        client=ClientFacts(
            stamp_source=recorder.stamp_source,
            workers=1,
            cpu_s=None,
            wall_s=(monotonic_ns() - lost.start_at_ns) / 1e9,
            reads=recorder.reads,
            clock_step_ns=wall_clock.largest_step_ns,
            connections_opened=opened,
            peak_in_flight=0 if lost.progress is None else lost.progress.in_flight,
            peak_rss_bytes=None,
            replies=recorder.replies,
        ),
        origin_at=wall_clock.to_utc(lost.start_at_ns),
        interrupted=True,
        failure=lost.how,
        refusal=None,
        replies=(),
        unwritten=files.unwritten,
    )


def _left(share: Share, shard: Shard, recorder: Recorder) -> Iterator[Records]:
    """The records that had been made, and those of responses that were written and not read; by their places in the shard."""
    made = whole_rows(share.folder)
    own = np.searchsorted(shard.rows.at(np.arange(len(shard.schedule))), made.index)
    yield replace(
        made, index=own.astype(np.int32), slot=np.where(made.slot < 0, made.slot, made.slot // shard.rows.workers)
    )
    known = set(own.tolist())
    yield from recorder.pieces(each for each in left_behind(share.folder) if each.index not in known)


def _unknown(lost: LostWorker, shard: Shard, known: NDArray[np.bool_]) -> Iterator[Records]:
    """Yield a row for each request without a record. Those reported as sent are the earliest in the schedule."""
    sent = 0 if lost.progress is None else max(0, lost.progress.sent - int(np.count_nonzero(known)))
    missing = np.flatnonzero(~known)
    if shard.unplanned:
        missing = missing[:sent]
    for begin in range(0, len(missing), _ROWS_AT_ONCE):
        yield Records.from_rows(
            [
                unknown_request(
                    shard.schedule,
                    int(index),
                    Outcome.CANCELLED if number < sent else Outcome.DROPPED,
                    f"its response was lost: {lost.how}" if number < sent else f"not known to be sent: {lost.how}",
                )
                for number, index in enumerate(missing[begin : begin + _ROWS_AT_ONCE], begin)
            ]
        )
