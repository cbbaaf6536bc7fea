"""Limits through the real engine against a server that enforces them, by minutes of a part of a second."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from loadgen.engine.drive.driver import Progress
from loadgen.engine.records.record import MISSING, Outcome
from loadgen.engine.workers import Workers
from loadgen.load.rate_limits import UNLIMITED, RateLimits
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from tests.engine.test_worker import task as any_task

pytestmark = pytest.mark.loopback

TOKENS, MINUTE_S = 8 + 3, 0.5
BY_REQUESTS = RateLimits(requests_per_minute=20, minute_s=MINUTE_S)
BY_TOKENS = RateLimits(tokens_per_minute=20 * TOKENS, minute_s=MINUTE_S)


def server(limits: RateLimits = UNLIMITED, **options: Any) -> SimulatorProcess:
    limited = SimulatorOptions(
        ttft_s=0.02,
        gap_s=0.01,
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        minute_s=limits.minute_s,
        **options,
    )
    return SimulatorProcess(limited)


task = partial(any_task, output_tokens=3)


@pytest.mark.parametrize("limits", [BY_REQUESTS, BY_TOKENS])
def test_who_keeps_to_the_servers_limit_is_never_refused(workers: Workers, limits: RateLimits) -> None:
    with server(limits) as simulator:
        closed = workers.run(task(simulator.port, ClosedLoop(4), 50, limits=limits)).records
        opened = workers.run(task(simulator.port, OpenLoop(100.0, "constant"), 30, limits=limits)).records
        wave = workers.run(task(simulator.port, Wave(20), 20, limits=limits)).records
    for records in (closed, opened, wave):
        assert set(records.outcome) == {Outcome.OK}
    assert closed.limit_wait_ns.max() > 0
    assert opened.limit_wait_ns.max() > 0
    assert wave.limit_wait_ns.max() == 0, "it waited before t = 0"
    late_ns = closed.sent_ns - closed.due_ns
    assert np.all(closed.limit_wait_ns <= late_ns)


def test_who_is_refused_is_silent_for_as_long_as_the_server_says(workers: Workers) -> None:
    with server(BY_REQUESTS) as simulator:
        records = workers.run(task(simulator.port, ClosedLoop(4), 40)).records
    refused = np.flatnonzero(records.http_status == 429)
    assert 1 <= len(refused) <= 4, "those that were on their way"
    assert set(records.outcome[refused]) == {Outcome.HTTP_ERROR}
    told_ns = records.end_ns[refused].max()
    after = records.sent_ns > told_ns
    assert np.count_nonzero(after) == 40 - np.count_nonzero(records.sent_ns <= told_ns)
    assert records.sent_ns[after].min() >= told_ns + 1_000_000_000
    assert records.limit_wait_ns[after].max() > 900_000_000
    assert set(records.outcome[after]) == {Outcome.OK}


def test_all_processes_are_silent_when_one_is_told(workers: Workers) -> None:
    with server(faults=("rate-limited:every=9",)) as simulator:
        records = workers.run(task(simulator.port, ClosedLoop(2), 16, workers=2)).records
    (refused,) = np.flatnonzero(records.http_status == 429)
    of_the_other = records.slot % 2 != records.slot[refused] % 2
    assert records.limit_wait_ns[of_the_other].max() > 0


@pytest.mark.parametrize("order", [Workers.drain, Workers.stop])
def test_a_run_that_waits_can_be_stopped(workers: Workers, order: Any) -> None:
    def stop_when_held(progress: Progress) -> None:
        if progress.held:
            order(workers)

    limits = RateLimits(requests_per_minute=5)
    with server() as simulator:
        recording = workers.run(task(simulator.port, ClosedLoop(2), 20, limits=limits), stop_when_held)
        assert recording.interrupted
        assert recording.client.wall_s < 30, "the limit would have had it wait for a minute"
        assert np.bincount(recording.records.outcome, minlength=9)[[Outcome.OK, Outcome.DROPPED]].sum() == 20
        wave = workers.run(task(simulator.port, Wave(5), 5, limits=limits), stop_when_held)
    assert set(wave.records.outcome) == {Outcome.DROPPED}, "it was stopped before t = 0"
    assert set(wave.records.sent_ns) == {MISSING}
