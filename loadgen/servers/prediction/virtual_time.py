"""An engine under load in virtual time: no clock, no sockets, no randomness. Times are seconds from the start of the run."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from loadgen.moe.step import Step
from loadgen.servers.prediction import scheduler as scheduling
from loadgen.servers.prediction.engine_steps import EngineModel, EngineSteps, FloatArray, InFlight
from loadgen.servers.prediction.images import NO_IMAGES, ImageLoad
from loadgen.servers.prediction.scheduler import Plan, Scheduler

_FEW_STEPS = 3  # are costed one by one
_GRID_POINTS = 9  # of more, of which the cost is interpolated between


@dataclass(frozen=True, slots=True)
class Request:
    """What one request asks for. `due_s` None: it waits for a free caller."""

    prompt_tokens: int
    output_tokens: int
    due_s: float | None = None
    images: ImageLoad = NO_IMAGES  # whose tokens are among the prompt's


@dataclass(frozen=True, slots=True)
class Reply:
    """When a request was sent, by which caller, and when each of its output tokens arrived: those of one chunk at once."""

    sent_s: float
    token_s: FloatArray
    caller: int
    preemptions: int = 0


def serve(
    engine: EngineModel,
    requests: Sequence[Request],
    *,
    callers: int | None = None,
    duration_s: float | None = None,
    step_by_step: bool = False,
) -> list[Reply]:
    """Return the replies to `requests`, in their order.

    `callers` send one request after the other, in the order given; None: each is sent when it is due. After `duration_s`
    no caller sends any more, so that there are fewer replies than requests. `step_by_step` plans each decoding step by
    itself: the same times at a higher cost.
    Raises ValueError for a request that the KV cache cannot hold.
    """
    return _Serving(engine, requests, callers, duration_s=duration_s, step_by_step=step_by_step).run()


@dataclass(slots=True)
class _Serving:
    """One run."""

    engine: EngineModel
    requests: Sequence[Request]
    callers: int | None
    duration_s: float | None
    step_by_step: bool
    steps: EngineSteps = field(init=False)
    arrivals: list[tuple[float, int]] = field(default_factory=list)  # a heap: when the engine gets it, and its number
    sequences: list[scheduling.Sequence] = field(default_factory=list)
    sent_s: list[float] = field(default_factory=list)
    sent_by: list[int] = field(default_factory=list)
    tokens: list[list[FloatArray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steps = EngineSteps(self.engine)

    @property
    def scheduler(self) -> Scheduler:
        return self.steps.scheduler

    def run(self) -> list[Reply]:
        self._send_first()
        steps, scheduler = self.steps, self.scheduler
        while self.arrivals or steps.queue or scheduler.running or scheduler.waiting:
            self._take_arrivals()
            unchanged = 0 if self.step_by_step or len(steps.queue) != 1 else scheduler.unchanged_steps()
            if unchanged > 1:
                self._decode(unchanged)
            elif steps.launch_next() is None:
                if steps.queue:
                    self._finish_oldest()
                else:
                    steps.now_s = max(steps.now_s, self.arrivals[0][0])
        return [
            Reply(sent_s, np.concatenate(pieces), caller, sequence.preemptions)
            for sent_s, pieces, caller, sequence in zip(
                self.sent_s, self.tokens, self.sent_by, self.sequences, strict=True
            )
        ]

    def _finish_oldest(self) -> None:
        plan = self.steps.await_oldest()
        self._deliver(plan, [self.steps.now_s])
        for sequence in self.scheduler.finish(plan):
            if self.callers is not None:
                self._send_next(float(self.tokens[sequence.number][-1][-1]), self.sent_by[sequence.number])

    def _deliver(self, plan: Plan, times_s: Sequence[float]) -> None:
        """Hand out the tokens of equal steps that ended at those times."""
        arrived_s = self.steps.hand_out(len(plan.sampled), times_s)
        for sequence, tokens, its_s in zip(plan.sampled, plan.tokens, arrived_s, strict=True):
            self.tokens[sequence.number].append(its_s if tokens == 1 else np.repeat(its_s, tokens))

    def _decode(self, steps: int) -> None:
        """Plan steps that all decode the same sequences, and finish all before the last, as `run` does one by one."""
        before = self.steps.queue.popleft()
        launch_s, compute_s = self._costs(self.scheduler.decoding_step(), steps)
        until_s = self.arrivals[0][0] if self.arrivals and self._would_admit() else np.inf
        now_s, end_s = self.steps.now_s, before.end_s
        times_s: list[float] = []
        while len(times_s) < steps and now_s < until_s:
            done = len(times_s)
            start_s = max(now_s, end_s)
            now_s += launch_s[done]
            next_end_s = max(start_s + compute_s[done], now_s)
            now_s = max(now_s, end_s)
            times_s.append(now_s)
            end_s = next_end_s
        self.steps.now_s, self.steps.free_s = now_s, end_s
        plan = self.scheduler.decode(len(times_s))
        self._deliver(before.plan, times_s[:1])
        self.scheduler.finish(before.plan)
        if times_s[1:]:
            self._deliver(plan, times_s[1:])
            self.scheduler.finish_decoded(plan, len(times_s) - 1)
        self.steps.queue.append(InFlight(plan, end_s))

    def _would_admit(self) -> bool:
        """Whether a request that arrives now may change the next step."""
        return not self.scheduler.waiting and len(self.scheduler.running) < self.engine.limits.max_num_seqs

    def _costs(self, first: Step, steps: int) -> tuple[list[float], list[float]]:
        """The times to launch and to compute each of some steps in which only the context grows."""
        points = steps if steps <= _FEW_STEPS else min(_GRID_POINTS, steps)
        grid = np.linspace(0, steps - 1, points)
        grown = (
            replace(first, decode_context_tokens=first.decode_context_tokens + at * first.decode_sequences)
            for at in grid
        )
        costs = [self.engine.cost_of(step) for step in grown]
        every = np.arange(steps)
        launch_s = np.interp(every, grid, [cost.launch_s for cost in costs])
        compute_s = np.interp(every, grid, [cost.compute_s for cost in costs])
        return launch_s.tolist(), compute_s.tolist()

    def _take_arrivals(self) -> None:
        while self.arrivals and self.arrivals[0][0] <= self.steps.now_s:
            _, number = heapq.heappop(self.arrivals)
            self.scheduler.add(self.sequences[number])

    def _send_first(self) -> None:
        if self.callers is None:
            for request in self.requests:
                self._send(request.due_s or 0.0, -1)
        else:
            for caller in range(min(self.callers, len(self.requests))):
                self._send(0.0, caller)

    def _send_next(self, ended_s: float, caller: int) -> None:
        sent_s = ended_s + self.engine.front_end.caller_s
        if len(self.sent_s) < len(self.requests) and (self.duration_s is None or sent_s < self.duration_s):
            self._send(sent_s, caller)

    def _send(self, sent_s: float, caller: int) -> None:
        number = len(self.sent_s)
        request = self.requests[number]
        images = request.images
        taken_s = self.steps.taken_s(sent_s, request.prompt_tokens, images.front_end_s)
        heapq.heappush(self.arrivals, (taken_s, number))
        self.sequences.append(
            scheduling.Sequence(
                number, request.prompt_tokens, request.output_tokens, images=images.images, tiles=images.tiles
            )
        )
        self.sent_s.append(sent_s)
        self.sent_by.append(caller)
        self.tokens.append([])
