"""Reports of GuideLLM (0.2 to 0.8) as JSON: one run for each benchmark.

Latencies are made of its requests' own stamps, by our definitions; its sums are taken where it kept a sample of them alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from loadgen.importers import foreign
from loadgen.importers.lenient import Json, LenientPart, Number, object_of, read_leniently
from loadgen.importers.older_guidellm import is_older, upgraded
from loadgen.load.shapes import LoadShape, OpenLoop, Wave

TOOL = "GuideLLM"
_OPEN = ("constant", "poisson", "async")  # loads at a rate


class Stamps(LenientPart):
    """Moments of one request, in seconds of the wall clock."""

    targeted_start: Number | None = None
    request_start: Number | None = None
    first_token_iteration: Number | None = None
    last_token_iteration: Number | None = None
    token_iterations: int | None = None


class Info(LenientPart):
    timings: Stamps


class Request(LenientPart):
    info: Info
    output_tokens: int | None = None


class Requests(LenientPart):
    successful: list[Request] | None = None


class RequestCounts(LenientPart):
    successful: int = Field(ge=0)
    total: int = Field(ge=0)


class Statistics(LenientPart):
    mean: Number | None = None
    median: Number | None = None
    min: Number | None = None
    max: Number | None = None
    count: int | None = None
    total_sum: Number | None = None
    percentiles: dict[str, Number | None] | None = None


class OfOk(LenientPart):
    successful: Statistics = Statistics()


class Metrics(LenientPart):
    request_totals: RequestCounts
    requests_per_second: OfOk = OfOk()
    output_tokens_per_second: OfOk = OfOk()
    tokens_per_second: OfOk = OfOk()
    request_concurrency: OfOk = OfOk()
    time_to_first_token_ms: OfOk = OfOk()
    prompt_token_count: OfOk = OfOk()
    output_token_count: OfOk = OfOk()


class Strategy(LenientPart):
    type_: str = "unknown"
    streams: int | None = None
    rate: Number | None = None
    initial_burst: bool = False


class Backend(LenientPart):
    target: str | None = None
    model: str | None = None
    request_format: str | None = None


class Edge(LenientPart):
    """How much is left out at the beginning or the end."""

    percent: Number | None = None
    value: Number | None = None


class BenchmarkConfig(LenientPart):
    strategy: Strategy
    backend: Backend
    sample_size: int | None = None
    warmup: Edge | None = None
    cooldown: Edge | None = None


class Benchmark(LenientPart):
    config: BenchmarkConfig
    metrics: Metrics
    requests: Requests
    start_time: Number
    duration: Number | None = None


class Metadata(LenientPart):
    guidellm_version: str | None = None
    python_version: str | None = None
    platform: str | None = None


class Report(LenientPart):
    metadata: Metadata
    config: Json
    benchmarks: list[Benchmark] = Field(min_length=1)


def is_one(document: Any) -> bool:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return (isinstance(metadata, dict) and "guidellm_version" in metadata) or is_older(document)


def read(document: Any, written_at: datetime) -> tuple[str | None, list[foreign.ForeignRun]]:
    """Its version and the runs. Raises pydantic's ValidationError."""
    document = upgraded(document)
    report, notes = read_leniently(Report, document)
    lengths = _lengths(report.config)
    told_of_host = {"python": report.metadata.python_version, "platform": report.metadata.platform}
    environment = {key: value for key, value in told_of_host.items() if value is not None}
    told = zip(report.benchmarks, document.get("benchmarks", ()), strict=True)
    return report.metadata.guidellm_version, [
        replace(_run(one, raw, lengths, environment), notes=(*notes, *_notes(one))) for one, raw in told
    ]


def _run(
    one: Benchmark, raw: Json, asked: tuple[int | None, int | None], environment: Mapping[str, str]
) -> foreign.ForeignRun:
    metrics, config = one.metrics, one.config
    ok, total = metrics.request_totals.successful, metrics.request_totals.total
    shape = _shape(config.strategy, total)
    prompts, answers = metrics.prompt_token_count.successful, metrics.output_token_count.successful
    cut = any(edge and (edge.percent or edge.value) for edge in (config.warmup, config.cooldown))
    return foreign.ForeignRun(
        started_at=datetime.fromtimestamp(one.start_time, UTC).replace(microsecond=0),
        model=config.backend.model or "",
        url=config.backend.target,
        shape=shape,
        endpoint="chat" if "chat" in (config.backend.request_format or "") else "completions",
        planned=total,
        ok=ok,
        elapsed_s=one.duration or 0.0,
        input_tokens=asked[0] if asked[0] is not None else _rounded(prompts.mean),
        output_tokens=asked[1] if asked[1] is not None else _rounded(answers.mean) or 0,
        figures=_figures(one, shape) if ok else {},
        prompt_total=_rounded(prompts.total_sum),
        output_total=_rounded(answers.total_sum),
        window_rule="without_warmup_and_cooldown" if cut else "whole_run",
        in_flight_mean=metrics.request_concurrency.successful.mean,
        environment=environment,
        words={
            "strategy": foreign.scalars(object_of(object_of(raw.get("config")).get("strategy"))),
            **{
                key: {name: of_ok.get(name) for name in ("mean", "median", "min", "max", "count")}
                for key, value in object_of(raw.get("metrics")).items()
                if "mean" in (of_ok := object_of(object_of(value).get("successful")))
            },
        },
    )


