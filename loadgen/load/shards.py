"""One schedule dealt out to several workers, which share nothing: pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from loadgen.load.schedule import Schedule
from loadgen.load.spec import ClosedLoop, LoadShape, OpenLoop, Wave


class _Chosen(Sequence[bytes]):
    """Some of the bodies of a schedule, none of them copied."""

    def __init__(self, bodies: Sequence[bytes], rows: NDArray[np.int64]) -> None:
        self._bodies = bodies
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[bytes, ...]: ...
    def __getitem__(self, index: int | slice) -> bytes | tuple[bytes, ...]:
        if isinstance(index, slice):
            return tuple(self._bodies[row] for row in self._rows[index])
        return self._bodies[int(self._rows[index])]


def most_workers(shape: LoadShape, requests: int, turns: int = 1) -> int:
    """The most workers that such a run can be dealt out to: each needs a caller, or in the open loop a request and a place.

    Each `turns` requests are one conversation, which no two workers share.
    """
    match shape:
        case ClosedLoop(concurrency=callers) | Wave(size=callers):
            return min(callers, requests // turns)
        case OpenLoop(max_in_flight=places):
            return max(1, requests if places is None else min(places, requests))


def shard_rows(shape: LoadShape, requests: int, worker: int, workers: int, turns: int = 1) -> NDArray[np.int64]:
    """The positions in the schedule of the requests of `worker`, ascending.

    Arrivals are dealt out in turn. The callers of a closed loop or a wave are too, and each takes the same number of
    requests with it, give or take one: a worker with more callers has more requests. Conversations of `turns` requests stay whole.
    """
    lanes = (
        workers if isinstance(shape, OpenLoop) else shape.concurrency if isinstance(shape, ClosedLoop) else shape.size
    )
    return np.flatnonzero(np.arange(requests) // turns % lanes % workers == worker)


def shard_shape(shape: LoadShape, worker: int, workers: int) -> LoadShape:
    """The part of the load that `worker` carries."""
    match shape:
        case ClosedLoop(concurrency=concurrency):
            return replace(shape, concurrency=len(range(worker, concurrency, workers)))
        case Wave(size=size):
            return replace(shape, size=len(range(worker, size, workers)))
        case OpenLoop(rate_per_s=rate_per_s, ramp=ramp, max_in_flight=places):
            slower = None if ramp is None else replace(ramp, to_per_s=ramp.to_per_s / workers)
            fewer = None if places is None else len(range(worker, places, workers))
            return replace(shape, rate_per_s=rate_per_s / workers, ramp=slower, max_in_flight=fewer)


def shard(schedule: Schedule, rows: NDArray[np.int64]) -> Schedule:
    """The requests at `rows` as a schedule of their own."""
    return replace(
        schedule,
        bodies=_Chosen(schedule.bodies, rows),
        prompt_tokens=schedule.prompt_tokens[rows],
        output_tokens=schedule.output_tokens[rows],
        offsets_ns=None if schedule.offsets_ns is None else schedule.offsets_ns[rows],
        think_ns=None if schedule.think_ns is None else schedule.think_ns[rows],
    )
