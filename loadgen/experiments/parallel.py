"""How many measuring processes a run needs."""

import math
import os

from loadgen.load.rate_limits import UNLIMITED
from loadgen.load.shards import most_workers
from loadgen.load.spec import OpenLoop, RunSpec

EVENTS_PER_S_PER_WORKER = 50_000
"""Chosen below what a core carries: at 4,000 streams an event took 13.5 µs of processor time, so that 74,000 a second fill it,
and bytes that wait for a reader are joined under one stamp."""

TOKENS_PER_S_PER_STREAM = 100
"""What a caller is taken to receive, where only the number of callers is known: a fast server's pace, not a measurement."""


def events_per_s(run: RunSpec) -> float:
    """The events a second that `run` asks for: one for each output token of each choice."""
    if isinstance(run.shape, OpenLoop):
        return run.shape.peak_rate_per_s * run.output_tokens * run.workload.choices
    assert run.concurrency is not None
    return run.concurrency * TOKENS_PER_S_PER_STREAM * run.workload.choices


def workers_for(run: RunSpec, cores: int | None = None) -> int:
    """Workers of `run`: as it says, else by its events, and a core less than the machine has, for the rest of the work.

    One under a limit per minute, which workers that share nothing cannot keep between them.

    `cores`: those that this process may use, found out when None.
    """
    if run.workers is not None:
        return run.workers
    if run.rate_limits != UNLIMITED:
        return 1
    cores = cores or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    needed = math.ceil(events_per_s(run) / EVENTS_PER_S_PER_WORKER)
    most = most_workers(run.shape, run.requests or 1_000_000)
    return max(1, min(needed, cores - 1, most))
