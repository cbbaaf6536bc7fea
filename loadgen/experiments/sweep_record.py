"""A sweep as the store has it: its id and hash, its row, and whether a server is the one that it began on."""

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.server import LaunchDocument, ServerDocument
from loadgen.analysis.document.sweep import SearchDocument, SearchTermsDocument, StartFailureDocument, SweepStatus
from loadgen.errors import StoreError, UsageError
from loadgen.experiments.group_state import GroupState
from loadgen.experiments.search import Search
from loadgen.load.spec import RunSpec, canonical_hash
from loadgen.servers.environment import environment
from loadgen.servers.launcher.failure import FailureKind, StartFailure
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.provenance import launch_facts
from loadgen.servers.launcher.variant import Variant
from loadgen.spec.runs import grid_hash
from loadgen.spec.sweep_spec import SweepSpec
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow


def new_id(kind: Literal["s", "r", "g", "j", "a"]) -> str:
    """Return the id of a new sweep (`s261123-152901-4f2a`), run, group, job or evaluation: UTC date and time, then 16 random bits.

    A job has 32, since many may be submitted within a second.
    """
    return f"{kind}{datetime.now(UTC):%y%m%d-%H%M%S}-{secrets.token_hex(4 if kind == 'j' else 2)}"


class GroupTerms(TypedDict):
    """The `group` of a sweep's spec on record."""

    hash: str  # of the whole group
    position: int  # of the sweep in it, from 0
    variants: int  # sweeps of the group
    interleave: bool


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A sweep's place in a group of sweeps, and which of its repeats this start of its server is for."""

    group_id: str
    terms: GroupTerms
    hold: Callable[[str], None]  # claims the sweep of an id until the group ends
    repeats: frozenset[int] | None = None  # None: all
    wanted: Callable[[RunSpec], bool] | None = None  # None: all
    state: GroupState | None = None  # of the group, for who watches
    before: str | None = None  # the sweep measured before this one: while this has no row, its own tells of the start

    def has(self, run: RunSpec, spec: SweepSpec) -> bool:
        """Whether `run` of the sweep is to be measured now."""
        if self.wanted is not None and not self.wanted(run):
            return False
        return self.repeats is None or run.seed - spec.seed in self.repeats


@dataclass(frozen=True, slots=True)
class Resume:
    """Continue the newest unfinished sweep of the same runs; with `sweep_id`, that one and no other."""

    sweep_id: str | None = None


def sweep_hash(runs: Sequence[RunSpec], variant: Variant | None = None, search: Search | None = None) -> str:
    """Return what a sweep is recognised by when it is resumed: its runs, the variant of its server, and what is searched."""
    terms = [*([] if search is None else [search.terms.to_json()]), *([] if variant is None else [variant.identity])]
    return canonical_hash([grid_hash(runs), *terms]) if terms else grid_hash(runs)


def recorded_failure(sweep: SweepRow) -> StartFailure | None:
    """Why the server of a stored sweep did not start, where it did not."""
    failure: StartFailureDocument | None = sweep.start_failure
    if failure is None:
        return None
    log = None if failure["log"] is None else Path(failure["log"])
    return StartFailure(FailureKind(failure["kind"]), failure["sentence"], log)


def ended_runs(store: Store, sweep: SweepRow | None) -> dict[str, RunDocument]:
    """The documents of the full measurements of a sweep, by the hashes of their specs."""
    documents: list[RunDocument] = [] if sweep is None else store.runs(sweep.sweep_id)
    return {each["spec"]["hash"]: each for each in documents if has_ended(each)}


def has_ended(document: RunDocument) -> bool:
    """Whether a stored run is a full measurement, which `--resume` keeps: not cut short by the user or the server's death."""
    return not document["interrupted"] and not document["server_died"]


