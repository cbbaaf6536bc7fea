"""An engine under load in virtual time: no clock, no sockets, no randomness. Times are seconds from the start of the run.

Two processes, as in vLLM. The front end takes requests one after the other, and hands out the tokens of a step one after the
other. The engine plans a step, launches its kernels, which takes the CPU, and while the device computes it plans and launches
the next; then it waits for the older of the two (vllm/v1/engine/core.py, step_with_batch_queue). So a token arrives when its
step has been computed and the step after it has been launched, and what arrives meanwhile waits for the step after that.
"""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from loadgen.moe.step import Step
from loadgen.servers.simulator import scheduler as scheduling
from loadgen.servers.simulator.scheduler import Plan, Scheduler, SchedulerLimits

FloatArray = NDArray[np.float64]

_FEW_STEPS = 3  # are costed one by one
_GRID_POINTS = 9  # of more, of which the cost is interpolated between


@dataclass(frozen=True, slots=True)
class StepCost:
    """What one step takes: the CPU to launch it, the device to compute it.

    `interval_s` is how soon the device can take the next step: less than `compute_s` with pipeline stages.
    """

    launch_s: float
    compute_s: float
    interval_s: float


CostOf = Callable[[Step], StepCost]


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """What the server's HTTP process and the network add, in seconds."""

    request_s: float = 0.0  # of taking one request; the next waits
    prompt_token_s: float = 0.0  # on top, for each token of its prompt
    reply_s: float = 0.0  # from the end of a step to its first token at the client
    token_s: float = 0.0  # of handing out one token; the next waits
    caller_s: float = 0.0  # from the last token of a reply to the caller's next request


@dataclass(frozen=True, slots=True)
class EngineModel:
    """One copy of an engine. `steps_in_flight`: planned steps whose result is not known, at most."""

    limits: SchedulerLimits
    cost_of: CostOf
    front_end: FrontEnd = field(default_factory=FrontEnd)
    steps_in_flight: int = 2
    wake_s: float = 0.0  # from a request's arrival at the idle engine until it plans a step


@dataclass(frozen=True, slots=True)
class Request:
    """What one request asks for. `due_s` None: it waits for a free caller."""

    prompt_tokens: int
    output_tokens: int
    due_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """When a request was sent, by which caller, and when each of its output tokens arrived."""

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
class _InFlight:
    plan: Plan
    end_s: float


@dataclass(slots=True)
class _Serving:
    """One run. `now_s` is the engine's CPU; the device takes the next step from `free_s` on."""

    engine: EngineModel
    requests: Sequence[Request]
    callers: int | None
    duration_s: float | None
    step_by_step: bool
    now_s: float = 0.0
    free_s: float = 0.0
    front_free_s: float = 0.0  # from when on the front end takes the next request
    handed_out_s: float = 0.0  # when it has handed out all tokens that it has
    queue: deque[_InFlight] = field(default_factory=deque)
    arrivals: list[tuple[float, int]] = field(default_factory=list)  # a heap: when the engine gets it, and its number
    sequences: list[scheduling.Sequence] = field(default_factory=list)
    sent_s: list[float] = field(default_factory=list)
    sent_by: list[int] = field(default_factory=list)
    tokens: list[list[FloatArray]] = field(default_factory=list)
    scheduler: Scheduler = field(init=False)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.engine.limits)

    def run(self) -> list[Reply]:
        self._send_first()
        while self.arrivals or self.queue or self.scheduler.running or self.scheduler.waiting:
            self._take_arrivals()
            steps = 0 if self.step_by_step or len(self.queue) != 1 else self.scheduler.unchanged_steps()
            if steps > 1:
                self._decode(steps)
            elif not self._launch_next():
                if self.queue:
                    self._finish_oldest()
                else:
                    self.now_s = max(self.now_s, self.arrivals[0][0] + self.engine.wake_s)
        return [
            Reply(sent_s, np.concatenate(pieces), caller, sequence.preemptions)
            for sent_s, pieces, caller, sequence in zip(
                self.sent_s, self.tokens, self.sent_by, self.sequences, strict=True
            )
        ]

    def _launch_next(self) -> bool:
        """Plan and launch a step if one more may be in flight and there is one; the result is known later."""
        if len(self.queue) >= self.engine.steps_in_flight:
            return False
        plan = self.scheduler.plan()
        if plan is None:
            return False
        cost = self.engine.cost_of(plan.step)
        start_s = max(self.now_s, self.free_s)
        self.now_s += cost.launch_s
        end_s = max(start_s + cost.compute_s, self.now_s)
        self.free_s = end_s - cost.compute_s + cost.interval_s
        self.queue.append(_InFlight(plan, end_s))
        return True

    def _finish_oldest(self) -> None:
        oldest = self.queue.popleft()
        self.now_s = max(self.now_s, oldest.end_s)
        self._deliver(oldest.plan, np.array([self.now_s]))
        for sequence in self.scheduler.finish(oldest.plan):
            if self.callers is not None:
                self._send_next(float(self.tokens[sequence.number][-1][-1]), self.sent_by[sequence.number])

    def _deliver(self, plan: Plan, times_s: FloatArray) -> None:
        """Hand out the tokens of equal steps that ended at those times; a step waits until those before it are handed out.

        Step i begins at max over j ≤ i of (its time j + what the steps from j on take).
        """
        token_s, reply_s = self.engine.front_end.token_s, self.engine.front_end.reply_s
        step_s = len(plan.sampled) * token_s
        taken_s = np.arange(len(times_s)) * step_s
        begun_s = np.maximum(np.maximum.accumulate(times_s - taken_s), self.handed_out_s) + taken_s
        self.handed_out_s = float(begun_s[-1]) + step_s
        for place, sequence in enumerate(plan.sampled):
            self.tokens[sequence.number].append(begun_s + (reply_s + (place + 1) * token_s))

    def _decode(self, steps: int) -> None:
        """Plan steps that all decode the same sequences, and finish all before the last, as `run` does one by one."""
        before = self.queue.popleft()
        launch_s, compute_s = self._costs(self.scheduler.decoding_step(), steps)
        until_s = self.arrivals[0][0] if self.arrivals and self._would_admit() else np.inf
        now_s, end_s = self.now_s, before.end_s
        times_s: list[float] = []
        while len(times_s) < steps and now_s < until_s:
            done = len(times_s)
            start_s = max(now_s, end_s)
            now_s += launch_s[done]
            next_end_s = max(start_s + compute_s[done], now_s)
            now_s = max(now_s, end_s)
            times_s.append(now_s)
            end_s = next_end_s
        self.now_s, self.free_s = now_s, end_s
        plan = self.scheduler.decode(len(times_s))
        self._deliver(before.plan, np.array(times_s[:1]))
        self.scheduler.finish(before.plan)
        if times_s[1:]:
            self._deliver(plan, np.array(times_s[1:]))
            self.scheduler.finish_decoded(plan, len(times_s) - 1)
        self.queue.append(_InFlight(plan, end_s))

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
        while self.arrivals and self.arrivals[0][0] <= self.now_s:
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
        """Send the next request; the front end takes it when it has taken those before it."""
        number, front_end = len(self.sent_s), self.engine.front_end
        request = self.requests[number]
        busy_s = front_end.request_s + request.prompt_tokens * front_end.prompt_token_s
        self.front_free_s = max(self.front_free_s, sent_s) + busy_s
        heapq.heappush(self.arrivals, (self.front_free_s, number))
        self.sequences.append(scheduling.Sequence(number, request.prompt_tokens, request.output_tokens))
        self.sent_s.append(sent_s)
        self.sent_by.append(caller)
        self.tokens.append([])
