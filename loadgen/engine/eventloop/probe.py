"""How late the event loop is: a steady timer that notes how late it fired, and samples the wall clock.

With kernel stamps a late loop does not move a latency, but it delays sends and lets reads coalesce; so it is measured.
"""

import asyncio
from array import array

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.eventloop.clock import WallClock, monotonic_ns
from loadgen.engine.eventloop.timer import make_timer

PERIOD_NS = 10_000_000
_TICKS_PER_CLOCK_SAMPLE = 5  # one offset sample each 50 ms


class LoopProbe:
    """Ticks every 10 ms from `start` to `stop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wall_clock: WallClock) -> None:
        self._wall_clock = wall_clock
        self._lags_ns = array("q")  # an hour has 360,000
        self._due_ns = 0
        self._timer = make_timer(loop, self._on_timer)

    def start(self) -> None:
        """Begin now."""
        self._due_ns = monotonic_ns() + PERIOD_NS
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
        self._due_ns += max(1, (now_ns - self._due_ns) // PERIOD_NS + 1) * PERIOD_NS
        self._timer.set(self._due_ns)
