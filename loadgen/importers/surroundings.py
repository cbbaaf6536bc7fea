"""What stands in a run's JSON beside its own figures: the server's account of it, its GPUs, what it cost."""

from typing import Annotated

from pydantic import Field, model_validator

from loadgen.importers.words import Line, Number, Part

Bounds = Annotated[list[Number | None], Field(min_length=2, max_length=2)]


class Bucketed(Part):
    """A duration by the server's histogram; a percentile is between two bounds."""

    n: Number
    mean: Number | None
    p50: Bounds | None
    p90: Bounds | None
    p95: Bounds | None
    p99: Bounds | None


class Through(Part):
    """A gauge over the window, by so many readings."""

    n: int
    mean: Number
    max: Number


class Speculation(Part):
    """Drafts and what became of them."""

    drafts: Number
    draft_tokens: Number | None
    acceptance_ratio: Number | None
    tokens_per_draft: Number | None
    acceptance_by_position: list[Number]


class Account(Part):
    """What the server's counters said. An earlier version named no engine, and had no more than a few of these."""

    engine: Line | None = None
    output_tokens: Number | None = None
    client_output_tokens: Number | None = None
    output_tokens_per_s: Number | None = None
    client_output_tokens_per_s: Number | None = None
    prefix_cache_hit_ratio: Number | None = None
    preemptions: Number | None = None
    running_requests: Through | None = None
    waiting_requests: Through | None = None
    kv_cache_usage_ratio: Through | None = None
    speculation: Speculation | None = None
    times: dict[str, Bucketed] = Field(default_factory=dict)
    client_times: dict[str, dict[str, Number | None] | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_whole(self) -> "Account":
        lacking = set(type(self).model_fields) - self.model_fields_set
        if self.engine and lacking:
            raise ValueError(f"must have {min(lacking)}")
        return self


class Device(Part):
    """One GPU over the window."""

    index: int
    name: Line
    power_mean_w: Number | None
    sm_clock_mean_mhz: Number | None
    memory_clock_mean_mhz: Number | None
    utilization_mean_ratio: Number | None
    memory_used_max_bytes: Number | None
    temperature_max_c: Number | None
    throttled_ratio: dict[str, Number]


class Gpu(Part):
    """The server's GPUs over the window."""

    chosen_by: Line | None
    energy_j: Number | None
    energy_by: Line | None
    energy_per_output_token_j: Number | None
    energy_per_request_j: Number | None
    power_mean_w: Number | None
    power_max_w: Number | None
    devices: Annotated[list[Device], Field(min_length=1)]


class Cost(Part):
    """What the run cost."""

    usd: Number | None
    warmup_usd: Number | None
    usd_per_million_output_tokens: Number | None
    input_tokens: Number | None
    output_tokens: Number | None
    uncounted_requests: int
