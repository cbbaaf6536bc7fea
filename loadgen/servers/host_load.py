"""How busy this host's processors are, and how much of it is neither the client's doing nor the server's."""

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

import psutil

from loadgen.servers.local_server import is_local, processes_of


class _Times(NamedTuple):
    """Processor seconds since the host began: of all that ran, of the client and the server, and of all there were."""

    busy_s: float
    ours_s: float
    total_s: float


class HostLoad:
    """The share of all processors that was busy between the first sample and the last.

    `server_url` is the server's where it may share the host; its processes are looked up here, the client's own at the first
    sample, when its workers run.
    """

    def __init__(self, server_url: str | None = None) -> None:
        self.server_on_host = server_url is not None and is_local(server_url)
        self._ours: list[psutil.Process] = []
        if server_url is not None and self.server_on_host:
            self._ours = list(processes_of(server_url))
        self._used_s: dict[int, float] = {}
        self._first: _Times | None = None
        self._last: _Times | None = None

    def sample(self) -> None:
        if self.server_on_host and self._first is None:
            self._ours = list({each.pid: each for each in (*_own_processes(), *self._ours)}.values())
        times = psutil.cpu_times()
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        # guest time is part of user time, and must not be counted twice
        total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        self._used_s |= _used_s(self._ours)  # of a process that has ended, what it had used
        self._last = _Times(total_s - idle_s, sum(self._used_s.values()), total_s)
        self._first = self._first or self._last

    @property
    def busy_ratio(self) -> float | None:
        """0 idle, 1 every processor busy; None before two samples that lie a tick of the system's accounting apart."""
        if self._first is None or self._last is None or self._last.total_s <= self._first.total_s:
            return None
        return (self._last.busy_s - self._first.busy_s) / (self._last.total_s - self._first.total_s)

    @property
    def others_busy_ratio(self) -> float | None:
        """The same without what the client and the server used; None where the server is on another host."""
        busy_ratio = self.busy_ratio
        if busy_ratio is None or not self.server_on_host or self._first is None or self._last is None:
            return None
        ours_ratio = (self._last.ours_s - self._first.ours_s) / (self._last.total_s - self._first.total_s)
        return max(0.0, busy_ratio - ours_ratio)


def _own_processes() -> list[psutil.Process]:
    own = psutil.Process()
    with suppress(psutil.Error):
        return [own, *own.children(recursive=True)]
    return [own]


def _used_s(processes: Iterable[psutil.Process]) -> dict[int, float]:
    found: dict[int, float] = {}
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
    return found
