"""What came of a run, and the run as a whole."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from loadgen.analysis.document import Id, Timestamp, Words
from loadgen.analysis.document.server import (
    EnvironmentDocument,
    GpuAccount,
    ServerAccount,
    ServerDocument,
    ServerReadings,
)
from loadgen.analysis.document.spec import SpecDocument
from loadgen.analysis.stats import Distribution
from loadgen.moe.expert_counts import ExpertCountsDocument

Severity = Literal["note", "doubtful", "invalid"]
Status = Literal["valid", "doubtful", "invalid"]


class FailureDocument(TypedDict):
    """The failed requests of one kind."""

    outcome: str
    http_status: int | None
    detail: Words | None  # in the server's or the client's words
    requests: int


class PaperFigures(TypedDict):
    """Figures of one wave by the formulas of the MoE-Inference-Bench paper."""

    ttft_s: float | None
    itl_s: float | None
    throughput_tokens_per_s: float | None


class ProviderTime(TypedDict):
    """What the provider reports of its own time, per request."""

    queue_s: NotRequired[Distribution | None]
    prompt_s: NotRequired[Distribution | None]
    completion_s: NotRequired[Distribution | None]
    total_s: NotRequired[Distribution | None]
    ttft_less_queue_s: NotRequired[Distribution | None]
    ttft_less_queue_and_prompt_s: NotRequired[Distribution | None]
    e2e_less_total_s: NotRequired[Distribution | None]


class TurnFigures(TypedDict):
    """One turn of the conversations."""

    turn: int  # from 1
    requests: int
    prompt_tokens_mean: float | None
    ttft_s: Distribution


class TokenSums(TypedDict):
    """Sums over all ok requests of the run."""

    prompt: float | None
    output: float | None
    hidden: NotRequired[float | None]  # counted by usage, and never sent
    hidden_requests: NotRequired[int | None]  # requests with such tokens
    contradicted_requests: NotRequired[int | None]  # requests whose usage counts fewer tokens than arrived
    counted_by: str | None  # worst source of the tokens of a chunk: token_ids, usage, tokenizer or assumed


class WindowDocument(TypedDict):
    """The measured window: which stretch of the run the figures are of."""

    rule: str  # steady_state or whole_run
    start_s: float | None  # on the run's clock
    end_s: float | None  # on the run's clock
    requests: int | None  # ok requests in it


class OutsideWindow(TypedDict):
    """The ok requests that the steady state leaves out on one side."""

    requests: int
    ttft_s: Distribution


class InFlight(TypedDict):
    """Requests in flight, from sent to ended."""

    asked: NotRequired[int | None]
    mean: NotRequired[float | None]  # time average over the window
    peak: NotRequired[float | None]  # over the run
    thinking_mean: NotRequired[float | None]  # conversations between two turns, time average over the window


class RequestRates(TypedDict):
    """Requests per second."""

    offered_per_s: NotRequired[float | None]  # by the schedule of an open loop
    sent_per_s: NotRequired[float | None]
    completed_per_s: NotRequired[float | None]  # ok requests that ended in the window


class RateLimitAccount(TypedDict):
    """How long requests were held back by the client's rate limits and by the server's Retry-After."""

    held_requests: int
    wait_total_s: float
    wait_ratio: NotRequired[float | None]  # of the time of the window's requests, waiting and in flight together
    refused_requests: int  # by HTTP 429
    refusal: NotRequired[Words | None]  # the refusal that ended the run


class LengthFigures(TypedDict):
    """Tokens asked and achieved, over the ok requests of the run."""

    asked: float | None  # mean; null where the length is not stated
    mean: float | None
    min: float | None
    max: float | None
    requests_off: int | None  # requests of another length than asked
    fitted_by: NotRequired[str | None]  # of prompts: token_ids, tokenize, usage, assumed or uncounted
    template_tokens: NotRequired[float | None]  # of prompts: tokens that the server adds to each
    tokens_per_word: NotRequired[float | None]  # of prompts
    min_tokens: NotRequired[int | None]  # of prompts: the shortest that the server can be sent
    can_be_asked: NotRequired[bool]  # of replies: whether the server takes a length


class Lengths(TypedDict):
    """Lengths of prompts and of replies."""

    prompt_tokens: NotRequired[LengthFigures]
    output_tokens: NotRequired[LengthFigures]


class DoctorLevel(TypedDict):
    """The client's own error at one number of streams."""

    streams: int
    ttft_error_p50_s: float | None
    ttft_error_p99_s: float | None
    gap_p99_error_s: float | None
    broken: list[Words]  # what is worse than promised


