"""How busy this host's processors are, by whomever. Imports nothing of the project."""

import psutil


class HostLoad:
    """The share of all processors that was busy between the first sample and the last."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None

    def sample(self) -> None:
        """Look now."""
        times = psutil.cpu_times()
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        # guest time is part of user time, and must not be counted twice
        total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        self._last = (total_s - idle_s, total_s)
        self._first = self._first or self._last

    @property
    def busy_ratio(self) -> float | None:
        """0 idle, 1 every processor busy; None before two samples that lie a tick of the system's accounting apart."""
        if self._first is None or self._last is None or self._last[1] <= self._first[1]:
            return None
        return (self._last[0] - self._first[0]) / (self._last[1] - self._first[1])
