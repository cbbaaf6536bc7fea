"""A sweep with its runs, a run that is exported alone, and a group of sweeps."""

from typing import Annotated, Literal, NotRequired

from typing_extensions import TypedDict

from loadgen.analysis.document import Id, Timestamp, Words
from loadgen.analysis.document.run import FindingDocument, ImportDocument, RunDocument
from loadgen.analysis.document.server import EnvironmentDocument, ServerDocument

SweepStatus = Literal["running", "stopped", "finished", "interrupted", "failed"]
SearchAnswer = Literal["met", "missed", "cant_tell"]
SearchEnd = Literal["edge", "all_met", "none_met", "max_runs", "undecided", "interrupted", "running"]


class SearchTermsDocument(TypedDict):
    """What was searched for, and how closely."""

    low: NotRequired[float]  # lowest load
    high: NotRequired[float]  # highest load
    goodput_ratio: float  # share of a run's requests that must meet the SLO
    tolerance_ratio: NotRequired[float]  # how far the two loads of the edge may be apart
    repeats: NotRequired[int]  # most runs of one load
    max_runs: int


class SearchedLoad(TypedDict):
    """What the runs of one load showed."""

    load: float
    answer: SearchAnswer
    goodput_ratio: float  # mean over the runs
    interval: Annotated[list[float], "two"] | None  # of that mean, 95 %
    runs: int
    overloaded: bool  # the server failed so many requests that a run is invalid


class SearchProbe(TypedDict):
    """One run of a search, judged by itself."""

    run_id: str
    load: float
    repeat: int  # of this load, from 0
    goodput_ratio: float | None  # null where the run decided nothing
    answer: Literal["met", "missed"] | None


class SearchDocument(TypedDict):
    """What a search found. Loads are callers, or requests per second."""

    load: Literal["concurrency", "rate_per_s"]
    slo: NotRequired[dict[str, float]]  # limit in seconds, by figure
    terms: SearchTermsDocument
    ended: SearchEnd
    trouble: Words | None  # why a run decided nothing, which ended the search
    highest_met: SearchedLoad | None
    lowest_not_met: SearchedLoad | None
    loads: NotRequired[list[SearchedLoad]]  # ascending
    probes: NotRequired[list[SearchProbe]]  # in the order of the runs


class StartFailureDocument(TypedDict):
    """Why the server of a sweep did not start."""

    kind: str
    sentence: Words
    log: Words | None  # path


class AccuracyResultDocument(TypedDict):
    """One metric of one task, as an evaluation of the sweep's server found it."""

    evaluation_id: str
    sweep_id: Id | None  # of the sweep that it was part of; null: it was asked for by itself, on the same server
    model: str
    provenance: str  # measured, dummy, dummy_routed, simulated or tiny
    task: str
    metric: str
    value: float
    standard_error: float | None  # as the tool gives it
    samples: int | None
    shots: int | None  # examples before each question
    tool: str
    tool_version: str | None
    settings: dict[str, object]
    measured_at: Timestamp


class EvaluationDocument(TypedDict):
    """One evaluation of a served model, as `accuracy --json` writes it."""

    schema_version: Literal[1]
    evaluation_id: str
    name: str | None
    server: ServerDocument
    accuracy: list[AccuracyResultDocument]


class SweepFacts(TypedDict):
    """What is known of a sweep besides its runs."""

    sweep_id: Id
    name: str
    spec: dict[str, object]  # the sweep as it was asked, by the keys of a spec file
    spec_hash: str
    planned_runs: int
    status: SweepStatus
    simulated: bool
    created_at: Timestamp
    environment: EnvironmentDocument
    server: ServerDocument
    group_id: NotRequired[str | None]  # sweeps of several servers that were asked for together
    start_failure: NotRequired[StartFailureDocument | None]
    search: NotRequired[SearchDocument | None]
    imported: NotRequired[ImportDocument | None]
    accuracy: NotRequired[list[AccuracyResultDocument]]  # absent where nothing was evaluated
    valid: NotRequired[int]  # runs by verdict
    doubtful: NotRequired[int]
    invalid: NotRequired[int]


class PointDocument(TypedDict):
    """What the repeats of one load point show together."""

    point_hash: str
    load_label: str
    run_ids: list[str]
    spread_ratio: float | None  # greatest/least − 1 of the repeats
    findings: list[FindingDocument]


class SweepDocument(SweepFacts):
    """A sweep with its runs, as `export` and `sweep --json` write it."""

    schema_version: Literal[1]
    points: NotRequired[list[PointDocument]]
    runs: list[RunDocument]  # in the order in which they ran


class LoneRunDocument(RunDocument):
    """A run that is exported alone, with what is known of its sweep."""

    sweep: SweepFacts


class GroupDocument(TypedDict):
    """Sweeps that were asked for together, one for each variant of the server."""

    schema_version: Literal[1]
    group_id: str | None
    sweeps: list[SweepDocument]
