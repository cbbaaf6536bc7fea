"""What runs will need: time, money, disk space and worker processes. Estimates, never measurements."""

import math
import os
import shutil
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from loadgen.analysis.figures.cost import Price
from loadgen.experiments.events import DiskSpaceShort
from loadgen.load.disk import bulk_folder
from loadgen.load.rate_limits import UNLIMITED
from loadgen.load.spec import RunSpec
from loadgen.spec.runs import resolved_warmup_requests
from loadgen.spec.size import body_bytes

EVENTS_PER_S_PER_WORKER = 50_000
"""Chosen below what a core carries: at 4,000 streams an event took 13.5 µs of processor time, so that 74,000 a second fill it,
and bytes that wait for a reader are joined under one stamp."""

TOKENS_PER_S_PER_STREAM = 100
"""What a caller is taken to receive, where only the number of callers is known: a fast server's pace, not a measurement."""

# Against six runs on the simulator and the recorded streams of vLLM (short and long replies, chat, long prompts, three choices)
# the estimates of bytes were 1.0 to 2 times what was needed; servers with several tokens a chunk need less.
_CHUNK_BYTES = 400  # of a response: one token's event with its framing, stamp and place
_RECORD_BYTES, _ARRIVAL_BYTES = 300, 30  # of a request and of each of its chunks: by worker, and in order
_RUN_STORED_BYTES = 40_000  # its document, its outline and a few samples
_REQUEST_STORED_BYTES, _ARRIVAL_STORED_BYTES = 160, 8


def stated_s(run: RunSpec) -> float | None:
    """Return the duration that the spec states; None if it depends on the server's speed."""
    if run.duration_s is not None:
        return run.duration_s
    if run.shape.mean_rate_per_s is not None and run.requests is not None:
        return run.requests / run.shape.mean_rate_per_s
    return None


def steps(run: RunSpec) -> float:
    """Return the token steps that a run takes in sequence: its rounds of concurrent requests, each of `output_tokens`."""
    planned = run.planned_requests()
    requests = planned if planned is not None else run.concurrency or 1
    rounds = requests / (run.concurrency or 1)
    return max(1.0, rounds) * run.output_tokens


def _steps_warmed_up(run: RunSpec) -> float:
    """Return the steps of a run with those of its warm-up."""
    rounds = math.ceil(resolved_warmup_requests(run) / (run.concurrency or 1))
    return steps(run) + rounds * run.output_tokens


def thinking_s(run: RunSpec) -> float:
    """Return the seconds that the users of each caller think in all, on average, while no request of theirs is in flight.

    0 if each request stands alone, and for a run by duration, which includes them.
    """
    sessions, planned = run.workload.sessions, run.planned_requests()
    if sessions is None or planned is None:
        return 0.0
    conversations = max(1.0, planned / sessions.turns / (run.concurrency or 1))
    return conversations * (sessions.turns - 1) * sessions.think_time_s


def limit_waits_s(runs: Sequence[RunSpec]) -> list[float]:
    """Return the least seconds that each run lasts because of the rate limits, when all of them run in sequence.

    A minute's worth is sent at once and the next one a minute later; the next run uses what one run leaves of a minute.
    Warm-ups count; a run whose number of requests depends on the server is taken to need none.
    """
    waits_s: list[float] = []
    minutes, before_s = Fraction(0), 0.0
    for run in runs:
        minutes += _minutes_worth(run)
        until_s = max(0, math.ceil(minutes) - 1) * run.rate_limits.minute_s
        waits_s.append(until_s - before_s)
        before_s = until_s
    return waits_s


def _minutes_worth(run: RunSpec) -> Fraction:
    """Return the requests of a run in minutes' worth of its rate limits: 2 for 120 requests at 60 per minute."""
    planned, limits = run.planned_requests(), run.rate_limits
    if planned is None:
        return Fraction(0)
    requests = planned + resolved_warmup_requests(run)
    tokens = requests * ((run.input_tokens or 0) + run.output_tokens)  # prompts of a dataset are not known here
    asked = ((requests, limits.requests_per_minute), (tokens, limits.tokens_per_minute))
    return max((Fraction(units, most) for units, most in asked if most is not None), default=Fraction(0))


def scaled_s(run: RunSpec, like: RunSpec, took_s: float) -> float:
    """Return the seconds of `run` if `like` took `took_s`: the time to think is its own, all else is in proportion to the steps."""
    return thinking_s(run) + max(0.0, took_s - thinking_s(like)) * steps(run) / steps(like)


_FIXED_S = 1.0
"""Seconds of a run that do not grow with its replies: connecting, reading the records, saving. Taken from runs of one short wave."""


