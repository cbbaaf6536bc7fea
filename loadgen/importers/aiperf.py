"""Exports of AIPerf (0.1 to 0.13), `profile_export_aiperf.json`, and of its predecessor genai-perf (0.0.16): one run.

It counts from the start of a request to its content chunks; tokens are counted by its own tokenizer unless told otherwise.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from loadgen.importers import foreign
from loadgen.importers.lenient import Json, LenientPart, Number, object_of, read_leniently
from loadgen.load.shapes import LoadShape, OpenLoop, Wave

TOOL, PREDECESSOR = "AIPerf", "genai-perf"

_KNOWN_BY = ("request_latency", "request_throughput", "time_to_first_token")
_AT_A_RATE = ("constant", "poisson", "gamma")
_OF_0_1 = {"ttft": "time_to_first_token"}  # keys that 0.1 has under another name


class Metric(LenientPart):
    unit: str | None = None
    avg: Number | None = None
    min: Number | None = None
    max: Number | None = None
    p50: Number | None = None
    p90: Number | None = None
    p95: Number | None = None
    p99: Number | None = None
    count: int | None = None

    @property
    def in_s(self) -> dict[str, float | None]:
        """The statistics in seconds, by our names."""
        factor = {"ms": 1e-3, "sec": 1.0, "s": 1.0, "us": 1e-6, "ns": 1e-9}.get(self.unit or "")
        names = (
            ("mean", self.avg),
            *((name, getattr(self, name)) for name in ("min", "p50", "p90", "p95", "p99", "max")),
        )
        return {name: None if value is None or factor is None else value * factor for name, value in names}


class LoadPhase(LenientPart):
    kind: str = "profiling"
    type: str
    requests: int | None = None
    concurrency: int | None = None
    rate: Number | None = None
    smoothness: Number | None = None


class Named(LenientPart):
    name: str


class Models(LenientPart):
    items: list[Named] = Field(min_length=1)


class EndpointConfig(LenientPart):
    urls: list[str] = Field(min_length=1)
    type: str
    streaming: bool = False
    use_server_token_count: bool = False
    per_chunk_usage: bool = False


class Config(LenientPart):
    models: Models
    endpoint: EndpointConfig
    phases: list[LoadPhase] = Field(min_length=1)
    datasets: list[Json] = Field(default_factory=list)


class Export(LenientPart):
    aiperf_version: str | None = None
    start_time: datetime | None = Field(default=None, strict=False)
    end_time: datetime | None = Field(default=None, strict=False)
    was_cancelled: bool | None = None
    input_config: Config
    request_count: Metric | None = None
    error_request_count: Metric | None = None
    benchmark_duration: Metric | None = None
    request_throughput: Metric | None = None
    output_token_throughput: Metric | None = None
    total_token_throughput: Metric | None = None
    effective_concurrency: Metric | None = None
    time_to_first_token: Metric | None = None
    inter_token_latency: Metric | None = None
    inter_chunk_latency: Metric | None = None
    request_latency: Metric | None = None
    total_isl: Metric | None = None
    total_osl: Metric | None = None
    input_sequence_length: Metric | None = None
    output_sequence_length: Metric | None = None

    @property
    def elapsed_s(self) -> float:
        """How long it measured; where it does not say, from its start to its end."""
        if (told := _avg(self.benchmark_duration)) is not None:
            return told
        if self.start_time is None or self.end_time is None:
            return 0.0
        return max(0.0, (self.end_time - self.start_time).total_seconds())


def is_one(document: Any) -> bool:
    if not isinstance(document, dict) or "input_config" not in document:
        return False
    return "aiperf_version" in document or any(isinstance(_records(document).get(key), dict) for key in _KNOWN_BY)


def read(document: Any, written_at: datetime) -> tuple[str | None, list[foreign.ForeignRun]]:
    """Its version and the run. Raises pydantic's ValidationError."""
    document = _upgraded(document)
    export, notes = read_leniently(Export, document)
    config = export.input_config
    profiled = [phase for phase in config.phases if phase.kind == "profiling"]
    ok = max(0, int(_avg(export.request_count) or 0))
    planned = ok + max(0, int(_avg(export.error_request_count) or 0))
    shape = _shape(profiled, planned)
    prompts = _total(export.total_isl, export.input_sequence_length, ok)
    answers = _total(export.total_osl, export.output_sequence_length, ok)
    asked = [_asked(config.datasets, name) for name in ("isl", "osl")]
    began_at = export.start_time or written_at
    began_at = began_at if began_at.tzinfo else began_at.replace(tzinfo=UTC)
    run = foreign.ForeignRun(
        started_at=began_at.replace(microsecond=0),
        model=config.models.items[0].name,
        url=config.endpoint.urls[0],
        shape=shape,
        endpoint="chat" if config.endpoint.type == "chat" else "completions",
        planned=planned,
        ok=ok,
        elapsed_s=export.elapsed_s,
        input_tokens=asked[0] if asked[0] is not None else _mean(prompts, ok),
        output_tokens=asked[1] if asked[1] is not None else _mean(answers, ok) or 0,
        figures=_figures(export, shape, ok) | {"total_tokens_per_s": _total_rate(export, prompts, answers)}
        if ok
        else {},
        prompt_total=prompts,
        output_total=answers,
        counted_by="usage" if config.endpoint.use_server_token_count else "tokenizer",
        in_flight_mean=_avg(export.effective_concurrency),
        words={
            key: foreign.scalars(value)
            for key, value in document.items()
            if isinstance(value, dict) and "unit" in value and "avg" in value
        },
        notes=tuple(notes),
    )
    return export.aiperf_version, [run]


