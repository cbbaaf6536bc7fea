"""What a sweep tells while it runs, for whoever shows it. Plain data; imports `load`, `engine` and `servers`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loadgen.analysis.document.server import ServerDocument
from loadgen.engine.drive.driver import Progress
from loadgen.load.spec import RunSpec
from loadgen.servers.launcher.failure import StartFailure
from loadgen.servers.launcher.running import RunningServer

Phase = Literal["preparing", "warming up", "measuring", "reading the records", "saving"]
AFTER_MEASURING: tuple[Phase, ...] = ("reading the records", "saving")


@dataclass(frozen=True, slots=True)
class SweepStarted:
    """The server has answered and the sweep is on record; `resumed` when it was before, with `kept` runs that had ended."""

    sweep_id: str
    resumed: bool
    server: ServerDocument
    runs: tuple[RunSpec, ...]
    kept: int
    most_runs: int | None = None  # of a search, whose runs follow from one another: `runs` are the ends of it
    needed_ratio: float | None = None  # of a search: the share of requests that must meet the SLO


@dataclass(frozen=True, slots=True)
class RouteChosen:
    """How the server at `url` is about to be reached: through the `proxy` of that name, if any, and believing it to be itself or not."""

    url: str
    proxy: str | None
    insecure: bool


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """The server at `url` did not answer the first question, for the reason `why`; it is asked again after `wait_s`, for `limit_s` in all."""

    url: str
    why: str
    wait_s: float
    limit_s: float


@dataclass(frozen=True, slots=True)
class FilesRead:
    """The sweep's dataset or trace has been read; `notes` are sentences on what of it is not used."""

    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiskSpaceShort:
    """`what` may need up to `needed_bytes` in `folder`, where fewer are free; the sweep begins all the same."""

    what: str
    folder: Path
    needed_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class NothingToResume:
    """The sweep of this grid is finished already: nothing is sent, and its result is the one on record."""

    sweep_id: str


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """Run number `position` (from 1) has come to a new phase."""

    position: int
    run: RunSpec
    phase: Phase


@dataclass(frozen=True, slots=True)
class PromptsNotFitted:
    """The server counts tokens so slowly that the later prompts of `run` are only about as long as asked."""

    run: RunSpec


@dataclass(frozen=True, slots=True)
class RunProgressed:
    """A sign of life from the worker, a few times a second while it sends."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run is saved."""

    position: int
    run: RunSpec
    document: Any
    took_s: float  # warm-up and preparation included


@dataclass(frozen=True, slots=True)
class SavingDelayed:
    """The database does not take a run now, for that reason; it is asked again for up to `within_s` seconds."""

    reason: str
    within_s: float


@dataclass(frozen=True, slots=True)
class DatabaseRestored:
    """Somebody deleted or moved the database at `place` during the sweep; a copy with all that was in it is there again."""

    place: str


@dataclass(frozen=True, slots=True)
class GroupStarted:
    """Sweeps over variants of a server begin, or go on; `labels` are the variants'."""

    group_id: str
    resumed: bool
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerStarting:
    """The server of this variant has come to a stage of its start."""

    label: str
    stage: str


@dataclass(frozen=True, slots=True)
class ServerReady:
    """It answers; `was_running` when it did before."""

    label: str
    server: RunningServer
    was_running: bool


@dataclass(frozen=True, slots=True)
class ServerEnding:
    """Its runs are over, and it is being ended."""

    label: str


@dataclass(frozen=True, slots=True)
class ServerNotStarted:
    """It did not come to answer, which is on record now as the result of this sweep."""

    label: str
    sweep_id: str
    failure: StartFailure


Event = (
    GroupStarted
    | ServerStarting
    | ServerReady
    | ServerEnding
    | ServerNotStarted
    | RouteChosen
    | AskedAgain
    | FilesRead
    | DiskSpaceShort
    | SweepStarted
    | NothingToResume
    | PhaseStarted
    | PromptsNotFitted
    | RunProgressed
    | RunEnded
    | SavingDelayed
    | DatabaseRestored
)
OnEvent = Callable[[Event], None]
