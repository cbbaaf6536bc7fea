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


class TimeLeft:
    """The time that is left of a sweep, from the runs that ended so far."""

    def __init__(self, runs: Sequence[RunSpec]):
        self._runs = runs
        self._took_s: dict[str, float] = {}
        self._measured_s = 0.0
        self._measured_steps = 0.0

    def ended(self, run: RunSpec, took_s: float) -> None:
        """`run` took `took_s`, warm-up included."""
        self._took_s[run.point.hash] = took_s
        self._measured_s += took_s
        self._measured_steps += steps(run)

    def of(self, run: RunSpec) -> float | None:
        """What `run` should take: as its last repeat did, else as stated, else by the runs so far; None when nobody knows."""
        if run.point.hash in self._took_s:
            return self._took_s[run.point.hash]
        stated = stated_s(run)
        if stated is not None:
            return stated
        if self._measured_steps == 0:
            return None
        return steps(run) * self._measured_s / self._measured_steps

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
                following = expected * steps(run) / steps(present)
            total += following
        return total