def is_genai_perf(document: Any) -> bool:
    """Whether a document looks like an export of genai-perf: its configuration has a part for perf_analyzer."""
    config = document.get("input_config") if isinstance(document, dict) else None
    return isinstance(config, dict) and isinstance(config.get("perf_analyzer"), dict)


def read_genai_perf(document: Any, written_at: datetime) -> tuple[str | None, list[foreign.ForeignRun]]:
    """Its version, which the file does not tell, and the run. Raises pydantic's ValidationError.

    Its figures are named and defined as AIPerf's, so that the file is read as one of those. It tells neither when it ran nor for how
    long, and leaves failed requests out without counting them.
    """
    config = object_of(document.get("input_config"))
    given = object_of(config.get("input"))
    load = object_of(object_of(config.get("perf_analyzer")).get("stimulus"))
    made: Json = {
        "endpoint": {"type": "chat", **object_of(config.get("endpoint")), "model_names": config.get("model_names")},
        "loadgen": {
            **{key: load[key] for key in ("concurrency", "request_rate") if key in load},
            "arrival_pattern": "constant" if "request_rate" in load else None,  # perf_analyzer's default
        },
        "input": {
            "prompt": {"input_tokens": given.get("synthetic_tokens"), "output_tokens": given.get("output_tokens")},
        },
    }
    _, (run,) = read(document | {"input_config": made}, written_at)
    rate_per_s = run.figures.get("requests_per_s")
    notes = (*run.notes, "its failed requests are not in the file")
    elapsed_s = run.ok / rate_per_s if isinstance(rate_per_s, int | float) and rate_per_s else 0.0
    return None, [replace(run, elapsed_s=elapsed_s, notes=notes)]


def _records(document: Json) -> Json:
    """The metrics, which the first versions keep under `records`."""
    records = document.get("records")
    if not isinstance(records, dict):
        return document
    renamed: Json = {_OF_0_1.get(str(key), str(key)): value for key, value in records.items()}
    return document | renamed


def _upgraded(document: Json) -> Json:
    """An export of an earlier version in the form of 0.13: its `loadgen` and `input` sections as phases and datasets.

    Only what was given on its command line stands there; a rate without a pattern is Poisson, its default.
    """
    config = object_of(document.get("input_config"))
    endpoint = config.get("endpoint")
    names = endpoint.get("model_names") or config.get("model_names") if isinstance(endpoint, dict) else None
    if not names or "models" in config or not isinstance(endpoint, dict):
        return _records(document)
    load, given = (each if isinstance(each := config.get(key), dict) else {} for key in ("loadgen", "input"))
    prompt = each if isinstance(each := given.get("prompt"), dict) else {}
    lengths = {"isl": prompt.get("input_tokens"), "osl": prompt.get("output_tokens")}
    pattern = load.get("arrival_pattern") or load.get("request_rate_mode")  # 0.5 renamed it
    own_names = {
        "requests": "request_count",
        "concurrency": "concurrency",
        "rate": "request_rate",
        "smoothness": "arrival_smoothness",
    }
    given_phase = {name: load[key] for name, key in own_names.items() if key in load}
    at_a_rate = load.get("request_rate") is not None or ("request_rate" in load and load.get("concurrency") is None)
    phase = given_phase | {"type": pattern or ("poisson" if at_a_rate else "concurrency")}
    made = {
        "models": {"items": [{"name": name} for name in ([names] if isinstance(names, str) else names)]},
        "endpoint": {
            **endpoint,
            "urls": endpoint.get("urls") or [endpoint.get("url") or "not told"],
            "type": endpoint.get("type") or "chat",
        },
        "phases": [phase],
        "datasets": [{"prompts": lengths}],
    }
    return _records(document) | {"input_config": made}


