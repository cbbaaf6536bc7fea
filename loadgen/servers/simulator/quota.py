"""What the simulated server lets its clients send in any minute, all of them together. Pure: every moment is handed in."""

import math

from loadgen.load.rate_limits import NS_PER_S, RateLimits, Window
from loadgen.servers.simulator.generation import Generation, Refusal


class Quota:
    """Counts requests, and the tokens of their prompts and of the answers asked. What is refused counts for nothing."""

    def __init__(self, limits: RateLimits) -> None:
        length_ns = round(limits.minute_s * NS_PER_S)
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests = None if requests is None else Window(requests, length_ns)
        self._tokens = None if tokens is None else Window(tokens, length_ns)

    def admit(self, generation: Generation, arrival_ns: int) -> None:
        """Count a request that has just arrived. Raises `Refusal` with the time until there is room for it."""
        tokens = len(generation.prompt_ids) + generation.choices * generation.output_tokens
        asked = [
            (window, units) for window, units in ((self._requests, 1), (self._tokens, tokens)) if window is not None
        ]
        wait_ns = max((window.free_at_ns(units) for window, units in asked), default=0) - arrival_ns
        if wait_ns > 0:
            raise too_many_requests(math.ceil(wait_ns / NS_PER_S))
        for window, units in asked:
            window.note(units, arrival_ns)


def too_many_requests(retry_after_s: int) -> Refusal:
    """A 429 that asks its client to come again after so many seconds."""
    return Refusal("Too many requests", status=429, kind="RateLimitError", retry_after_s=retry_after_s)
