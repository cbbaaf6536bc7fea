"""What a provider lets one client send, and the sliding window that keeps to it. Pure: it reads no clock."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The maximum in any `minute_s` seconds; None: no such limit. The tokens of a request are its prompt's and those asked."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    minute_s: float = 60.0  # shorter in tests

    @property
    def label(self) -> str:
        """`at most 60 requests and 100,000 tokens per minute`; empty without any limit."""
        limits = ((self.requests_per_minute, "requests"), (self.tokens_per_minute, "tokens"))
        parts = [f"{limit:,} {of_what}" for limit, of_what in limits if limit is not None]
        return f"at most {' and '.join(parts)} per minute" if parts else ""


UNLIMITED = RateLimits()


class SlidingWindow:
    """At most `most` units in any `length_ns`, counted from when each was noted."""

    def __init__(self, most: int, length_ns: int) -> None:
        self._most = most
        self._length_ns = length_ns
        self._noted: deque[tuple[int, int]] = deque()  # (time, units), oldest first
        self._units = 0

    def free_at_ns(self, units: int) -> int:
        """Return from when on there is room for `units`; 0 if there always was. More than fit at all have room when it is empty."""
        too_many = self._units + min(units, self._most) - self._most
        free_ns = 0
        for noted_ns, gone in self._noted:
            if too_many <= 0:
                break
            too_many -= gone
            free_ns = noted_ns + self._length_ns
        return free_ns

    def note(self, units: int, now_ns: int) -> None:
        """Note that `units` go now, whether there is room or not, and forget what has left the window."""
        while self._noted and self._noted[0][0] + self._length_ns <= now_ns:
            self._units -= self._noted.popleft()[1]
        self._noted.append((now_ns, units))
        self._units += units
