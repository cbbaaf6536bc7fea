"""The steps of one engine: when each is launched, computed and handed out. No clock, no sockets; times are seconds.

Two processes, as in vLLM. The front end takes requests one after the other, and hands out the tokens of a step one after the
other. The engine plans a step, launches its kernels, which takes the CPU, and while the device computes it plans and launches
the next; then it waits for the older of the two (vllm/v1/engine/core.py, step_with_batch_queue). So a token arrives when its
step has been computed and the step after it has been launched, and what arrives meanwhile waits for the step after that.

Two drivers advance it: `virtual_time`, as fast as it can be computed, and `engine_clock`, with a clock.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from loadgen.moe.step import Step
from loadgen.servers.prediction.scheduler import Plan, Scheduler, SchedulerLimits

FloatArray = NDArray[np.float64]


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
    image_s: float = 0.0  # of each image of a request; the next request waits
    pixel_s: float = 0.0  # on top, for each pixel that is read
    tile_s: float = 0.0  # on top, for each tile that is made
    resized_pixel_s: float = 0.0  # on top, for each pixel of a view that is resized


@dataclass(frozen=True, slots=True)
class EngineModel:
    """One copy of an engine. `steps_in_flight`: planned steps whose result is not known, at most."""

    limits: SchedulerLimits
    cost_of: CostOf
    front_end: FrontEnd = field(default_factory=FrontEnd)
    steps_in_flight: int = 2


@dataclass(slots=True)
class InFlight:
    """A step that is planned and launched; `end_s` is when the device has computed it."""

    plan: Plan
    end_s: float


@dataclass(slots=True)
class EngineSteps:
    """One copy of an engine. `now_s` is its CPU; the device takes the next step from `free_s` on."""

    engine: EngineModel
    scheduler: Scheduler = field(init=False)
    now_s: float = 0.0
    free_s: float = 0.0
    front_free_s: float = 0.0  # from when on the front end takes the next request
    handed_out_s: float = 0.0  # when it has handed out all tokens that it has
    queue: deque[InFlight] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.engine.limits)

    def taken_s(self, sent_s: float, prompt_tokens: int, images_s: float = 0.0) -> float:
        """When the engine gets a request: the front end takes it when it has taken those before it. `images_s` of it are for images."""
        front_end = self.engine.front_end
        busy_s = front_end.request_s + prompt_tokens * front_end.prompt_token_s + images_s
        self.front_free_s = max(self.front_free_s, sent_s) + busy_s
        return self.front_free_s

    def launch_next(self) -> Plan | None:
        """Plan and launch a step if one more may be in flight and there is one; its result is known later."""
        if len(self.queue) >= self.engine.steps_in_flight:
            return None
        plan = self.scheduler.plan()
        if plan is None:
            return None
        cost = self.engine.cost_of(plan.step)
        start_s = max(self.now_s, self.free_s)
        self.now_s += cost.launch_s
        end_s = max(start_s + cost.compute_s, self.now_s)
        self.free_s = end_s - cost.compute_s + cost.interval_s
        self.queue.append(InFlight(plan, end_s))
        return plan

    def await_oldest(self) -> Plan:
        """Wait until the oldest step in flight is computed. Its tokens are the caller's to hand out and to finish."""
        oldest = self.queue.popleft()
        self.now_s = max(self.now_s, oldest.end_s)
        return oldest.plan

    def hand_out(self, sampled: int, times_s: Sequence[float]) -> FloatArray:
        """Return when each token of equal steps arrives at the client: a row for each sequence, a column for each step.

        `times_s` is when the steps ended. A step waits until those before it are handed out: step i begins at max over
        j ≤ i of (its time j + what the steps from j on take).
        """
        token_s, reply_s = self.engine.front_end.token_s, self.engine.front_end.reply_s
        step_s = sampled * token_s
        taken_s = np.arange(len(times_s)) * step_s
        begun_s = np.maximum(np.maximum.accumulate(np.asarray(times_s) - taken_s), self.handed_out_s) + taken_s
        self.handed_out_s = float(begun_s[-1]) + step_s
        places_s = reply_s + (np.arange(sampled) + 1) * token_s
        arrived_s: FloatArray = begun_s[None, :] + places_s[:, None]
        return arrived_s
