"""What must be in a sweep's JSON for tables, pages and comparisons to be made of it: keys, types, and nothing more.

Imports load, analysis and store. Keys that a later version added are let through untouched; those that an earlier version
did not write yet have a default here.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictFloat, StrictInt, model_validator

from loadgen.analysis.metrics import METRICS
from loadgen.load.spec import RunSpec
from loadgen.store import plain

SPEC_FIELDS = frozenset(field.name for field in fields(RunSpec))
_ID = re.compile(r"[sr][0-9a-z-]{2,60}")


def _line(value: str) -> str:
    if plain.unprintable(value) is not None:
        raise ValueError("must have no control characters")
    return value


def _moment(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a moment like 2026-11-23T15:29:01+00:00") from None
    if not 2000 <= moment.year < 3000:
        raise ValueError("must be a moment of this millennium")
    return value


def _id(value: str) -> str:
    if _ID.fullmatch(value) is None:
        raise ValueError("must be an id like s261123-152901-4f2a")
    return value


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


Text = Annotated[object, AfterValidator(_text)]  # may quote a server, lone surrogates and all
Line = Annotated[str, Field(max_length=1000), AfterValidator(_line)]  # stands among others in one line of a terminal
Moment = Annotated[str, AfterValidator(_moment)]
Id = Annotated[str, AfterValidator(_id)]
Number = StrictInt | StrictFloat


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class Distribution(_Part):
    """A figure over many requests, tokens or chunks; a percentile that was refused is null."""

    n: int
    mean: Number | None
    min: Number | None
    p50: Number | None
    p90: Number | None
    p95: Number | None
    p99: Number | None
    max: Number | None


class Finding(_Part):
    """One finding of a verdict."""

    code: Line
    message: Text
    hint: Text | None
    severity: Literal["note", "doubtful", "invalid"] = "doubtful"
    badness: Number = 0.0


class Verdict(_Part):
    """The run's verdict."""

    status: Literal["valid", "doubtful", "invalid"]
    findings: list[Finding]


class Server(_Part):
    """What was measured."""

    url: Line
    model: Line
    name: Line | None
    version: Line | None
    simulated: bool | None = None


class Environment(_Part):
    """What it was measured on, as far as it is more than shown."""

    host: dict[str, Any] = {}
    git_commit: Line | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_bytes(cls, given: Any) -> Any:
        for key, value in given.items() if isinstance(given, Mapping) else ():
            is_count = isinstance(value, int | float) or value is None
            if key.endswith("_bytes") and not is_count:
                raise ValueError(f"must have a number or null for {key}")
        return given


class Ramp(_Part):
    """A rate that changes over the run."""

    to_per_s: Number
    over_s: Number
    strategy: Line


class ClosedLoop(_Part):
    """So many callers."""

    kind: Literal["closed_loop"]
    concurrency: int


class Wave(_Part):
    """So many requests at once."""

    kind: Literal["wave"]
    size: int


class OpenLoop(_Part):
    """So many requests per second."""

    kind: Literal["open_loop"]
    rate_per_s: Number
    arrivals: Line
    ramp: Ramp | None = None
    max_in_flight: int | None = None


class Spec(_Part):
    """What was asked of a run."""

    hash: Line
    point_hash: Line
    load_label: Line
    url: Line
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


class Tokens(_Part):
    """Sums over the run."""

    prompt: Number | None
    output: Number | None
    counted_by: Line | None


class Window(_Part):
    """What of the run was measured."""

    rule: Line
    start_s: Number | None
    end_s: Number | None
    requests: int


class InFlight(_Part):
    """Requests in flight."""

    mean: Number | None = None
    peak: Number | None = None


class Rates(_Part):
    """Requests per second."""

    offered_per_s: Number | None = None
    sent_per_s: Number | None = None
    completed_per_s: Number | None = None


class RateLimits(_Part):
    """What limits per minute made of the run."""

    held_requests: int
    wait_total_s: Number
    refused_requests: int


class Length(_Part):
    """Tokens asked and achieved."""

    asked: Number | None = None
    mean: Number | None = None
    min: Number | None = None
    max: Number | None = None


class Lengths(_Part):
    """Of prompts and of answers."""

    prompt_tokens: Length | None = None
    output_tokens: Length | None = None


class Turn(_Part):
    """One turn of the conversations."""

    turn: int
    requests: int
    prompt_tokens_mean: Number | None
    ttft_s: Distribution


class Doctor(_Part):
    """What the doctor had found on the client's host."""

    summary: Text
    measured_at: Line


class Client(_Part):
    """The client's account of itself."""

    stamp_source: Line
    reads: int
    coalesced_ratio: Number | None
    first_content_coalesced_ratio: Number | None = None
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
    doctor: Doctor | None = None


class Run(_Part):
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


class Sweep(_Part):
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
    runs: list[Run]
