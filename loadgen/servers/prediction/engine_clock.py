"""An engine driven by a clock: requests are added as they arrive, and the times of their tokens become known as time passes.

The clock is the caller's. A step is planned only when its time has come, so that every request that arrived by then is known;
what it makes is then known in advance.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from loadgen.servers.prediction.engine_steps import EngineModel, EngineSteps
from loadgen.servers.prediction.scheduler import Scheduler, Sequence


@dataclass(slots=True)
class EngineClock:
    """One engine. Times are seconds of the caller's clock, which must not go backwards."""

    engine: EngineModel
    next_s: float | None = field(default=None, init=False)  # when to advance again; None: when a request arrives
    _steps: EngineSteps = field(init=False)
    _arrivals: list[tuple[float, int, Sequence]] = field(default_factory=list, init=False)  # a heap
    _numbers: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._steps = EngineSteps(self.engine)

    @property
    def scheduler(self) -> Scheduler:
        return self._steps.scheduler

    @property
    def waiting(self) -> int:
        """Requests that no step has computed anything of yet, or that were preempted."""
        return len(self._arrivals) + len(self.scheduler.waiting)

    @property
    def kv_cache_usage_ratio(self) -> float:
        """The share of the KV cache's blocks that is taken."""
        return 1 - self.scheduler.free_blocks / self.engine.limits.kv_blocks

    def arrive(self, at_s: float, prompt_tokens: int, output_tokens: int) -> Sequence:
        """Add a request that arrived at `at_s`. Raises ValueError if the KV cache cannot hold it even alone."""
        sequence = Sequence(self._numbers, prompt_tokens, output_tokens)
        self.scheduler.check(sequence)
        self._numbers += 1
        heapq.heappush(self._arrivals, (self._steps.taken_s(at_s, prompt_tokens), sequence.number, sequence))
        return sequence

    def cancel(self, sequence: Sequence) -> None:
        """Take a request out whose client has left."""
        self._arrivals = [entry for entry in self._arrivals if entry[2] is not sequence]
        heapq.heapify(self._arrivals)
        self.scheduler.cancel(sequence)

    def advance(self, until_s: float) -> Iterator[tuple[Sequence, float]]:
        """Plan all steps whose time has come, and yield each token that they make with when it arrives, which may be later."""
        steps = self._steps
        while True:
            self._take_arrivals()
            if not steps.queue and not self.scheduler.running and not self.scheduler.waiting:
                if not self._arrivals:
                    self.next_s = None
                    return
                steps.now_s = max(steps.now_s, self._arrivals[0][0])
            if steps.now_s > until_s:
                self.next_s = steps.now_s
                return
            self._take_arrivals()
            if steps.launch_next() is None and steps.queue:
                yield from self._finish_oldest()

    def _finish_oldest(self) -> Iterator[tuple[Sequence, float]]:
        plan = self._steps.await_oldest()
        arrived_s = self._steps.hand_out(len(plan.sampled), [self._steps.now_s])
        for sequence, tokens, times_s in zip(plan.sampled, plan.tokens, arrived_s, strict=True):
            if not sequence.is_cancelled:
                yield from [(sequence, float(times_s[0]))] * tokens
        self.scheduler.finish(plan)

    def _take_arrivals(self) -> None:
        while self._arrivals and self._arrivals[0][0] <= self._steps.now_s:
            self.scheduler.add(heapq.heappop(self._arrivals)[2])