class DoctorNote(TypedDict):
    """What `loadgen doctor` last found on the client's host."""

    measured_at: str
    loadgen_version: NotRequired[str | None]
    summary: Words
    levels: NotRequired[list[DoctorLevel]]


class ClientAccount(TypedDict):
    """What the client knows of itself."""

    stamp_source: str | None  # kernel, or read: where arrivals were stamped
    reads: int | None  # system calls that brought bytes
    coalesced_ratio: float | None  # arrivals that share their stamp with the one before
    first_content_coalesced_ratio: NotRequired[
        float | None
    ]  # measured requests whose first content shares its stamp with the next
    workers: NotRequired[int | None]  # measuring processes
    reads_by: NotRequired[str | None]  # io_uring, epoll or asyncio
    priority: NotRequired[str | None]  # of its scheduling: realtime, raised or normal
    cpu_s: NotRequired[float | None]
    cpu_ratio: NotRequired[float | None]  # of one core, by the busiest worker
    wall_s: NotRequired[float | None]
    events: NotRequired[int | None]  # arrivals of content
    loop_lag_s: NotRequired[Distribution | None]  # how late the event loop woke
    send_delay_s: NotRequired[Distribution | None]  # how late requests went out, over the run
    measured_send_delay_s: NotRequired[Distribution | None]  # the same over the window
    connect_s: NotRequired[Distribution | None]
    network_rtt_s: NotRequired[Distribution | None]  # as the kernel measured it
    clock_step_s: NotRequired[float | None]  # largest jump of the wall clock
    connections_opened: NotRequired[int | None]
    connections_reopened: NotRequired[int | None]
    peak_rss_bytes: NotRequired[int | None]
    skipped_events: NotRequired[dict[str, int] | None]  # events of the streams without a reply, by kind
    content_types: NotRequired[dict[str, int] | None]  # event streams of another content type, by type
    open_body_requests: NotRequired[int | None]  # ok requests whose body did not end after `[DONE]`
    schedule_exhausted: NotRequired[bool | None]  # the prepared requests were used up before the time was
    failure: NotRequired[Words | None]  # why the client could not go on
    doctor: NotRequired[DoctorNote | None]
    host_busy_ratio: NotRequired[float | None]  # of all processors of the client's host
    server_on_host: NotRequired[bool | None]
    others_busy_ratio: NotRequired[float | None]  # of all processors, by other programs than client and server
    proxy: NotRequired[bool | None]
    tls: NotRequired[str | None]  # verified or unverified; null without TLS


class PriceDocument(TypedDict):
    """The price that was given, in US dollars."""

    usd_per_million_input_tokens: NotRequired[float]
    usd_per_million_output_tokens: NotRequired[float]
    usd_per_gpu_hour: NotRequired[float]
    gpus: NotRequired[int]


class CostDocument(TypedDict):
    """What the run cost, in US dollars."""

    price: NotRequired[PriceDocument]
    usd: float | None
    warmup_usd: float | None  # paid besides
    usd_per_million_output_tokens: float | None
    input_tokens: float | None  # of the ok requests
    output_tokens: float | None  # of the ok requests
    uncounted_requests: int  # sent and not answered in full: only the provider knows their cost


class KeptReply(TypedDict):
    """One reply that was kept with its text (`--keep-replies`)."""

    index: int  # of its request in the schedule
    outcome: str
    finish_reason: Words | None
    text: Words  # cut where it is long
    characters: int  # before it was cut


