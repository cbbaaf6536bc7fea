"""One schedule divided among workers that share nothing. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from loadgen.load.bulk import FileArray, release_pages, spans
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import LoadShape

Places = TypeVar("Places", int, NDArray[np.int64])


@dataclass(frozen=True, slots=True)
class ShardRows:
    """The positions in a schedule of `requests` of those that are `worker`'s, ascending; computed, not stored.

    Conversations of `turns` requests go to `lanes` in turn, and lane l to worker l mod `workers`.
    """

    requests: int
    worker: int
    workers: int
    lanes: int
    turns: int

    def at(self, places: Places) -> Places:
        """The positions of the worker's own requests number `places`, counted from 0."""
        conversation, turn = places // self.turns, places % self.turns
        round_, lane = conversation // self._own_lanes, conversation % self._own_lanes
        return (round_ * self.lanes + self.worker + lane * self.workers) * self.turns + turn

    def __len__(self) -> int:
        conversations, rest = divmod(self.requests, self.turns)
        rounds, lanes = divmod(conversations, self.lanes)
        whole = rounds * self._own_lanes + len(range(self.worker, lanes, self.workers))
        return whole * self.turns + (rest if lanes % self.workers == self.worker else 0)

    def __iter__(self) -> Iterator[int]:
        return (self.at(place) for place in range(len(self)))

    @property
    def _own_lanes(self) -> int:
        return len(range(self.worker, self.lanes, self.workers))


class _Chosen(Sequence[bytes]):
    """Some of the bodies of a schedule, without copying them."""

    def __init__(self, bodies: Sequence[bytes], rows: ShardRows) -> None:
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
            return tuple(self[one] for one in range(*index.indices(len(self))))
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._bodies[self._rows.at(index)]


def shard_rows(shape: LoadShape, requests: int, worker: int, workers: int, turns: int = 1) -> ShardRows:
    """Which requests of the schedule are those of `worker`.

    Conversations of `turns` requests stay whole and go to the lanes of the shape in turn.
    """
    return ShardRows(requests, worker, workers, shape.lanes(workers), turns)


def shard(schedule: Schedule, rows: ShardRows) -> Schedule:
    """The requests at `rows` as a schedule of their own."""
    return replace(
        schedule,
        bodies=_Chosen(schedule.bodies, rows),
        prompt_tokens=_chosen(schedule.prompt_tokens, rows),
        output_tokens=_chosen(schedule.output_tokens, rows),
        offsets_ns=None if schedule.offsets_ns is None else _chosen(schedule.offsets_ns, rows),
        think_ns=None if schedule.think_ns is None else _chosen(schedule.think_ns, rows),
    )


def _chosen(column: NDArray[Any], rows: ShardRows) -> NDArray[Any]:
    """Those entries in a file of their own, so that a lookup costs no more than in the whole."""

    def pieces() -> Iterator[NDArray[Any]]:
        for begin, end in spans(len(rows)):
            yield column[rows.at(np.arange(begin, end))]
            release_pages(column)

    return FileArray.write(column.dtype, pieces())
