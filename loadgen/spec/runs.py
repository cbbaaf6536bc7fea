"""The runs that a sweep comes to: every load point and repeat, in order."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from loadgen.errors import UsageError
from loadgen.load.dataset import Dataset, read_dataset
from loadgen.load.shapes import LoadShape
from loadgen.load.spec import RunSpec, canonical_hash
from loadgen.load.trace import Trace, read_trace
from loadgen.servers.server_url import redacted_url
from loadgen.spec.size import check_fits_the_minute, check_planned
from loadgen.spec.sweep_spec import SweepSpec


@dataclass(frozen=True, slots=True)
class _Load:
    """One load point: its shape, how much of it, and how long its prompts and answers are (of a trace: on average)."""

    shape: LoadShape
    requests: int | None
    duration_s: float | None
    input_tokens: int | None
    output_tokens: int


def resolve(spec: SweepSpec, dataset: Dataset | None = None) -> list[RunSpec]:
    """Every run in the order in which they are to happen: repeats outside, so that a drift of the server meets all points.

    Repeat k of any point has seed `seed + k`, so that all points and all servers see the same arrivals. `dataset` is the one
    that the spec names, where it has been read.
    Raises UsageError for a run without a request, for one that is too large to prepare, and for a trace that cannot be read.
    """
    dataset = dataset or read_dataset_of(spec)
    points = [
        RunSpec(
            url=redacted_url(spec.url),
            model=spec.model,
            shape=load.shape,
            input_tokens=load.input_tokens,
            output_tokens=load.output_tokens,
            endpoint=spec.endpoint,
            requests=load.requests,
            duration_s=load.duration_s,
            warmup_requests=spec.warmup_requests,
            request_timeout_s=spec.request_timeout_s,
            max_reply_bytes=spec.max_reply_bytes,
            workers=spec.workers,
            header_names=tuple(sorted(name.lower() for name in spec.header)),
            api_key_env=spec.api_key_env,
            slo=tuple(sorted(spec.slo.items())),
            tokenizer=spec.tokenizer,
            workload=replace(spec.workload_of(dataset), sessions=spec.sessions),
            requests_per_minute=spec.requests_per_minute,
            tokens_per_minute=spec.tokens_per_minute,
        )
        for load in (_grid(spec) if spec.trace is None else _replays(spec, read_trace(Path(spec.trace))))
    ]
    runs = [replace(point, seed=spec.seed + repeat) for repeat in range(spec.repeats) for point in points]
    for run in runs:
        check_planned(run)
        check_fits_the_minute(run)
    return runs


def read_dataset_of(spec: SweepSpec) -> Dataset | None:
    """The dataset that the spec names. Raises UsageError."""
    return None if spec.dataset is None else read_dataset(Path(spec.dataset), spec.endpoint)


def grid_hash(runs: Iterable[RunSpec]) -> str:
    """The hash by which a sweep is recognised when it is resumed: over every resolved run, in order."""
    return canonical_hash([run.to_json() for run in runs])


def resolved_warmup_requests(run: RunSpec) -> int:
    """How many requests warm a run up: as asked, else one wave of its own concurrency (a second's worth in the open loop)."""
    if run.warmup_requests is not None:
        return run.warmup_requests
    return run.shape.default_warmup_requests


def _grid(spec: SweepSpec) -> list[_Load]:
    return [
        _Load(shape, _requests(spec, shape), spec.duration_s, input_tokens, output_tokens)
        for (input_tokens, output_tokens), shape in product(spec.length_pairs, spec.shapes)
    ]


def _replays(spec: SweepSpec, trace: Trace) -> list[_Load]:
    """The trace at each time scale. A duration is counted out in requests here, since the trace says when each is due."""
    if spec.requests is not None and spec.requests > len(trace):
        raise UsageError(
            f"--requests is {spec.requests:,}, and the trace {trace.source.name} has {len(trace):,}; leave it out"
        )
    loads = []
    for time_scale in spec.time_scale or (1.0,):
        requests = spec.requests or len(trace)
        if spec.duration_s is not None:
            requests = trace.requests_within(time_scale, spec.duration_s)
        prompt_tokens, output_tokens = (
            max(1, round(float(tokens[:requests].mean()))) for tokens in (trace.prompt_tokens, trace.output_tokens)
        )
        shape = replace(trace.replay(time_scale, requests), max_in_flight=spec.max_in_flight)
        loads.append(_Load(shape, requests, None, prompt_tokens, output_tokens))
    return loads


def _requests(spec: SweepSpec, shape: LoadShape) -> int | None:
    """Requests of one point: as asked, else those that its shape has by default."""
    if spec.requests is not None or spec.duration_s is not None:
        return spec.requests
    return shape.default_requests(1 if spec.sessions is None else spec.sessions.turns)
