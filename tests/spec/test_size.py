"""Runs without a request, and runs that would not fit into memory, are refused in one sentence."""

from dataclasses import replace

import pytest

from loadgen.errors import UsageError
from loadgen.load.shapes import ClosedLoop, OpenLoop
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Images, Workload
from loadgen.spec.runs import resolve
from loadgen.spec.size import MAX_REQUESTS, check_planned, check_size
from tests.spec.test_sweep_spec import spec

CLOSED = RunSpec("http://h", "m", ClosedLoop(64), 8, 4, requests=100)


def test_an_open_loop_without_an_arrival_is_refused_when_it_is_planned() -> None:
    with pytest.raises(UsageError) as caught:
        resolve(spec(concurrency=None, rate="0.1", duration_s="1"))
    assert str(caught.value) == (
        "no arrival falls within 1 s at 0.1 requests/s poisson (seed 0): ask for a longer --duration-s or a higher --rate"
    )
    assert len(resolve(spec(concurrency=None, rate="0.1", duration_s="1", arrivals="constant"))) == 1


@pytest.mark.parametrize(
    ("run", "requests"),
    [
        (CLOSED, MAX_REQUESTS + 1),
        (replace(CLOSED, input_tokens=100_000), 2_000),
        (replace(CLOSED, workload=Workload(images=Images(1024, 1024))), 300),
    ],
)
def test_more_than_fits_is_refused(run: RunSpec, requests: int) -> None:
    with pytest.raises(UsageError, match="ask for fewer with --requests"):
        check_planned(replace(run, requests=requests))
    check_size(run, requests // 4)


def test_an_open_loop_too_long_to_count_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"needs 1,000,000,000,000 requests for 1e\+06 s"):
        check_planned(RunSpec("http://h", "m", OpenLoop(1e6), 8, 4, duration_s=1e6))
