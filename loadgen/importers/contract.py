"""What must be in a sweep's JSON for tables, pages and comparisons to be made of it: keys, types, and nothing more.

Keys that a later version added are let through untouched; those that an earlier version
did not write yet have a default here.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from loadgen.analysis.figures.metrics import METRICS
from loadgen.importers.surroundings import Account, Cost, Gpu
from loadgen.importers.words import Distribution, Id, Line, Moment, Number, Part, Text
from loadgen.load.spec import RunSpec

SPEC_FIELDS = frozenset(field.name for field in fields(RunSpec))


class Finding(Part):
    """One finding of a verdict."""

    code: Line
    message: Text
    hint: Text | None
    severity: Literal["note", "doubtful", "invalid"] = "doubtful"
    badness: Number = 0.0


class Verdict(Part):
    """The run's verdict."""

    status: Literal["valid", "doubtful", "invalid"]
    findings: list[Finding]


class LaunchOverrides(Part):
    """What the start changed of the server's profile."""

    arguments: dict[str, Any] | None = None


class NamedGpu(Part):
    """A GPU that the server could see."""

    name: Line


class Launch(Part):
    """How the server was started."""

    overrides: LaunchOverrides | None = None
    gpus: list[NamedGpu] | None = None
    startup_s: Number | None = None


class Server(Part):
    """What was measured."""

    profile: Line | None = None
    launch: Launch | None = None

    url: Line | None  # null where another client measured, whose file does not tell
    model: Line
    name: Line | None
    version: Line | None
    simulated: bool | None = None


class Environment(Part):
    """What it was measured on, as far as it is more than shown."""

    host: dict[str, Any] = Field(default_factory=dict)
    git_commit: Line | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_bytes(cls, given: Any) -> Any:
        for key, value in given.items() if isinstance(given, Mapping) else ():
            is_count = isinstance(value, int | float) or value is None
            if key.endswith("_bytes") and not is_count:
                raise ValueError(f"must have a number or null for {key}")
        return given


class Ramp(Part):
    """A rate that changes over the run."""

    to_per_s: Number
    over_s: Number
    strategy: Line


class ClosedLoop(Part):
    """So many callers."""

    kind: Literal["closed_loop"]
    concurrency: int


class Wave(Part):
    """So many requests at once."""

    kind: Literal["wave"]
    size: int


class OpenLoop(Part):
    """So many requests per second."""

    kind: Literal["open_loop"]
    rate_per_s: Number
    arrivals: Line
    ramp: Ramp | None = None
    max_in_flight: int | None = None


class Spec(Part):
    """What was asked of a run."""

    hash: Line
    point_hash: Line
    load_label: Line
    url: Line | None
    model: Line
    endpoint: Line
    shape: Annotated[ClosedLoop | Wave | OpenLoop, Field(discriminator="kind")]
    input_tokens: int | None
    output_tokens: int
    seed: int
    slo: dict[str, Number]

    @model_validator(mode="before")
    @classmethod
    def _is_readable(cls, given: Any) -> Any:
        """Whether our own reader of specs makes something of it, its words included."""
        if isinstance(given, Mapping) and "shape" in given:
            try:
                spec = RunSpec.from_json({key: value for key, value in given.items() if key in SPEC_FIELDS})
                _ = spec.load_label, spec.workload.label
            except (TypeError, ValueError, KeyError, AttributeError):
                raise ValueError("must be a spec that this loadgen knows") from None
        return given


class Tokens(Part):
    """Sums over the run."""

    prompt: Number | None
    output: Number | None
    counted_by: Line | None


class Window(Part):
    """What of the run was measured."""

    rule: Line
    start_s: Number | None
    end_s: Number | None
    requests: int | None


class InFlight(Part):
    """Requests in flight."""

    mean: Number | None = None
    peak: Number | None = None


class Rates(Part):
    """Requests per second."""

    offered_per_s: Number | None = None
    sent_per_s: Number | None = None
    completed_per_s: Number | None = None


class RateLimits(Part):
    """What limits per minute made of the run."""

    held_requests: int
    wait_total_s: Number
    refused_requests: int


class Length(Part):
    """Tokens asked and achieved."""

    asked: Number | None
    mean: Number | None
    min: Number | None
    max: Number | None
    requests_off: int | None


class Lengths(Part):
    """Of prompts and of answers."""

    prompt_tokens: Length | None = None
    output_tokens: Length | None = None


class Turn(Part):
    """One turn of the conversations."""

    turn: int
    requests: int
    prompt_tokens_mean: Number | None
    ttft_s: Distribution


