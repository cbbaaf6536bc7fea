"""How many workers a run gets: by its events, within the machine's cores, and as asked when asked."""

from dataclasses import replace

import pytest

from loadgen.experiments.parallel import EVENTS_PER_S_PER_WORKER, events_per_s, workers_for
from loadgen.load.content import Workload
from loadgen.load.spec import ClosedLoop, OpenLoop, RunSpec

RUN = RunSpec("http://server/v1", "m", ClosedLoop(1), input_tokens=8, output_tokens=128, requests=100_000)


def test_events_are_output_tokens() -> None:
    assert events_per_s(replace(RUN, shape=OpenLoop(10.0))) == 1280.0
    assert events_per_s(replace(RUN, shape=ClosedLoop(64))) == 6400.0
    assert events_per_s(replace(RUN, shape=OpenLoop(10.0), workload=Workload(choices=2))) == 2560.0
    assert events_per_s(replace(RUN, shape=ClosedLoop(64), workload=Workload(choices=2))) == 12_800.0


@pytest.mark.parametrize(
    ("concurrency", "cores", "workers"),
    [(1, 64, 1), (500, 64, 1), (501, 64, 2), (4000, 64, 8), (4000, 4, 3), (4000, 2, 1), (4000, 1, 1)],
)
def test_auto_follows_the_events_and_leaves_a_core(concurrency: int, cores: int, workers: int) -> None:
    assert EVENTS_PER_S_PER_WORKER == 50_000
    assert workers_for(replace(RUN, shape=ClosedLoop(concurrency)), cores) == workers


def test_no_more_than_there_is_to_do() -> None:
    assert workers_for(replace(RUN, shape=OpenLoop(100_000.0), requests=2), 64) == 2


def test_what_is_asked_is_done() -> None:
    assert workers_for(replace(RUN, shape=ClosedLoop(1), workers=3), 2) == 3