class ForeignMark(TypedDict):
    """The other client that measured a run, and its figures in its own words."""

    tool: str
    version: str | None
    figures: dict[str, object]
    notes: NotRequired[list[Words]]  # what of its file could not be taken


class FindingDocument(TypedDict):
    """One finding of a verdict."""

    code: str
    severity: NotRequired[Severity]  # doubtful where it is absent
    message: Words
    hint: Words | None  # what to do about it
    badness: NotRequired[float]  # the figure that was judged, turned so that more is worse


class VerdictDocument(TypedDict):
    """May the figures be believed?"""

    status: Status  # as bad as the worst finding; a note leaves a run valid
    findings: list[FindingDocument]  # worst first


class Summary(TypedDict):
    """What is measured of a run. Latencies are those of ok requests in the window."""

    method_version: int  # of the definitions; 0 where another client measured
    interrupted: bool  # cut short by the user, the server's refusal or a failure of the client
    outcomes: dict[str, int]  # requests by how they ended; `planned` is the sum, `ok` and it are always there
    failures: NotRequired[list[FailureDocument]]  # commonest first
    finish_reasons: NotRequired[dict[str, int]]  # choices of ok requests by finish_reason
    cut_at_length_requests: NotRequired[int | None]  # ended by length before the length asked
    ttft_s: Distribution | None
    ttft_from_send_s: NotRequired[Distribution | None]
    chunk_gap_s: Distribution | None
    token_gap_s: Distribution | None
    tokens_per_chunk: NotRequired[Distribution | None]
    tpot_s: Distribution | None
    e2e_latency_s: NotRequired[Distribution | None]
    output_tokens_per_s: float | None
    total_tokens_per_s: NotRequired[float | None]
    requests_per_s: float | None
    goodput_per_s: NotRequired[float | None]
    goodput_ratio: NotRequired[float | None]
    limit_wait_s: NotRequired[Distribution | None]
    provider_time: NotRequired[ProviderTime | None]
    paper: NotRequired[PaperFigures | None]  # null unless the load was one wave
    by_turn: NotRequired[list[TurnFigures] | None]
    tokens: TokenSums
    window: WindowDocument
    first_wave: NotRequired[OutsideWindow | None]  # before the window
    drain: NotRequired[OutsideWindow | None]  # after the window
    concurrency: NotRequired[InFlight]
    rates: NotRequired[RequestRates]
    rate_limits: NotRequired[RateLimitAccount | None]  # null without a limit, a 429 and a wait
    lengths: NotRequired[Lengths | None]
    client: ClientAccount
    cost: NotRequired[CostDocument | None]  # null without a price
    server_account: NotRequired[ServerAccount | None]
    server_readings: NotRequired[ServerReadings | None]
    gpu: NotRequired[GpuAccount | None]
    replies: NotRequired[list[KeptReply] | None]
    experts: NotRequired[ExpertCountsDocument | None]  # how often each expert was chosen; null: not counted
    experts_failure: NotRequired[Words | None]  # why experts were asked for and not counted
    prefix_cache_reset: NotRequired[bool | None]  # whether the server emptied its prefix cache before the run
    foreign: NotRequired[ForeignMark | None]  # there only where another client measured


class JudgedSummary(Summary):
    """What the checks of a verdict look at."""

    server: ServerDocument


class ImportDocument(TypedDict, total=False):
    """Where an imported result came from."""

    file: str | None  # its name, without the folder
    sha256: str | None  # of its bytes
    imported_at: Timestamp | None
    tool: str | None  # another client that measured it; null: loadgen did
    tool_version: str | None


class RunDocument(JudgedSummary):
    """A run: one load point, one schedule, one verdict."""

    schema_version: Literal[1]
    run_id: Id
    sweep_id: Id
    repeat: int  # from 0
    started_at: Timestamp  # t = 0 of the run's clock
    elapsed_s: float
    simulated: bool  # the server was a simulator
    server_died: bool  # nothing answered after the run
    spec: SpecDocument
    environment: EnvironmentDocument
    verdict: VerdictDocument
    imported: NotRequired[ImportDocument | None]  # there only in a database into which it was imported