@dataclass(frozen=True, slots=True)
class SweepEntry:
    """A sweep that is to be put on record. `search_terms` is None for a grid."""

    spec: SweepSpec
    search_terms: SearchTermsDocument | None
    spec_hash: str
    planned_runs: int
    variant: Variant | None
    member: GroupMember | None

    def begin(self, store: Store, sweep_id: str, server: ServerDocument) -> None:
        """Put it on record, on a server that has answered."""
        self._add(store, sweep_id, server, "running", None)

    def not_started(self, store: Store, launch: Launch, failure: StartFailure) -> str:
        """Put it on record as one without runs, whose server did not start. Return its id.

        It is finished if the server lacked memory, which is its result; else failed.
        """
        return self.without_runs(store, _unanswered(launch, self.spec.model), failure)

    def without_runs(self, store: Store, server: ServerDocument, failure: StartFailure) -> str:
        """The same of a server that is described already."""
        sweep_id = new_id("s")
        self._add(store, sweep_id, server, "finished" if failure.kind.is_memory else "failed", failure)
        return sweep_id

    def _add(
        self, store: Store, sweep_id: str, server: ServerDocument, status: SweepStatus, failure: StartFailure | None
    ) -> None:
        label = f"{self.spec.model} on {server['name']}" if self.variant is None else self.variant.label
        names = [self.spec.name, label] if self.member and self.spec.name else [self.spec.name or label]
        store.add_sweep(
            SweepRow(
                sweep_id=sweep_id,
                name=": ".join(names),
                spec=self._spec_document(),
                spec_hash=self.spec_hash,
                planned_runs=self.planned_runs,
                status=status,
                simulated=bool(server["simulated"]),
                created_at=datetime.now(UTC).isoformat(),
                environment=environment(),
                server=server,
                group_id=None if self.member is None else self.member.group_id,
                start_failure=None if failure is None else _failure_document(failure),
            )
        )

    def _spec_document(self) -> dict[str, Any]:
        """The spec of the sweep on record: what is searched, the variant and the place in a group stand among its keys."""
        return {
            **self.spec.to_json(),
            **({} if self.search_terms is None else {"search": self.search_terms}),
            **({} if self.variant is None else self.variant.to_json()),
            **({} if self.member is None else {"group": self.member.terms}),
        }


def _failure_document(failure: StartFailure) -> StartFailureDocument:
    log = None if failure.log_path is None else str(failure.log_path)
    return {"kind": str(failure.kind), "sentence": failure.sentence, "log": log}


def _unanswered(launch: Launch, model: str) -> ServerDocument:
    """The `server` of a sweep without runs: what was to be started, and null for what only an answer tells."""
    return {
        "url": launch.url,
        "model": model,
        "dialect": None,
        "name": launch.engine,
        "version": launch.resolved.get("installed_release"),
        "simulated": launch.kind == "simulator",
        "max_model_len": None,
        "chunk_counts": [],
        "profile": launch.profile_name,
        "launch": cast(LaunchDocument, launch_facts(launch)),
    }


def check_same_server(unfinished: SweepRow, now: ServerDocument) -> None:
    """Runs of one sweep are compared with each other, so all of them are of one server. Raises UsageError."""
    before: ServerDocument = unfinished.server
    if any(before.get(key) != now.get(key) for key in ("name", "version", "dialect")):
        raise UsageError(
            f"the sweep {unfinished.sweep_id} began on {_described(before)}, and {now['url']} is now {_described(now)}: "
            "start the server that it began on, or begin a new sweep without --resume"
        )
    then_started, now_started = _command(before), _command(now)
    if then_started is not None and now_started is not None and then_started != now_started:
        gone = " ".join(word for word in then_started if word not in now_started) or "nothing"
        new = " ".join(word for word in now_started if word not in then_started) or "nothing"
        raise UsageError(
            f"the sweep {unfinished.sweep_id} began on {before['profile']} started in another way ({gone} in place of {new}): "
            "start it as it was, or begin a new sweep without --resume"
        )


def _command(server: ServerDocument) -> list[str] | None:
    """How the server was started; None where loadgen did not."""
    launch = server.get("launch")
    if launch is None:
        return None
    return [*launch["argv"], *(f"{name}={value}" for name, value in launch["environment"].items())]


def _described(server: ServerDocument) -> str:
    version = f" {server['version']}" if server["version"] else ""
    return f"{server['name']}{version} ({server['dialect']} dialect)"


def keep_search(write: Callable[[SearchDocument], None], search: Search | None, *, running: bool = False) -> None:
    """Have `write` store what the search has found so far, so that a killed one keeps what it knew before its last run."""
    if search is not None and (search.made or search.trouble is not None):
        write(search.to_json(running=running))


def close(store: Store, sweep_id: str, status: SweepStatus) -> None:
    """Record how a sweep ended that was cut short, if the store takes it."""
    with suppress(StoreError):  # the failure that brought us here is the one to tell
        store.set_sweep_status(sweep_id, status)
