"""What was measured, and what the client ran on."""

from typing import Annotated, NotRequired

from typing_extensions import TypedDict

from loadgen.analysis.document import Timestamp, Words
from loadgen.analysis.stats import Distribution


class LaunchOverrides(TypedDict):
    """What the start changed of the server's profile."""

    port: NotRequired[int]
    model: NotRequired[str]
    arguments: NotRequired[dict[str, object] | None]


class LaunchGpu(TypedDict):
    """A GPU that the server could see."""

    name: str
    memory_bytes: NotRequired[int | None]
    driver: NotRequired[str | None]


class PrunedModel(TypedDict):
    """How the model's checkpoint was made of a larger one, by the `pruning.json` in its folder."""

    source: str  # name of the checkpoint that was pruned
    kind: str  # inter: experts removed; intra: columns of each expert
    ratio: float  # as asked
    rule: str  # frequency, norm or random


class LaunchDocument(TypedDict):
    """How loadgen started the server; keys and tokens are hidden."""

    kind: NotRequired[str]  # local, compose, simulator or external
    profile_source: NotRequired[str]  # path of the profile, where it is not one of that name
    argv: NotRequired[list[Words]]
    arguments: NotRequired[dict[str, object]]  # of the engine, by flag
    plugins: NotRequired[list[str]]  # of loadgen, in vLLM; absent without any
    overrides: NotRequired[LaunchOverrides | None]
    environment: NotRequired[dict[str, Words]]
    container_argv: NotRequired[list[Words]]
    gpus: NotRequired[list[LaunchGpu] | None]
    architecture: NotRequired[str | None]
    model_source: NotRequired[str | None]
    pruned: NotRequired[PrunedModel]  # absent unless the model is a pruned one
    model_revision: NotRequired[str]  # commit in the hub
    model_hash: NotRequired[str]  # of the model's folder
    model_hash_covers: NotRequired[str]
    weights: NotRequired[str | None]  # real or dummy
    endpoint: NotRequired[str]
    api_key_env: NotRequired[str | None]
    installed_release: NotRequired[str | None]  # of the engine, as its package says
    engine: NotRequired[str | None]  # as the server says
    engine_version: NotRequired[str | None]  # as the server says
    engine_says: NotRequired[dict[str, Words]]  # settings and sizes from its log
    started_at: NotRequired[Timestamp]
    startup_s: NotRequired[float | None]


class AdaptedField(TypedDict):
    """A field of the usual request that the endpoint refused."""

    field: str
    sent_as: str | None  # null: left out


class ServerDocument(TypedDict):
    """What was measured."""

    url: str | None  # null where another client measured and does not report it
    model: str
    name: str | None  # of the engine
    version: str | None
    dialect: NotRequired[str | None]  # vllm, openai or cerebras
    simulated: NotRequired[bool | None]
    max_model_len: NotRequired[int | None]  # tokens
    chunk_counts: NotRequired[list[str]]  # how it reports the tokens of each chunk, best first
    model_list_problem: NotRequired[Words | None]  # why its list of models does not confirm the model
    adapted_fields: NotRequired[list[AdaptedField]]
    first_question_problem: NotRequired[Words | None]  # why the question before the run went unanswered
    profile: NotRequired[str | None]
    launch: NotRequired[LaunchDocument | None]  # null or absent where loadgen did not start it


class HostDocument(TypedDict, total=False):
    """The client's host."""

    name: str | None
    system: str | None
    machine: str | None


class EnvironmentDocument(TypedDict):
    """What the client ran on. A fact that cannot be had is null."""

    host: HostDocument
    python: NotRequired[str | None]
    loadgen_version: NotRequired[str | None]
    git_commit: NotRequired[str | None]  # `+` behind it where tracked files differ
    cpu_model: NotRequired[str | None]
    cpu_count: NotRequired[int | None]
    cpu_governor: NotRequired[str | None]
    memory_bytes: NotRequired[int | None]
    kernel: NotRequired[str | None]
    packages: NotRequired[dict[str, str]]  # versions by name
    platform: NotRequired[str]  # of a client other than loadgen, in its own words


Bounds = Annotated[list[float | None], "two"]
"""[low, high]; an end that there is not is null."""