def _notes(one: Benchmark) -> list[str]:
    """What its load was that no load of ours is."""
    strategy = one.config.strategy
    if strategy.initial_burst and strategy.rate is not None:
        return ["its first requests, as many as the rate has in a second, were sent at once (initial_burst)"]
    if strategy.type_ not in (*_OPEN, "synchronous", "concurrent", "throughput"):
        return [f"its load '{strategy.type_}' is not known here and is shown as one wave"]
    return []


def _figures(one: Benchmark, shape: LoadShape) -> foreign.ForeignFigures:
    metrics = one.metrics
    rates: foreign.ForeignFigures = {
        "output_tokens_per_s": metrics.output_tokens_per_second.successful.mean,
        "total_tokens_per_s": metrics.tokens_per_second.successful.mean,
        "requests_per_s": metrics.requests_per_second.successful.mean,
    }
    kept = one.requests.successful or []
    rows = [
        (start, first, last, request.info.timings, request.output_tokens)
        for request in kept
        if (start := request.info.timings.request_start) is not None
        and (first := request.info.timings.first_token_iteration) is not None
        and (last := request.info.timings.last_token_iteration) is not None
    ]
    if one.config.sample_size is not None or len(rows) != metrics.request_totals.successful:
        told = metrics.time_to_first_token_ms.successful
        ttft = foreign.of_figures(told.count, _seconds(told))
        return {**rates, "ttft_s": foreign.since_intended(shape, ttft), "ttft_from_send_s": ttft}
    from_due = shape.latency_start == "due"
    due = [stamps.targeted_start if from_due else start for start, _, _, stamps, _ in rows]
    found: foreign.ForeignFigures = {
        **rates,
        "ttft_from_send_s": foreign.of_values([first - start for start, first, *_ in rows]),
        "tpot_s": foreign.of_values(
            [
                (last - first) / (tokens - 1)
                for _, first, last, stamps, tokens in rows
                if (tokens or 0) >= 2 and (stamps.token_iterations or 0) >= 2
                for tokens in (tokens or 0,)
            ]
        ),
    }
    if all(moment is not None for moment in due):
        begun = [moment for moment in due if moment is not None]
        found["ttft_s"] = foreign.of_values(
            [first - moment for moment, (_, first, *_) in zip(begun, rows, strict=True)]
        )
        found["e2e_latency_s"] = foreign.of_values(
            [last - moment for moment, (_, _, last, *_) in zip(begun, rows, strict=True)]
        )
    return found


def _seconds(told: Statistics) -> dict[str, float | None]:
    percentiles = told.percentiles or {}
    figures = {"mean": told.mean, "min": told.min, "p50": told.median, "max": told.max}
    figures |= {name: percentiles.get(name) for name in ("p90", "p95", "p99")}
    return {name: None if value is None else value / 1e3 for name, value in figures.items()}


def _shape(strategy: Strategy, requests: int) -> LoadShape:
    """The load; what is neither callers nor a rate is shown as all requests at once. UsageError where its number is missing."""
    if strategy.type_ in _OPEN:
        if not strategy.rate:
            raise foreign.unreadable_load(TOOL, strategy.type_, "rate")
        return OpenLoop(float(strategy.rate), "poisson" if strategy.type_ == "poisson" else "constant")
    if strategy.type_ == "synchronous":
        return foreign.closed_loop(1)
    if strategy.type_ == "concurrent":
        if not strategy.streams:
            raise foreign.unreadable_load(TOOL, strategy.type_, "number of streams")
        return foreign.closed_loop(strategy.streams)
    return Wave(max(1, requests))


def _lengths(config: Json) -> tuple[int | None, int | None]:
    """Tokens asked of prompts and answers, where they were made to measure."""
    spec = config.get("spec")
    data = spec.get("data") if isinstance(spec, dict) else None
    first = data[0] if isinstance(data, list) and len(data) == 1 else None
    if not isinstance(first, dict):
        return None, None
    asked = first.get("prompt_tokens"), first.get("output_tokens")
    whole = [value if isinstance(value, int) and not isinstance(value, bool) else None for value in asked]
    return whole[0], whole[1]


def _rounded(mean: float | None) -> int | None:
    return None if mean is None else round(mean)
