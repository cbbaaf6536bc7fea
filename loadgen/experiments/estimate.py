"""How long runs will take: what their specs say, and what their like took before. Imports `load`. Estimates, never measurements."""

from collections.abc import Sequence

from loadgen.load.schedule import planned_requests
from loadgen.load.spec import OpenLoop, RunSpec


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


def scaled_s(run: RunSpec, like: RunSpec, took_s: float) -> float:
    """What `run` should take where `like` took `took_s`: users think as they do, and all else goes with the steps."""
    return thinking_s(run) + max(0.0, took_s - thinking_s(like)) * steps(run) / steps(like)


class TimeLeft:
    """The time that is left of a sweep, from the runs that ended so far."""

    def __init__(self, runs: Sequence[RunSpec]):
        self._runs = runs
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
        present, later = self._runs[position - 1], self._runs[position:]
        expected = elapsed_s / done_ratio if done_ratio > 0.1 else self.of(present)
        if expected is None:
            return None
        total = max(0.0, expected - elapsed_s)
        for run in later:
            following = self.of(run)
            if following is None:
                following = scaled_s(run, present, expected)
            total += following
        return total
