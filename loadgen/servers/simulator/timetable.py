"""When each token of one request is due: the absolute schedule, computed from the request's start. Pure.

No due time depends on when an earlier token really went out, so lateness never accumulates.
"""

import random

from loadgen.servers.simulator.options import SimulatorOptions

AT_ONCE = -1
"""In the place of a token: the moment when the request starts."""


class Timetable:
    """Due times of one request, in nanoseconds on the clock of `start_ns`."""

    __slots__ = ("_delays", "_jitter_ns", "first_ns", "gap_ns", "start_ns")

    def __init__(
        self, options: SimulatorOptions, start_ns: int, prompt_tokens: int, running: int, ordinal: int
    ) -> None:
        """`running` counts the other requests in service at the start; `ordinal` numbers the requests, for the jitter."""
        ttft_s = options.ttft_s + options.ttft_per_prompt_token_s * prompt_tokens + options.ttft_per_running_s * running
        gap_s = options.gap_s + options.gap_per_running_s * running
        self.gap_ns = round(gap_s * 1e9)
        self._jitter_ns = options.jitter_ratio * self.gap_ns
        self._delays: random.Random | None = None
        if options.jitter_ratio:
            self._delays = random.Random(f"{options.seed}:{ordinal}")
            ttft_s += options.jitter_ratio * ttft_s * self._delays.random()
        self.start_ns = start_ns
        self.first_ns = start_ns + round(ttft_s * 1e9)

    def due_ns(self, token: int) -> int:
        """When token `token` (from 0) is due. With jitter each call draws: ask once for each write, in order."""
        if token == AT_ONCE:
            return self.start_ns
        due = self.first_ns + token * self.gap_ns
        if self._delays is not None and token:
            due += int(self._jitter_ns * self._delays.random())
        return due
