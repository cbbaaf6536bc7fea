"""What the store takes and gives besides run documents and `Records`: plain rows, without SQLAlchemy."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from typing_extensions import TypedDict

from loadgen.analysis.document.sweep import SweepStatus


@dataclass(frozen=True, slots=True)
class ImportMark:
    """Where an imported sweep came from, as its runs' documents carry it too."""

    file: str  # its name, without the folder
    sha256: str  # of the file's bytes, 64 hexadecimal digits
    imported_at: str  # UTC, ISO 8601
    tool: str | None = None  # another client that measured it; None: loadgen did
    tool_version: str | None = None  # None where its file does not tell


@dataclass(frozen=True, slots=True)
class AccuracyRow:
    """One metric of one task, as the evaluation of a served model found it; `value` and `standard_error` as its tool gives them."""

    evaluation_id: str
    sweep_id: str | None  # of the sweep that it was part of
    model: str
    provenance: str  # a key of `study.measured.PROVENANCE_LABELS`
    task: str
    metric: str
    value: float
    standard_error: float | None
    samples: int | None
    shots: int | None
    tool: str
    tool_version: str | None
    settings: Any  # of the evaluation, by name
    measured_at: str  # UTC, ISO 8601


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All results of one evaluation, and the server that was evaluated."""

    server: Any
    rows: tuple[AccuracyRow, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One sweep: load points on one server. The last four fields are counted by the store when it reads the sweep.

    Sweeps of one `group_id` were asked for together, one for each variant of the server. `start_failure` says why there is
    no run: the `kind` of failure, its `sentence` and the `log` (a path or null) of a server that did not start.
    """

    sweep_id: str
    name: str
    spec: Any  # the resolved spec
    spec_hash: str  # of the resolved spec: what a resume looks for
    planned_runs: int
    status: SweepStatus  # "stopped" is stored of imported sweeps alone: so reads a running one whose process is gone without a word
    simulated: bool
    created_at: str  # UTC, ISO 8601
    environment: Any
    server: Any
    group_id: str | None = None
    start_failure: Any = None
    search: Any = None  # what `loadgen search` found, by `Search.to_json`; None: no search
    imported: ImportMark | None = None  # None: measured into this database
    accuracy: tuple[AccuracyRow, ...] = ()  # of its server, see `store.accuracy`
    runs: int = 0
    valid: int = 0
    doubtful: int = 0
    invalid: int = 0


def sweep_json(sweep: SweepRow) -> dict[str, object]:
    """Return the fields of a sweep by name; `accuracy` is absent if nothing was evaluated."""
    known = asdict(sweep)
    if not sweep.accuracy:
        del known["accuracy"]
    return known


@dataclass(frozen=True, slots=True)
class RunFigures:
    """One run as the list of sweeps needs it, without its document. What is unknown is None."""

    sweep_id: str
    point_hash: str
    verdict_status: str
    interrupted: bool
    shape_kind: str
    input_tokens: int | None
    output_tokens: int
    load_label: str | None
    output_tokens_per_s: float | None
    ttft_p50_s: float | None
    e2e_latency_p50_s: float | None
    gpu_count: int | None
    gpu_names: list[str] | None  # one for each GPU; each model once if which were used is unknown


JobStatus = Literal["queued", "running", "finished", "failed", "cancelled", "interrupted"]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A sweep that somebody asked the service for, and what became of its latest attempt.

    "finished": every planned run ended, though some may be invalid (`exit_code` 3). "failed": something ended it early, which
    `message` says. "cancelled": somebody did. "interrupted": the service or the measuring process was ended.
    """

    job_id: str
    status: JobStatus
    target: str  # of which one job runs at a time
    name: str
    values: Mapping[str, Any]  # the spec as it was sent
    spec_hash: str
    planned_runs: int
    submitted_at: str  # UTC, ISO 8601, as the others
    sweep_id: str | None = None  # None until its server has answered
    attempts: int = 1
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None
    message: str | None = None
    cancel_requested: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens unless somebody asks for it."""
        return self.status not in ("queued", "running")

    @property
    def is_resumable(self) -> bool:
        """Whether there is something left to measure."""
        return self.has_ended and self.status != "finished"


@dataclass(frozen=True, slots=True)
class QueueOwner:
    """The process of a service. The last four fields tell whether it still runs, to a process that can see it."""

    owner_id: str
    host_name: str
    process_id: int
    process_started: int
    process_namespace: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class QueueClaimRow:
    """Which service works on the jobs of a database, since when, and when it last renewed its claim."""

    owner: QueueOwner
    claimed_at: str  # UTC, ISO 8601
    heartbeat_at: str


class ProgressRuns(TypedDict):
    """Runs of a sweep."""

    planned: int
    at_most: bool  # `planned` is only a bound, as in a search
    ended: int


class ProgressRequests(TypedDict):
    """Requests of the present phase."""

    planned: int | None
    sent: int
    ended: int
    failed: int
    in_flight: int
    held: int  # by a rate limit
    thinking: int  # conversations between two turns


class ProgressTtft(TypedDict):
    """Times to first token over the last seconds, of the requests that are watched."""

    p50: float
    max: float
    n: int


class ProgressRun(TypedDict):
    """The run that is being measured."""

    position: int
    load_label: str
    input_tokens: int | None
    output_tokens: int
    phase: str
    duration_s: float | None
    elapsed_s: float
    done_ratio: float  # of the phase
    requests: ProgressRequests
    requests_per_s: float | None  # that ended over the last `window_s`
    ttft_s: ProgressTtft | None
    window_s: float


class ProgressTrail(TypedDict):
    """The last minutes, a value each `step_s`."""

    step_s: float
    requests_per_s: list[float | None]
    ttft_p50_s: list[float | None]


class ProgressGroup(TypedDict):
    """Where the group of the sweep stands; all counted from 1, over all of its sweeps."""

    server: int
    servers: int
    load: int
    loads: int  # on this server
    run: int
    runs: int
    left_s: float | None


class ProgressDocument(TypedDict, total=False):
    """How a sweep that is being measured stands. What is not known is null."""

    schema_version: int
    runs: ProgressRuns
    server_stage: str | None
    run: ProgressRun | None
    outcomes: dict[str, int]
    verdicts: dict[str, int]
    left_s: float | None
    group: ProgressGroup | None
    trail: ProgressTrail


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """How a sweep that is being measured stands, as its process last had the time to say."""

    sweep_id: str
    updated_at: str  # UTC, ISO 8601
    document: ProgressDocument


@dataclass(frozen=True, slots=True)
class JobStanding:
    """What the store knows of a job besides its row: its place in the queue, and the runs that its sweep has so far.

    `queue_position` counts from 1 among the queued jobs of the same server, and is None for a job that is not queued. The
    job that it waits for is the one right before it on that server, running or queued; None if it is the next to start.
    """

    queue_position: int | None = None
    waits_for_job_id: str | None = None
    waits_for_name: str | None = None
    waits_for_status: JobStatus | None = None
    ended_runs: int = 0  # without those that were cut short
    cut_short_runs: int = 0
    valid_runs: int = 0  # the verdicts count both
    doubtful_runs: int = 0
    invalid_runs: int = 0
    simulated: bool = False  # whether its server turned out to be a simulator
    progress: ProgressRow | None = None  # only of a running job


@dataclass(frozen=True, slots=True)
class ServerSample:
    """What the server said of itself at one moment of a run."""

    at_ns: int  # relative to the run's origin; negative before t = 0
    values: dict[str, float]  # by metric name
