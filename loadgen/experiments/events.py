"""Events of a running sweep, as plain data, for those that show or store its progress."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.server import ServerDocument
from loadgen.engine.drive.driver import Progress
from loadgen.load.spec import RunSpec
from loadgen.servers.launcher.failure import StartFailure
from loadgen.servers.launcher.state import ServerState
from loadgen.store.rows import Evaluation

Phase = Literal["preparing", "warming up", "measuring", "reading the records", "saving"]
AFTER_MEASURING: tuple[Phase, ...] = ("reading the records", "saving")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; every kind is a class below."""


@dataclass(frozen=True, slots=True)
class SweepStarted(Event):
    """The server has answered and the sweep is on record. A `resumed` one was before, with `kept` runs that had ended."""

    sweep_id: str
    resumed: bool
    server: ServerDocument
    runs: tuple[RunSpec, ...]
    kept: int
    most_runs: int | None = None  # of a search; its `runs` are the two ends
    needed_ratio: float | None = None  # of a search: the share of requests that must meet the SLO


@dataclass(frozen=True, slots=True)
class RouteChosen(Event):
    """The server at `url` is about to be contacted: by the `proxy` of that name, if any; `insecure`: without verifying its certificate."""

    url: str
    proxy: str | None
    insecure: bool


@dataclass(frozen=True, slots=True)
class AskedAgain(Event):
    """The server at `url` did not answer the first question (`why`). It is asked again after `wait_s`, for up to `limit_s` in all."""

    url: str
    why: str
    wait_s: float
    limit_s: float


@dataclass(frozen=True, slots=True)
class FilesRead(Event):
    """The dataset or trace has been read; `notes` are sentences on what of it is not used."""

    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiskSpaceShort(Event):
    """`what` may need up to `needed_bytes` in `folder`, which has fewer free bytes; the sweep starts anyway."""

    what: str
    folder: Path
    needed_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class NothingToResume(Event):
    """The sweep on record is finished: nothing is sent, and its result is returned."""

    sweep_id: str


@dataclass(frozen=True, slots=True)
class PhaseStarted(Event):
    """A new phase of run number `position` (from 1)."""

    position: int
    run: RunSpec
    phase: Phase


@dataclass(frozen=True, slots=True)
class PromptsNotFitted(Event):
    """The server counts tokens slowly, so the later prompts of `run` only have about the length asked."""

    run: RunSpec


@dataclass(frozen=True, slots=True)
class RunProgressed(Event):
    """Progress of a worker, a few times a second while it sends."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """A run is saved."""

    position: int
    run: RunSpec
    document: RunDocument
    took_s: float  # warm-up and preparation included


@dataclass(frozen=True, slots=True)
class Evaluating(Event):
    """The server's accuracy is being evaluated: `done` of `planned` requests of a tool have been answered, None before the first."""

    tool: str
    done: int | None = None
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class Evaluated(Event):
    """The server's accuracy is on record."""

    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class SavingDelayed(Event):
    """The database does not take a run now (`reason`); saving is retried for up to `within_s` seconds."""

    reason: str
    within_s: float


@dataclass(frozen=True, slots=True)
class DatabaseRestored(Event):
    """The database at `place` was deleted or moved during the sweep; a copy with all of its content is there again."""

    place: str


@dataclass(frozen=True, slots=True)
class GroupPart:
    """What one sweep of a group is to measure now: `runs` in order, load number `load` (from 1) on server number `server`.

    `ended`: how many more it would measure had they not been measured before.
    """

    label: str  # of the server's variant
    server: int
    load: int
    runs: tuple[RunSpec, ...]
    ended: int = 0


@dataclass(frozen=True, slots=True)
class GroupStarted(Event):
    """Sweeps over variants of a server begin, or are resumed."""

    group_id: str
    resumed: bool
    parts: tuple[GroupPart, ...] = ()


@dataclass(frozen=True, slots=True)
class PartStarted(Event):
    """The part of a group at the position `at` begins; the server may be there already."""

    at: int


@dataclass(frozen=True, slots=True)
class CheckpointPruning(Event):
    """A checkpoint is being pruned, for a server that starts later."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class ServerStarting(Event):
    """A new stage in the start of the server of this variant."""

    label: str
    stage: str


@dataclass(frozen=True, slots=True)
class ServerReady(Event):
    """The server answers; `was_running`: it did before."""

    label: str
    server: ServerState
    was_running: bool


@dataclass(frozen=True, slots=True)
class ServerEnding(Event):
    """The runs of the server are over, and it is being stopped."""

    label: str


@dataclass(frozen=True, slots=True)
class ServerNotStarted(Event):
    """The server did not start, which is recorded as the result of this sweep."""

    label: str
    sweep_id: str
    failure: StartFailure


OnEvent = Callable[[Event], None]