class Doctor(Part):
    """What the doctor had found on the client's host."""

    summary: Text
    measured_at: Line


class Client(Part):
    """The client's account of itself."""

    stamp_source: Line | None
    reads: int | None
    coalesced_ratio: Number | None
    first_content_coalesced_ratio: Number | None = None
    failure: Line | None = None
    workers: int | None = None
    reads_by: Line | None = None
    priority: Line | None = None
    cpu_s: Number | None = None
    cpu_ratio: Number | None = None
    host_busy_ratio: Number | None = None
    events: int | None = None
    connections_opened: int | None = None
    connections_reopened: int | None = None
    clock_step_s: Number | None = None
    peak_rss_bytes: Number | None = None
    loop_lag_s: Distribution | None = None
    send_delay_s: Distribution | None = None
    connect_s: Distribution | None = None
    network_rtt_s: Distribution | None = None
    proxy: bool | None = None
    tls: Line | None = None
    doctor: Doctor | None = None


class Foreign(Part):
    """The other client that measured a run, and its figures in its own words."""

    tool: Line
    version: Line | None
    figures: dict[str, Any]


class Mark(Part):
    """Where a sweep had been imported from before it was exported; only who measured it is taken along."""

    tool: Line | None = None
    tool_version: Line | None = None


class Run(Part):
    """A run document (DESIGN's contract of a run). Its metrics are those of `METRICS`, which are checked by their kind."""

    model_config = ConfigDict(strict=True, extra="allow")

    schema_version: Literal[1]
    run_id: Id
    sweep_id: Id
    repeat: int
    started_at: Moment
    elapsed_s: Number
    simulated: bool
    interrupted: bool
    server_died: bool
    method_version: int
    spec: Spec
    server: Server
    environment: Environment
    outcomes: dict[str, int]
    ttft_s: Distribution | None
    chunk_gap_s: Distribution | None
    token_gap_s: Distribution | None
    tpot_s: Distribution | None
    output_tokens_per_s: Number | None
    requests_per_s: Number | None
    tokens: Tokens
    window: Window
    client: Client
    verdict: Verdict
    by_turn: list[Turn] | None = None
    concurrency: InFlight | None = None
    rates: Rates | None = None
    rate_limits: RateLimits | None = None
    lengths: Lengths | None = None
    cost: Cost | None = None
    gpu: Gpu | None = None
    server_account: Account | None = None
    prefix_cache_reset: bool | None = None
    foreign: Foreign | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_its_figures(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        for metric in METRICS:
            entry: Any = given
            for part in metric.key.split("."):
                if entry is not None and not isinstance(entry, Mapping):
                    raise ValueError(f"must have an object at {part} of {metric.key}")
                entry = None if entry is None else entry.get(part)
            if entry is None:
                continue
            if metric.kind == "distribution":
                Distribution.model_validate(entry)
            elif isinstance(entry, bool) or not isinstance(entry, int | float):
                raise ValueError(f"must have a number or null for {metric.key}")
        outcomes = given.get("outcomes")
        if isinstance(outcomes, Mapping) and not {"planned", "ok"} <= outcomes.keys():
            raise ValueError("must have planned and ok among its outcomes")
        return given


class SearchTerms(Part):
    """What was searched for."""

    goodput_ratio: Number
    max_runs: int


class SearchedLoad(Part):
    """What the runs of one load of a search showed."""

    load: Number
    answer: Literal["met", "missed", "cant_tell"]
    goodput_ratio: Number
    interval: Annotated[list[Number], Field(min_length=2, max_length=2)] | None
    runs: int
    overloaded: bool


class SearchResult(Part):
    """What a search found."""

    load: Literal["concurrency", "rate_per_s"]
    slo: dict[Line, Number] = Field(default_factory=dict)
    terms: SearchTerms
    ended: Literal["edge", "all_met", "none_met", "max_runs", "undecided", "interrupted", "running"]
    trouble: Text | None
    highest_met: SearchedLoad | None
    lowest_not_met: SearchedLoad | None


class Sweep(Part):
    """A sweep with its runs, as `export` and `sweep --json` write it."""

    schema_version: Literal[1]
    sweep_id: Id
    name: Line
    status: Literal["running", "stopped", "finished", "interrupted", "failed"]
    created_at: Moment
    simulated: bool
    planned_runs: int
    spec: dict[str, Any]
    spec_hash: Line
    server: Server
    environment: Environment
    group_id: Line | None = None
    imported: Mark | None = None
    search: SearchResult | None = None
    runs: list[Run]
