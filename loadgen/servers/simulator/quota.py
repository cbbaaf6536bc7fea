"""What the simulated server lets its clients send in any minute, all of them together. Pure: every moment is handed in."""

import math
from collections.abc import Callable
from typing import Literal

from loadgen.load.arrivals import NS_PER_S
from loadgen.load.rate_limits import RateLimits, SlidingWindow
from loadgen.servers.simulator.generation import Generation, SimulatedRefusal

Limited = Literal["requests", "tokens"]


class Bucket:
    """`most` units that come back continuously, all of them in `length_ns`: the token bucket of some providers."""

    def __init__(self, most: int, length_ns: int) -> None:
        self._most = most
        self._ns_each = length_ns / most
        self._left = float(most)
        self._at_ns = 0

    def free_at_ns(self, units: int) -> int:
        """From when on there is room for `units`; more than fit at all have room when it is full."""
        missing = min(units, self._most) - self._left
        return 0 if missing <= 0 else self._at_ns + math.ceil(missing * self._ns_each)

    def note(self, units: int, now_ns: int) -> None:
        """`units` go now."""
        self._left, self._at_ns = self.left(now_ns) - units, now_ns

    def left(self, now_ns: int) -> float:
        """How many units there are now; below 0 after one that was larger than all."""
        return min(self._most, self._left + (now_ns - self._at_ns) / self._ns_each)


Allowance = SlidingWindow | Bucket
"""A way to count."""


def too_many_requests(retry_after_s: int, limited: Limited = "requests") -> SimulatedRefusal:
    """A 429 that asks its client to come again after so many seconds, in vLLM's form."""
    return SimulatedRefusal("Too many requests", status=429, kind="RateLimitError", retry_after_s=retry_after_s)


class Quota:
    """Counts requests, and the tokens of their prompts and of the answers asked. What is refused counts for nothing."""

    def __init__(
        self,
        limits: RateLimits,
        count: Callable[[int, int], Allowance] = SlidingWindow,
        refusal: Callable[[int, Limited], SimulatedRefusal] = too_many_requests,
    ) -> None:
        length_ns = round(limits.minute_s * NS_PER_S)
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self.requests = None if requests is None else count(requests, length_ns)
        self.tokens = None if tokens is None else count(tokens, length_ns)
        self._refusal = refusal

    def admit(self, generation: Generation, arrival_ns: int) -> None:
        """Count a request that has just arrived. Raises `SimulatedRefusal` with the time until there is room for it."""
        asked: list[tuple[Allowance, int, Limited]] = []
        if self.requests is not None:
            asked.append((self.requests, 1, "requests"))
        if self.tokens is not None:
            asked.append((self.tokens, generation.limit_tokens, "tokens"))
        waits = [(allowance.free_at_ns(units) - arrival_ns, limited) for allowance, units, limited in asked]
        wait_ns, limited = max(waits, default=(0, "requests"))
        if wait_ns > 0:
            raise self._refusal(math.ceil(wait_ns / NS_PER_S), limited)
        for allowance, units, _ in asked:
            allowance.note(units, arrival_ns)
