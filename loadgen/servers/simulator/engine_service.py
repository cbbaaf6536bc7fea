"""A service whose token times are those of an engine on named accelerators, as `loadgen study predict` computes them.

Each request is a sequence of the engine's scheduler. The times of its tokens become known step by step, some in advance.
"""

import asyncio
import time
from dataclasses import dataclass, field

from loadgen.errors import ModelError, UsageError
from loadgen.moe.architecture import Architecture
from loadgen.moe.hardware import hardware
from loadgen.moe.models import model, model_names
from loadgen.servers.prediction.engine_clock import EngineClock
from loadgen.servers.prediction.engine_of import Deployment, NoMemoryError, UnpredictableError, deployment_of
from loadgen.servers.prediction.scheduler import Sequence
from loadgen.servers.profiles.schema import Argument
from loadgen.servers.profiles.subject import known_ids
from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.script import AT_ONCE
from loadgen.servers.simulator.service import Response, Service

_QUANTIZATION = {"fp8": "fp8", "int4": "awq"}


def deployment_for(options: SimulatorOptions) -> Deployment:
    """The engine that the options ask for. UsageError: an unknown model or accelerator, or one that the model does not fit."""
    assert options.hardware is not None
    arguments: dict[str, Argument] = {
        "tensor-parallel-size": options.tp,
        "max-model-len": options.max_model_len,
        "dtype": "bfloat16",
    }
    if options.max_running is not None:
        arguments["max-num-seqs"] = options.max_running
    if options.precision in _QUANTIZATION:
        arguments["quantization"] = _QUANTIZATION[options.precision]
    on = hardware(options.hardware)
    try:
        return deployment_of(_architecture(options.model), arguments, on)
    except (ModelError, UnpredictableError, NoMemoryError) as error:
        raise UsageError(f"{options.model} cannot be simulated: {error}") from error


def _architecture(name: str) -> Architecture:
    known = name if name in model_names() else known_ids().get(name)
    if known is None:
        raise UsageError(
            f"the model '{name}' is not known; with --hardware, --model is one of {', '.join(model_names())}"
        )
    return model(known).architecture


@dataclass(slots=True)
class _Schedule:
    """The due times of one request, as far as they are known. `is_awaited`: its next write waits for one that is not."""

    sequences: tuple[Sequence, ...]  # one for each choice
    arrival_ns: int
    token_ns: list[int] = field(default_factory=list)
    is_awaited: bool = False
    _made: dict[int, int] = field(default_factory=dict)  # tokens of each sequence, by its number

    def add(self, sequence: Sequence, at_ns: int) -> None:
        """Note a sequence's next token. A token is due when every choice has it."""
        token = self._made[sequence.number] = self._made.get(sequence.number, -1) + 1
        if token == len(self.token_ns):
            self.token_ns.append(at_ns)
        self.token_ns[token] = max(self.token_ns[token], at_ns)

    def due_ns(self, token: int) -> int | None:
        if token == AT_ONCE:
            return self.arrival_ns
        is_known = len(self._made) == len(self.sequences) and token <= min(self._made.values())
        return self.token_ns[token] if is_known else None


class EngineService(Service):
    """Admits answers to the engine, and sends each token when the engine has it."""

    def __init__(self, options: SimulatorOptions, loop: asyncio.AbstractEventLoop, deployment: Deployment) -> None:
        super().__init__(options, loop)
        self._clock = EngineClock(deployment.engine)
        self._origin_ns = time.monotonic_ns()
        self._responses: dict[int, Response] = {}  # by the numbers of their sequences
        self._schedules: dict[Response, _Schedule] = {}

    @property
    def running(self) -> int:
        return len(self._clock.scheduler.running)

    @property
    def waiting(self) -> int:
        return self._clock.waiting

    @property
    def kv_cache_usage_ratio(self) -> float:
        return self._clock.kv_cache_usage_ratio

    def admit(self, response: Response) -> None:
        record = response.record
        response.ordinal = self._admitted
        self._admitted += 1
        record.start_ns = record.arrival_ns
        at_s, output_tokens = self._seconds(record.arrival_ns), record.output_tokens // response.choices
        sequences = [self._clock.arrive(at_s, record.prompt_tokens, output_tokens) for _ in range(response.choices)]
        schedule = self._schedules[response] = _Schedule(tuple(sequences), record.arrival_ns)
        self._responses |= {sequence.number: response for sequence in sequences}
        self._running.add(response)
        self.counters.prefix_cache_queries_tokens += response.choices * record.prompt_tokens
        self._put(response, schedule)
        self._advance()
        self._set_timer()

    def drop(self, response: Response) -> None:
        self.counters.aborted_requests += response.choices
        self._release(response, time.monotonic_ns())

    def _on_timer(self) -> None:
        self._advance()
        super()._on_timer()

    def _advance(self) -> None:
        """Have the engine make what it can by now."""
        for sequence, at_s in self._clock.advance(self._seconds(time.monotonic_ns())):
            response = self._responses[sequence.number]
            schedule = self._schedules[response]
            schedule.add(sequence, self._origin_ns + round(at_s * 1e9))
            if schedule.is_awaited:
                self._put(response, schedule)

    def _release(self, response: Response, freed_ns: int) -> None:
        self._running.discard(response)
        for sequence in self._schedules.pop(response).sequences:
            del self._responses[sequence.number]
            self.counters.preemptions += sequence.preemptions
            if sequence.made < sequence.output_tokens:
                self._clock.cancel(sequence)

    def _next_ns(self) -> int | None:
        """When the next write is due or the engine plans its next step, whichever comes first."""
        due_ns, next_s = super()._next_ns(), self._clock.next_s
        if next_s is None:
            return due_ns
        step_ns = self._origin_ns + round(next_s * 1e9)
        return step_ns if due_ns is None else min(due_ns, step_ns)

    def _seconds(self, at_ns: int) -> float:
        return (at_ns - self._origin_ns) / 1e9
