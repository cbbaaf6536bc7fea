"""A timer with nanosecond resolution.

epoll, which every event loop waits with, rounds each timer up to a whole millisecond, or half of one, which would be the largest
error of the client. On Linux a timerfd wakes the loop instead; elsewhere the loop's own timer is used. The engine sends by it,
and the simulator its tokens.
"""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1


class Timer(Protocol):
    """Calls its callback at, or just after, the time set last."""

    def set(self, due_ns: int) -> None:
        """Fire at `due_ns` on the monotonic clock, and at no time set before; at once if that has passed."""

    def cancel(self) -> None:
        """Do not fire until set again."""

    def close(self) -> None:
        """Release the system's resources."""


class _Itimerspec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class TimerFd:
    """Linux: a timerfd that the loop watches. Setting it again clears an expiry, so it is never read."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_timer: Callable[[], None]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._fd: int = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = _Itimerspec()
        self._spec_pointer = ctypes.byref(self._spec)
        self._loop = loop
        loop.add_reader(self._fd, on_timer)

    def set(self, due_ns: int) -> None:
        self._set(max(due_ns, 1))  # 0 disarms

    def cancel(self) -> None:
        self._set(0)

    def _set(self, due_ns: int) -> None:
        self._spec.value_s, self._spec.value_ns = divmod(due_ns, 1_000_000_000)
        self._settime(self._fd, _TFD_TIMER_ABSTIME, self._spec_pointer, None)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)


class LoopTimer:
    """Anywhere: the loop's own timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_timer: Callable[[], None]) -> None:
        self._loop = loop
        self._on_timer = on_timer
        self._handle: asyncio.TimerHandle | None = None

    def set(self, due_ns: int) -> None:
        self.cancel()
        delay_s = max(0, due_ns - time.monotonic_ns()) / 1e9
        self._handle = self._loop.call_later(delay_s, self._on_timer)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def close(self) -> None:
        self.cancel()


def make_timer(loop: asyncio.AbstractEventLoop, on_timer: Callable[[], None]) -> Timer:
    """The best timer of this system."""
    return TimerFd(loop, on_timer) if sys.platform == "linux" else LoopTimer(loop, on_timer)


@dataclass(frozen=True, slots=True)
class Clock:
    """The monotonic time in nanoseconds, and timers on it that call back: the system's, or those of a test."""

    now_ns: Callable[[], int]
    make_timer: Callable[[Callable[[], None]], Timer]


SYSTEM_CLOCK = Clock(time.monotonic_ns, lambda on_timer: make_timer(asyncio.get_running_loop(), on_timer))
"""The clock of this system, with timers of the running event loop."""
