"""Runs without a request, and runs that would not fit into memory, are refused in one sentence."""

from dataclasses import replace

import numpy as np
import pytest

from loadgen.engine.records.record import ClientFacts, CountedBy, Outcome, Recording, Records, RequestRecord
from loadgen.errors import UsageError
from loadgen.experiments.run import requests_for_duration
from loadgen.load.shapes import ClosedLoop, OpenLoop
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Images, Workload
from loadgen.spec.runs import resolve
from loadgen.spec.size import MAX_REQUESTS, check_planned, check_size
from tests.spec.test_sweep_spec import spec

CLOSED = RunSpec("http://h", "m", ClosedLoop(64), 8, 4, requests=100)


def warmed_up(took_s: float) -> Recording:
    """A warm-up of one request which took so long."""
    row = RequestRecord(
        index=0,
        slot=0,
        outcome=Outcome.OK,
        http_status=200,
        detail=None,
        finish_reason="length",
        due_ns=0,
        start_ns=0,
        sent_ns=0,
        first_byte_ns=1,
        end_ns=round(took_s * 1e9),
        connect_ns=None,
        prompt_tokens_asked=8,
        output_tokens_asked=4,
        prompt_tokens=8,
        output_tokens=4,
        counted_by=CountedBy.USAGE,
        server_timing=None,
        arrival_ns=np.empty(0, np.int64),
        arrival_tokens=np.empty(0, np.int32),
        arrival_choice=np.empty(0, np.int16),
        arrival_coalesced=np.empty(0, np.bool_),
    )
    return Recording(Records.from_rows([row]), ClientFacts("kernel", 1, 0.1, 0.1, 1), "2026-01-01T00:00:00+00:00")


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


def test_a_closed_loop_by_duration_prepares_what_its_warmup_says_up_to_what_fits() -> None:
    run = replace(CLOSED, requests=None, duration_s=10.0)
    assert requests_for_duration(run, warmed_up(0.5)) == 64 * 20 * 1.5 + 64
    with pytest.raises(UsageError, match="--requests"):
        requests_for_duration(run, warmed_up(0.0001))
