"""The clocks: monotonic time for every latency, and the way from the kernel's wall-clock stamps to it.

The kernel stamps arrivals with CLOCK_REALTIME, which slews and may step; latencies are taken on CLOCK_MONOTONIC. The offset
between the two drifts by tens of microseconds within seconds, so it is sampled all through a run and interpolated.
"""

import asyncio
import itertools
import time
from array import array
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.eventloop.timer import make_timer

monotonic_ns = time.monotonic_ns

_TRIES = 5
_TICK_NS = 10_000_000
_TICKS_PER_CLOCK_SAMPLE = 5  # one offset sample each 50 ms


def offset_sample() -> tuple[int, int]:
    """(wall clock, wall minus monotonic clock) in nanoseconds, from the tightest of a few tries."""
    best_width, best = None, (0, 0)
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best_width is None or after - before < best_width:
            best_width, best = after - before, (wall, wall - (before + after) // 2)
    return best


_Course = tuple[int, int, NDArray[np.float64], NDArray[np.float64]]
"""How the offset went through a run: (wall clock and offset of the first sample, wall clock and offset of each less those)."""


class WallClock:
    """The offset between wall and monotonic clock, sampled through a run. Call `sample` often; it costs 2 µs."""

    def __init__(self, offset_sample: Callable[[], tuple[int, int]] = offset_sample) -> None:
        self._offset_sample = offset_sample
        self._walls_ns, self._offsets_ns = array("q"), array("q")  # a sample each
        self._course: _Course | None = None  # of these samples, once asked for
        self.sample()

    def sample(self) -> None:
        wall_ns, offset_ns = self._offset_sample()
        self._walls_ns.append(wall_ns)
        self._offsets_ns.append(offset_ns)
        self._course = None

    def to_monotonic(self, wall_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Wall-clock stamps as monotonic ones: the offset is interpolated between the samples around each stamp."""
        if self._course is None:
            self._course = self._laid_out()
        first_wall_ns, first_offset_ns, walls_ns, drifts_ns = self._course
        drift_ns = np.interp(wall_ns - first_wall_ns, walls_ns, drifts_ns)
        monotonic: NDArray[np.int64] = wall_ns - first_offset_ns - np.rint(drift_ns).astype(np.int64)
        return monotonic

    def _laid_out(self) -> _Course:
        rows = np.array([self._walls_ns, self._offsets_ns], dtype=np.int64).T
        # In the order of the wall clock: one that stepped back has no true answer, and the step itself is reported.
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        # Relative to the first sample, for a float64 holds nanoseconds since 1970 only to a quarter of a microsecond.
        walls_ns, drifts_ns = (rows - rows[0]).T.astype(np.float64, order="C")
        return int(rows[0, 0]), int(rows[0, 1]), walls_ns, drifts_ns

    def to_utc(self, monotonic: int) -> str:
        """A monotonic timestamp as UTC in ISO 8601, by the first offset."""
        wall_ns = monotonic + self._offsets_ns[0]
        return datetime.fromtimestamp(wall_ns / 1e9, UTC).isoformat(timespec="milliseconds")

    @property
    def largest_step_ns(self) -> int:
        """The largest change of the offset between two neighbouring samples: a slew is small, a step is not."""
        return max((abs(b - a) for a, b in itertools.pairwise(self._offsets_ns)), default=0)


class LoopProbe:
    """Samples the wall clock from `start` to `stop`, and notes at each tick of 10 ms how late the event loop is.

    With kernel stamps a late loop does not move a latency, but it delays sends and lets reads coalesce.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wall_clock: WallClock) -> None:
        self._wall_clock = wall_clock
        self._lags_ns = array("q")  # an hour has 360,000
        self._due_ns = 0
        self._timer = make_timer(loop, self._on_timer)

    def start(self) -> None:
        self._due_ns = monotonic_ns() + _TICK_NS
        self._timer.set(self._due_ns)

    def stop(self) -> NDArray[np.int64]:
        """End, and return the lag of every tick in nanoseconds."""
        self._timer.close()
        self._wall_clock.sample()
        return np.array(self._lags_ns, dtype=np.int64)

    def _on_timer(self) -> None:
        now_ns = monotonic_ns()
        self._lags_ns.append(now_ns - self._due_ns)
        if len(self._lags_ns) % _TICKS_PER_CLOCK_SAMPLE == 0:
            self._wall_clock.sample()
        # The next tick keeps to the grid; those that a stall swallowed are one long lag, not many.
        self._due_ns += max(1, (now_ns - self._due_ns) // _TICK_NS + 1) * _TICK_NS
        self._timer.set(self._due_ns)
