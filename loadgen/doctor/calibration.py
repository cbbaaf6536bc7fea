"""The engine against the simulator, whose truth is known: the client's own error at some numbers of streams.

The simulator stamps each token as it hands it to the kernel, so its own lateness
is in the truth as well as in what is seen, and is not counted against the client.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from loadgen.analysis.client_error import Sighting, broken_promises, client_error, sightings
from loadgen.analysis.document.doctor import DoctorLevelDocument
from loadgen.analysis.stats import distribution, samples_needed
from loadgen.engine.measurement import Task
from loadgen.engine.records.record import Recording
from loadgen.engine.wire.target import Target
from loadgen.engine.workers import Workers
from loadgen.load.body import RequestForm
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.simulator.truth import TruthDocument

_MODEL, _INPUT_TOKENS = "calibration", 32
_FEW_STREAMS = 16  # below this, short answers: a thousand requests of a second each would take minutes
_MIN_S = 11.0  # the loop's lag is looked at a hundred times a second, and its p99 needs a thousand looks
_EVENTS_PER_S = 40_000  # what the simulator sends in time on half of a shared machine; it is the client that is tested
_REQUESTS_FOR_P99 = samples_needed(99)


def calibrate(streams: Sequence[int], on_level: Callable[[int], None]) -> list[DoctorLevelDocument]:
    """Measure the client at each number of `streams`; `on_level` is told before each begins.

    Raises EngineError or ServerError when the worker or the simulator fails, HostLimitError when the host has too few files.
    """
    levels = []
    with Workers() as workers:
        for number in streams:
            on_level(number)
            levels.append(_level(workers, number))
    return levels


def _work(streams: int) -> tuple[int, int, SimulatorOptions]:
    """Return requests, output tokens of each and the simulator's pace: requests enough for a p99 of their TTFT and for `_MIN_S`."""
    if streams < _FEW_STREAMS:
        output_tokens, ttft_s, gap_s = 2, 0.005, 0.005
    else:
        output_tokens, ttft_s, gap_s = 32, 0.05, max(0.01, streams / _EVENTS_PER_S)
    answer_s = ttft_s + (output_tokens - 1) * gap_s
    waves = math.ceil(max(_REQUESTS_FOR_P99 / streams, _MIN_S / answer_s))
    return streams * waves, output_tokens, SimulatorOptions(model=_MODEL, ttft_s=ttft_s, gap_s=gap_s)


def _level(workers: Workers, streams: int) -> DoctorLevelDocument:
    requests, output_tokens, options = _work(streams)
    form = RequestForm("vllm", ("token_ids",))
    with SimulatorProcess(options) as simulator:
        target = Target("http", simulator.options.host, simulator.port, "/v1/completions")
        asked = RunSpec(simulator.url, _MODEL, ClosedLoop(streams), _INPUT_TOKENS, output_tokens)
        warmup = build(asked, streams, prompt_seed=f"doctor/{streams}/warmup", form=form)
        workers.run(Task(target, warmup, asked.shape))
        simulator.reset_truth()
        schedule = build(asked, requests, prompt_seed=f"doctor/{streams}", form=form)
        recording = workers.run(Task(target, schedule, asked.shape))
        truth = simulator.truth()
    return level_of(streams, recording, truth)


def level_of(streams: int, recording: Recording, truth: TruthDocument) -> DoctorLevelDocument:
    """The level from what the client recorded and the simulator's document of GET /truth."""
    records, client = recording.records, recording.client
    seen = sightings(records)
    error = client_error(seen, true_sightings(truth))
    arrivals, failed = len(records.arrival_ns), len(records) - len(seen)
    failures = [f"{failed:,} of {len(records):,} requests failed"] if failed else []
    return {
        "requests": len(records),
        "ttft_error_p50_s": error.ttft_error_p50_s,
        "ttft_error_p99_s": error.ttft_error_p99_s,
        "gap_p99_error_s": error.gap_p99_error_s,
        "joined_ratio": error.joined_ratio,
        "streams": streams,
        "ok": len(seen),
        "events": arrivals,
        "events_per_s": arrivals / client.wall_s,
        "stamp_source": client.stamp_source,
        "priority": client.priority,
        "coalesced_ratio": int(np.count_nonzero(records.arrival_coalesced)) / arrivals if arrivals else None,
        "cpu_ratio": (client.cpu_s or 0.0) / client.wall_s,
        "loop_lag_p99_s": distribution(client.loop_lag_ns / 1e9)["p99"],
        "clock_step_s": client.clock_step_ns / 1e9,
        "broken": [*failures, *broken_promises(error)],
    }


def true_sightings(truth: TruthDocument) -> dict[int, Sighting]:
    """What the simulator saw, by the number that the driver put at the end of each request's id."""
    return {
        int((request["request_id"] or "").rpartition("-")[2]): Sighting(
            request["arrival_ns"], np.array(request["sent_ns"], np.int64)
        )
        for request in truth["requests"]
    }
