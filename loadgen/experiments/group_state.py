"""Where a group of sweeps stands: which of its servers, which of the loads on it, which run, and the time left of all."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from loadgen.experiments import events
from loadgen.experiments.estimate import TimeLeft


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """All counted from 1; `runs` are those to be measured now."""

    server: int
    servers: int
    load: int
    loads: int  # on this server
    run: int
    runs: int

    @property
    def sentence(self) -> str:
        """`server 3 of 12, load 2 of 2, run 14 of 210`."""
        parts = [f"server {self.server:,} of {self.servers:,}"]
        if self.loads > 1:
            parts.append(f"load {self.load:,} of {self.loads:,}")
        return ", ".join([*parts, f"run {self.run:,} of {self.runs:,}"])


class GroupState:
    """The state of a group by its events; `now_s` is a monotonic clock."""

    def __init__(self, parts: Sequence[events.GroupPart], now_s: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._now_s = now_s
        self._time_left = TimeLeft([run for part in parts for run in part.runs])
        self._at: int | None = None  # of the present part
        self._ended = 0  # runs of the present part
        self._up: int | None = None  # the server that answers, by its number
        self._starting_since_s: float | None = None
        self._starts_s: list[float] = []

    def take(self, event: events.Event) -> None:
        """Take an event, in the order in which they happen."""
        match event:
            case events.PartStarted():
                self._at, self._ended = event.at, 0
            case events.ServerStarting():
                self._starting_since_s = self._starting_since_s or self._now_s()
            case events.ServerReady():
                self._up = None if self._at is None else self._parts[self._at].server
                if self._starting_since_s is not None:
                    self._starts_s.append(self._now_s() - self._starting_since_s)
                self._starting_since_s = None
            case events.ServerEnding() | events.ServerNotStarted():
                self._up = self._starting_since_s = None
            case events.RunEnded():
                self._ended += 1
                self._time_left.ended(event.run, event.took_s)

    @property
    def place(self) -> GroupPlace | None:
        """Where the group stands; None before its first sweep and after its last run."""
        run, runs = self._run, sum(len(part.runs) for part in self._parts)
        if self._at is None or run > runs:
            return None
        part = self._parts[self._at]
        return GroupPlace(
            server=part.server,
            servers=max(each.server for each in self._parts),
            load=part.load,
            loads=max(each.load for each in self._parts if each.server == part.server),
            run=run,
            runs=runs,
        )

    def left_s(self, elapsed_s: float = 0.0, done_ratio: float = 0.0) -> float | None:
        """Seconds left of the whole group, starts of servers included; None if unknown. `elapsed_s`, `done_ratio`: of the present run."""
        place = self.place
        if place is None or self._at is None:
            return None
        measuring_s = self._time_left.left_s(place.run, elapsed_s, done_ratio)
        if measuring_s is None:
            return None
        ahead = {part.server for part in self._parts[self._at :] if part.runs} - {self._up}
        if not ahead or not self._starts_s:
            return measuring_s
        started_s = 0.0 if self._starting_since_s is None else self._now_s() - self._starting_since_s
        return measuring_s + max(0.0, len(ahead) * fmean(self._starts_s) - started_s)

    @property
    def _run(self) -> int:
        """The number of the present run among all; runs of a server that failed are passed over."""
        before = self._parts[: self._at]
        return sum(len(part.runs) for part in before) + self._ended + 1
