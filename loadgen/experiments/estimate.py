"""How long runs will take: what their specs say, and what their like took before. Estimates, never measurements."""

import math
from collections.abc import Sequence
from fractions import Fraction

from loadgen.load.schedule import planned_requests
from loadgen.load.spec import OpenLoop, RunSpec
from loadgen.spec.runs import resolved_warmup_requests


def stated_s(run: RunSpec) -> float | None:
    """The duration that the spec itself states; None where it depends on the server's speed."""
    if run.duration_s is not None:
        return run.duration_s
    if isinstance(run.shape, OpenLoop) and run.requests is not None:
        return run.requests / run.shape.mean_rate_per_s
    return None


def steps(run: RunSpec) -> float:
    """Token steps that a run takes one after the other: its rounds of concurrent requests, each of `output_tokens`."""
    planned = planned_requests(run)
    requests = planned if planned is not None else run.concurrency or 1
    rounds = requests / (run.concurrency or 1)
    return max(1.0, rounds) * run.output_tokens


def thinking_s(run: RunSpec) -> float:
    """Seconds for which each caller's users think in all, on average, while nothing of theirs is in flight.

    0 where each request stands by itself, and where the duration is stated, which contains them.
    """
    sessions, planned = run.workload.sessions, planned_requests(run)
    if sessions is None or planned is None:
        return 0.0
    conversations = max(1.0, planned / sessions.turns / (run.concurrency or 1))
    return conversations * (sessions.turns - 1) * sessions.think_time_s


def limit_waits_s(runs: Sequence[RunSpec]) -> list[float]:
    """Seconds that the limits per minute make each run last at the least, when all of them run one after the other.

    A minute's worth goes out at once and the next one a minute later; how much of a minute one run leaves is the next one's.
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
    """How many minutes' worth of what the limits allow a run sends: 2 for 120 requests of at most 60 per minute."""
    planned, limits = planned_requests(run), run.rate_limits
    if planned is None:
        return Fraction(0)
    requests = planned + resolved_warmup_requests(run)
    tokens = requests * ((run.input_tokens or 0) + run.output_tokens)  # prompts of a dataset are not known here
    asked = ((requests, limits.requests_per_minute), (tokens, limits.tokens_per_minute))
    return max((Fraction(units, most) for units, most in asked if most is not None), default=Fraction(0))


def scaled_s(run: RunSpec, like: RunSpec, took_s: float) -> float:
    """What `run` should take where `like` took `took_s`: users think as they do, and all else goes with the steps."""
    return thinking_s(run) + max(0.0, took_s - thinking_s(like)) * steps(run) / steps(like)


class TimeLeft:
    """The time that is left of a sweep, from the runs that ended so far."""

    def __init__(self, runs: Sequence[RunSpec]):
        self._runs = runs
        self._waits_s = limit_waits_s(runs)
        self._took_s: dict[str, float] = {}
        self._answering_s = 0.0  # of the runs so far, without the time to think
        self._answered_steps = 0.0

    def ended(self, run: RunSpec, took_s: float) -> None:
        """`run` took `took_s`, warm-up included."""
        self._took_s[run.point.hash] = took_s
        self._answering_s += max(0.0, took_s - thinking_s(run))
        self._answered_steps += steps(run)

    def of(self, run: RunSpec) -> float | None:
        """What `run` should take: as its last repeat did, else as stated, else by the runs so far; None when nobody knows."""
        if run.point.hash in self._took_s:
            return self._took_s[run.point.hash]
        stated = stated_s(run)
        if stated is not None:
            return stated
        if self._answered_steps == 0:
            return None
        return thinking_s(run) + steps(run) * self._answering_s / self._answered_steps

    def left_s(self, position: int, elapsed_s: float, done_ratio: float) -> float | None:
        """Seconds left when run number `position` (from 1) has gone on for `elapsed_s` and is done by `done_ratio`."""
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
