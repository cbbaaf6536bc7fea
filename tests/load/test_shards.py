"""A schedule dealt out: everything goes to exactly one worker, and callers keep their share of the requests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.load.arrivals import Ramp
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave
from loadgen.load.shards import shard, shard_rows


@given(st.integers(1, 40), st.integers(1, 200), st.integers(1, 8), st.booleans())
def test_every_request_has_one_worker(callers: int, requests: int, workers: int, closed: bool) -> None:
    shape: LoadShape = ClosedLoop(callers) if closed else OpenLoop(1.0)
    workers = min(workers, shape.max_workers(requests))
    dealt = [list(shard_rows(shape, requests, worker, workers)) for worker in range(workers)]
    assert sorted(row for rows in dealt for row in rows) == list(range(requests))
    assert all(dealt)
    if closed and requests >= callers:
        for worker, rows in enumerate(dealt):
            part = shape.share(worker, workers)
            assert isinstance(part, ClosedLoop)
            # A round is one request a caller: no worker has rounds left when another has none.
            assert requests // callers <= len(rows) / part.concurrency <= -(-requests // callers)


@given(st.integers(1, 12), st.integers(1, 60), st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_rows_are_counted_out_as_the_rule_says(
    callers: int, requests: int, workers: int, turns: int, closed: bool
) -> None:
    shape: LoadShape = ClosedLoop(callers) if closed else OpenLoop(1.0)
    workers = min(workers, callers) if closed else workers
    lanes = callers if closed else workers
    for worker in range(workers):
        rows = shard_rows(shape, requests, worker, workers, turns)
        by_rule = [row for row in range(requests) if row // turns % lanes % workers == worker]
        assert list(rows) == by_rule
        assert rows.at(np.arange(len(rows))).tolist() == by_rule


def test_the_callers_of_the_parts_are_those_of_the_whole() -> None:
    for shape in (ClosedLoop(7), Wave(7)):
        parts = [shape.share(worker, 3) for worker in range(3)]
        assert [part.callers for part in parts] == [3, 2, 2]


def test_an_open_loop_keeps_its_moments() -> None:
    offsets_ns = np.arange(10, dtype=np.int64) * 100
    whole = Schedule([b"%d" % n for n in range(10)], np.arange(10, dtype=np.int32), np.ones(10, np.int32), offsets_ns)
    rows = shard_rows(OpenLoop(10.0), 10, 1, 3)
    part = shard(whole, rows)
    assert part.offsets_ns is not None
    assert part.offsets_ns.tolist() == [100, 400, 700]
    assert list(part.bodies) == [b"1", b"4", b"7"]
    assert part.bodies[1:] == (b"4", b"7")
    assert part.prompt_tokens.tolist() == [1, 4, 7]
    assert OpenLoop(6.0, ramp=Ramp(12.0, 5.0)).share(0, 3) == OpenLoop(2.0, ramp=Ramp(4.0, 5.0))


def test_the_places_of_the_parts_are_those_of_the_whole() -> None:
    parts = [OpenLoop(6.0, max_in_flight=7).share(worker, 3) for worker in range(3)]
    assert [part.max_in_flight for part in parts if isinstance(part, OpenLoop)] == [3, 2, 2]


@pytest.mark.parametrize(
    ("shape", "most"),
    [(ClosedLoop(3), 3), (Wave(4), 4), (OpenLoop(100.0), 50), (OpenLoop(100.0, max_in_flight=2), 2)],
)
def test_a_worker_has_something_to_do(shape: LoadShape, most: int) -> None:
    assert shape.max_workers(50) == most
