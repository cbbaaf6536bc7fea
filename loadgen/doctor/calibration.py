"""The engine against the simulator, whose truth is known: the client's own error at some numbers of streams.

The simulator stamps each token as it hands it to the kernel, so its own lateness
is in the truth as well as in what is seen, and is not counted against the client.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from loadgen.analysis.client_error import ClientError, Sighting, broken_promises, client_error, sightings
from loadgen.analysis.document.doctor import DoctorLevelDocument
from loadgen.analysis.stats import distribution, samples_needed
from loadgen.engine.measurement import Task
from loadgen.engine.records.record import Priority, Recording, StampSource
from loadgen.engine.wire.target import Target
from loadgen.engine.workers import Workers
from loadgen.load.body import RequestForm
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.simulator.truth import TruthDocument

DEFAULT_STREAMS = (1, 64, 256, 1000)

_MODEL, _INPUT_TOKENS = "calibration", 32
_FEW_STREAMS = 16  # below this, short answers: a thousand requests of a second each would take minutes
_MIN_S = 11.0  # the loop's lag is looked at a hundred times a second, and its p99 needs a thousand looks
_EVENTS_PER_S = 40_000  # what the simulator sends in time on half of a shared machine; it is the client that is tested
_REQUESTS_FOR_P99 = samples_needed(99)


@dataclass(frozen=True, slots=True)
class Level:
    """One number of streams: what it asked, what the client's error was, and what the client cost."""

    streams: int
    requests: int
    ok: int
    events: int
    events_per_s: float
    stamp_source: StampSource
    priority: Priority
    error: ClientError
    coalesced_ratio: float | None
    cpu_ratio: float
    loop_lag_p99_s: float | None
    clock_step_s: float
    broken: tuple[str, ...]  # what is worse than promised, in words

    def to_json(self) -> DoctorLevelDocument:
        """One entry of `levels` in the doctor's document; the fields of `error` stand among the others."""
        return {
            "requests": self.requests,
            "ttft_error_p50_s": self.error.ttft_error_p50_s,
            "ttft_error_p99_s": self.error.ttft_error_p99_s,
            "gap_p99_error_s": self.error.gap_p99_error_s,
            "joined_ratio": self.error.joined_ratio,
            "streams": self.streams,
            "ok": self.ok,
            "events": self.events,
            "events_per_s": self.events_per_s,
            "stamp_source": self.stamp_source,
            "priority": self.priority,
            "coalesced_ratio": self.coalesced_ratio,
            "cpu_ratio": self.cpu_ratio,
            "loop_lag_p99_s": self.loop_lag_p99_s,
            "clock_step_s": self.clock_step_s,
            "broken": list(self.broken),
        }


@dataclass(frozen=True, slots=True)
class _Work:
    """What is asked of the simulator at one number of streams."""

    requests: int
    output_tokens: int
    ttft_s: float
    gap_s: float


def calibrate(streams: Sequence[int], on_level: Callable[[int], None] = lambda streams: None) -> list[Level]:
    """Measure the client at each number of `streams`; `on_level` is told before each begins.

    Raises EngineError or ServerError when the worker or the simulator fails, HostLimitError when the host has too few files.
    """
    levels = []
    with Workers() as workers:
        for number in streams:
            on_level(number)
            levels.append(_level(workers, number))
    return levels


def _work(streams: int) -> _Work:
    """Requests enough for a p99 of their TTFT, for at least `_MIN_S`, at a pace that the simulator can keep."""
    if streams < _FEW_STREAMS:
        output_tokens, ttft_s, gap_s = 2, 0.005, 0.005
    else:
        output_tokens, ttft_s, gap_s = 32, 0.05, max(0.01, streams / _EVENTS_PER_S)
    answer_s = ttft_s + (output_tokens - 1) * gap_s
    waves = math.ceil(max(_REQUESTS_FOR_P99 / streams, _MIN_S / answer_s))
    return _Work(streams * waves, output_tokens, ttft_s, gap_s)


def _level(workers: Workers, streams: int) -> Level:
    work = _work(streams)
    with SimulatorProcess(SimulatorOptions(model=_MODEL, ttft_s=work.ttft_s, gap_s=work.gap_s)) as simulator:
        target = Target("http", simulator.options.host, simulator.port, "/v1/completions")
        asked = RunSpec(simulator.url, _MODEL, ClosedLoop(streams), _INPUT_TOKENS, work.output_tokens)
        warmup = build(asked, streams, prompt_seed=f"doctor/{streams}/warmup", form=RequestForm("vllm", ("token_ids",)))
        workers.run(Task(target, warmup, asked.shape))
        simulator.reset_truth()
        schedule = build(
            asked, work.requests, prompt_seed=f"doctor/{streams}", form=RequestForm("vllm", ("token_ids",))
        )
        recording = workers.run(Task(target, schedule, asked.shape))
        truth = simulator.truth()
    return level_of(streams, recording, truth)


def level_of(streams: int, recording: Recording, truth: TruthDocument) -> Level:
    """The level from what the client recorded and the simulator's document of GET /truth."""
    records, client = recording.records, recording.client
    seen = sightings(records)
    error = client_error(seen, true_sightings(truth))
    arrivals = len(records.arrival_ns)
    return Level(
        streams=streams,
        requests=len(records),
        ok=len(seen),
        events=arrivals,
        events_per_s=arrivals / client.wall_s,
        stamp_source=client.stamp_source,
        priority=client.priority,
        error=error,
        coalesced_ratio=int(np.count_nonzero(records.arrival_coalesced)) / arrivals if arrivals else None,
        cpu_ratio=(client.cpu_s or 0.0) / client.wall_s,
        loop_lag_p99_s=distribution(client.loop_lag_ns / 1e9)["p99"],
        clock_step_s=client.clock_step_ns / 1e9,
        broken=(*_failures(len(records) - len(seen), len(records)), *broken_promises(error)),
    )


def _failures(failed: int, requests: int) -> list[str]:
    return [f"{failed:,} of {requests:,} requests failed"] if failed else []


def true_sightings(truth: TruthDocument) -> dict[int, Sighting]:
    """What the simulator saw, by the number that the driver put at the end of each request's id."""
    return {
        int((request["request_id"] or "").rpartition("-")[2]): Sighting(
            request["arrival_ns"], np.array(request["sent_ns"], np.int64)
        )
        for request in truth["requests"]
    }