def _figures(export: Export, shape: LoadShape, ok: int) -> foreign.ForeignFigures:
    ttft, e2e, gap = (
        None if figure is None else foreign.of_figures(figure.count, figure.in_s, samples=ok)
        for figure in (export.time_to_first_token, export.request_latency, export.inter_chunk_latency)
    )
    itl = export.inter_token_latency
    by_chunk = export.input_config.endpoint.per_chunk_usage  # then it leaves out all tokens of the first chunk, not one
    if not export.input_config.endpoint.streaming:
        e2e = None  # the whole answer at once: of its content's arrival nothing is known
    return {
        "output_tokens_per_s": _avg(export.output_token_throughput),
        "requests_per_s": _avg(export.request_throughput),
        "ttft_s": foreign.since_intended(shape, ttft),
        "ttft_from_send_s": ttft,
        "chunk_gap_s": gap,
        "tpot_s": None if itl is None or by_chunk else foreign.of_figures(itl.count, itl.in_s, samples=ok),
        "e2e_latency_s": foreign.since_intended(shape, e2e),
    }


def _shape(phases: list[LoadPhase], requests: int) -> LoadShape:
    """The load of the last phase. UsageError where it names a kind of load and its number cannot be read."""
    phase = phases[-1] if phases else None
    if phase is None:
        return Wave(max(1, requests))
    if phase.type in _AT_A_RATE and not phase.rate:
        raise foreign.unreadable_load(TOOL, phase.type, "rate")
    if phase.rate:
        if phase.type == "gamma" and phase.smoothness:
            return OpenLoop(float(phase.rate), "gamma", burstiness=float(phase.smoothness))
        return OpenLoop(float(phase.rate), "constant" if phase.type == "constant" else "poisson")
    if phase.concurrency:
        return foreign.closed_loop(phase.concurrency)
    if phase.type.startswith("concurrency"):
        if "concurrency" in phase.model_fields_set:
            raise foreign.unreadable_load(TOOL, phase.type, "concurrency")
        return foreign.closed_loop(1)  # its default
    return Wave(max(1, requests))


def _asked(datasets: list[Json], name: str) -> int | None:
    """Tokens asked of prompts (`isl`) or answers (`osl`), where they were made to measure."""
    prompts = datasets[0].get("prompts") if len(datasets) == 1 else None
    length = prompts.get(name) if isinstance(prompts, dict) else None
    mean = length.get("mean") if isinstance(length, dict) else None
    return round(mean) if isinstance(mean, int | float) and not isinstance(mean, bool) else None


def _total(total: Metric | None, each: Metric | None, requests: int) -> float | None:
    """Tokens of all requests together; from the mean of one where the sum is not told, as in 0.1."""
    if (told := _avg(total)) is not None or (mean := _avg(each)) is None:
        return told
    return round(mean * requests)


def _total_rate(export: Export, prompts: float | None, answers: float | None) -> float | None:
    """Tokens in and out per second, which it tells from 0.4 on; before, over the time that its output rate is over."""
    told, output = _avg(export.total_token_throughput), _avg(export.output_token_throughput)
    if told is not None or output is None or prompts is None or not answers:
        return told
    return output * (prompts + answers) / answers


def _avg(figure: Metric | None) -> float | None:
    return None if figure is None else figure.avg


def _mean(total: float | None, requests: int) -> int | None:
    return None if total is None or not requests else round(total / requests)