class TimeLeft:
    """Estimates the time left of a sweep, or of several, by the runs that ended so far."""

    def __init__(self, runs: Sequence[RunSpec]):
        self._runs = runs
        self._waits_s = limit_waits_s(runs)
        self._took_s: dict[str, float] = {}
        self._answering_s = 0.0  # of the runs so far, without the time to think
        self._answered_steps = 0.0

    def ended(self, run: RunSpec, took_s: float) -> None:
        """Take note that `run` took `took_s`, warm-up included."""
        self._took_s[run.point.hash] = took_s
        self._answering_s += max(0.0, took_s - thinking_s(run) - _FIXED_S)
        self._answered_steps += _steps_warmed_up(run)

    def of(self, run: RunSpec) -> float | None:
        """Return the seconds of `run`: as of its last repeat, else as stated, else by the runs so far; None if unknown."""
        if run.point.hash in self._took_s:
            return self._took_s[run.point.hash]
        stated = stated_s(run)
        if stated is not None:
            return stated
        if self._answered_steps == 0:
            return None
        return _FIXED_S + thinking_s(run) + _steps_warmed_up(run) * self._answering_s / self._answered_steps

    def left_s(self, position: int, elapsed_s: float, done_ratio: float) -> float | None:
        """Return the seconds left when run number `position` (from 1) has taken `elapsed_s` and is done by `done_ratio`."""
        present = self._runs[position - 1]
        expected = elapsed_s / done_ratio if done_ratio > 0.1 else self.of(present)
        wait_s = self._waits_s[position - 1]
        if wait_s:  # requests go out by bursts: what went so far says little of how long the rest takes
            expected = max(expected or 0.0, wait_s)
        if expected is None:
            return None
        total = max(0.0, expected - elapsed_s)
        for run, least_s in zip(self._runs[position:], self._waits_s[position:], strict=True):
            following = self.of(run)
            if following is None:
                following = scaled_s(run, present, expected)
            total += max(following, least_s)
        return total


def estimated_usd(run: RunSpec, price: Price, estimated_s: float | None) -> float | None:
    """Return the cost of `run` in US dollars; None if it is unknown.

    By tokens: every request and warm-up request at the lengths asked, which is the maximum if replies may end earlier. By
    time: `estimated_s`, without the warm-up.
    """
    if price.is_by_time:
        return None if estimated_s is None else price.of_time_usd(estimated_s)
    requests = run.planned_requests()
    if requests is None or run.input_tokens is None or run.workload.images is not None:
        return None
    answer = run.output_tokens * run.workload.choices
    measured = price.of_tokens_usd(requests * _mean_prompt_tokens(run), requests * answer)
    warmup = resolved_warmup_requests(run)
    return measured + price.of_tokens_usd(warmup * run.input_tokens, warmup * answer)


def _mean_prompt_tokens(run: RunSpec) -> float:
    """Return the mean over all turns of a conversation: turn k has k prompts and the k − 1 replies between them."""
    assert run.input_tokens is not None
    earlier_turns = (run.workload.turns - 1) / 2
    return run.input_tokens + earlier_turns * (run.input_tokens + run.output_tokens)


def spool_bytes(run: RunSpec) -> int | None:
    """Return the most bytes of temporary files during a run; None if the number of requests depends on the server."""
    requests = run.planned_requests()
    if requests is None:
        return None
    each = body_bytes(run) + _RECORD_BYTES + _tokens(run) * (_CHUNK_BYTES + _ARRIVAL_BYTES)
    return requests * each


def database_bytes(run: RunSpec) -> int | None:
    """Return the bytes of a run in the database; None if the number of requests depends on the server."""
    requests = run.planned_requests()
    if requests is None:
        return None
    return _RUN_STORED_BYTES + requests * (_REQUEST_STORED_BYTES + _tokens(run) * _ARRIVAL_STORED_BYTES)


def most_spool_bytes(runs: Sequence[RunSpec]) -> int | None:
    """Return `spool_bytes` of the run that needs most; None if those of any run are unknown."""
    known = [each for run in runs if (each := spool_bytes(run)) is not None]
    return max(known, default=0) if len(known) == len(runs) else None


def sum_database_bytes(runs: Sequence[RunSpec]) -> int | None:
    """Return `database_bytes` of all runs; None if those of any run are unknown."""
    known = [each for run in runs if (each := database_bytes(run)) is not None]
    return sum(known) if len(known) == len(runs) else None


def sum_known(values: Iterable[float | None]) -> float | None:
    """Return the sum of `values`; None if any of them is."""
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def disks_too_small(runs: Sequence[RunSpec], database: Path | None) -> list[DiskSpaceShort]:
    """Return the disks that may fill up: that of the temporary files, and that of the database at `database`."""
    needed = [("the temporary files of a run", bulk_folder(), max((spool_bytes(run) or 0 for run in runs), default=0))]
    if database is not None:
        needed.append(("the database", database.parent, sum(database_bytes(run) or 0 for run in runs)))
    found = [(what, folder, most, _free_bytes(folder)) for what, folder, most in needed]
    return [
        DiskSpaceShort(what, folder, needed_bytes=most, free_bytes=free)
        for what, folder, most, free in found
        if free is not None and free < most
    ]


def _tokens(run: RunSpec) -> int:
    return run.output_tokens * run.workload.choices


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def events_per_s(run: RunSpec) -> float:
    """Return the events per second that `run` asks for: one for each output token of each choice."""
    if run.shape.peak_rate_per_s is not None:
        return run.shape.peak_rate_per_s * run.output_tokens * run.workload.choices
    assert run.concurrency is not None
    return run.concurrency * TOKENS_PER_S_PER_STREAM * run.workload.choices


def workers_for(run: RunSpec, cores: int | None = None) -> int:
    """Return the number of workers of `run`: as asked, else by its events, up to one core less than `cores`.

    One under a rate limit, which workers that share nothing cannot keep together. `cores` None: those of this process.
    """
    if run.workers is not None:
        return run.workers
    if run.rate_limits != UNLIMITED:
        return 1
    cores = cores or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    needed = math.ceil(events_per_s(run) / EVENTS_PER_S_PER_WORKER)
    most = run.shape.max_workers(run.requests or 1_000_000)
    return max(1, min(needed, cores - 1, most))
