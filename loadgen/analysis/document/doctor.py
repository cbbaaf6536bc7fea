"""What `loadgen doctor` finds, as it prints and stores it."""

from typing import Literal

from typing_extensions import TypedDict

from loadgen.analysis.document import Timestamp, Words
from loadgen.analysis.document.run import DoctorLevel
from loadgen.analysis.document.server import HostDocument


class HostCheckDocument(TypedDict):
    """One check of the host."""

    name: str
    status: Literal["ok", "warn", "bad"]
    message: Words
    hint: Words  # the remedy; empty where none is needed


class DoctorLevelDocument(DoctorLevel):
    """One number of streams: what was asked, what the client's error was, and what the client cost."""

    requests: int
    ok: int  # requests
    events: int  # arrivals of content
    events_per_s: float
    joined_ratio: float | None  # of all contents: seen at one time and sent apart
    stamp_source: str
    priority: str
    coalesced_ratio: float | None
    cpu_ratio: float  # of one core
    loop_lag_p99_s: float | None
    clock_step_s: float


class ExaminedHost(TypedDict):
    """The host, as far as the client's error depends on it."""

    host: HostDocument
    cpu_model: str | None
    cpu_count: int | None
    kernel: str | None


class DoctorDocument(TypedDict):
    """One examination of a host."""

    schema_version: Literal[1]
    measured_at: Timestamp
    loadgen_version: str | None
    git_commit: str | None
    host_hash: str
    host: ExaminedHost
    summary: Words
    kept: bool  # whether the client kept its promise at every number of streams
    checks: list[HostCheckDocument]
    levels: list[DoctorLevelDocument]