class BucketedDistribution(TypedDict):
    """A duration in seconds by the server's histogram."""

    n: float
    mean: float | None
    p50: Bounds | None
    p90: Bounds | None
    p95: Bounds | None
    p99: Bounds | None
    upper: NotRequired[list[float | None]]  # upper edges of the buckets; the last has none
    counts: NotRequired[list[int]]  # of each bucket


class GaugeFigures(TypedDict):
    """A gauge over the window."""

    n: int  # readings
    mean: float
    max: float


class Speculation(TypedDict):
    """Speculative decoding."""

    drafts: float
    draft_tokens: float | None
    accepted_tokens: NotRequired[float | None]
    acceptance_ratio: float | None
    tokens_per_draft: float | None  # 1 + accepted/drafts
    acceptance_by_position: list[float]  # share of the drafts


class AccountRates(TypedDict):
    """Output tokens per second by the server's counter and by the client's arrivals, over one stretch of time."""

    output_tokens_per_s: NotRequired[float | None]
    client_output_tokens_per_s: NotRequired[float | None]
    rate_start_s: NotRequired[float | None]  # on the run's clock
    rate_end_s: NotRequired[float | None]  # on the run's clock


class ServerAccount(AccountRates):
    """What the server's own counters say of the run; `client_` figures are the client's of the same requests."""

    engine: NotRequired[str | None]
    readings: NotRequired[int]  # of its page of metrics
    requests_finished: NotRequired[int | None]
    requests_sent: NotRequired[int | None]
    output_tokens: NotRequired[float | None]
    client_output_tokens: NotRequired[float | None]
    prompt_tokens: NotRequired[float | None]
    prefix_cache_hit_ratio: NotRequired[float | None]
    preemptions: NotRequired[float | None]  # requests put aside for lack of KV cache
    running_requests: NotRequired[GaugeFigures | None]
    waiting_requests: NotRequired[GaugeFigures | None]
    kv_cache_usage_ratio: NotRequired[GaugeFigures | None]
    speculation: NotRequired[Speculation | None]
    first_tokens: NotRequired[float | None]  # requests in its histogram of TTFT
    ttft_mean_s: NotRequired[float | None]
    client_first_tokens: NotRequired[int | None]
    client_ttft_mean_s: NotRequired[float | None]  # from send
    step_gap_total_s: NotRequired[float | None]
    client_chunk_gap_total_s: NotRequired[float | None]
    times: NotRequired[dict[str, BucketedDistribution]]  # by figure
    client_times: NotRequired[dict[str, Distribution | None]]  # by figure


class ServerReadings(TypedDict):
    """How the server's page of metrics could be read."""

    readings: int
    malformed_lines: int
    unusable: list[Words]  # figures without a usable number
    unknown_because: Words | None  # why there is no account; null where there is one


class GpuIdentity(TypedDict):
    """Which GPU it is."""

    index: int
    uuid: NotRequired[str]
    name: str
    memory_bytes: NotRequired[int | None]
    power_limit_w: NotRequired[float | None]
    driver: NotRequired[str | None]


class GpuFigures(GpuIdentity):
    """One GPU over the window."""

    readings: NotRequired[int]
    interval_s: NotRequired[float | None]  # median between two readings
    energy_j: NotRequired[float | None]
    energy_by: NotRequired[str | None]  # counter, or power integrated
    power_mean_w: float | None
    power_max_w: NotRequired[float | None]
    sm_clock_mean_mhz: float | None
    memory_clock_mean_mhz: float | None
    memory_used_max_bytes: float | None
    utilization_mean_ratio: float | None
    temperature_max_c: float | None  # degrees Celsius
    throttled_ratio: dict[str, float]  # share of the readings, by what held the clocks down


class GpuAccount(TypedDict):
    """The server's GPUs over the window, in sum and each."""

    source: NotRequired[str | None]  # nvml or nvidia-smi
    chosen_by: str | None  # how the server's were told from others; `all`: they were not
    energy_j: float | None
    energy_by: str | None  # counter, or power integrated
    energy_per_output_token_j: float | None
    energy_per_request_j: float | None
    power_mean_w: float | None
    power_max_w: float | None
    devices: list[GpuFigures]  # at least one
