"""A group: the same sweep over several variants of a server, each started for it; one stored sweep a variant.

One variant that fails does not cost the others; whatever goes wrong, the
runs that ended are in the store, and no server is left.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from loadgen.errors import EngineError, ExitCode, Interrupted, LoadgenError, StoreError, UsageError
from loadgen.experiments import sweep_record
from loadgen.experiments.events import Event, GroupPart, GroupStarted, OnEvent, PartStarted
from loadgen.experiments.group_state import GroupState
from loadgen.experiments.interrupts import Stop
from loadgen.experiments.preparation import find_accuracy
from loadgen.experiments.sweep import SweepResult, run_sweep
from loadgen.experiments.sweep_request import KeptServer, PlannedSweep
from loadgen.load.spec import RunSpec, canonical_hash
from loadgen.servers.launcher.failure import StartFailure
from loadgen.servers.launcher.state import running_server
from loadgen.servers.launcher.variant import Variant
from loadgen.spec.runs import resolve
from loadgen.store.claim import claimed
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow

_STOPS = (Interrupted, StoreError, EngineError)  # failures that would meet the next variant too


@dataclass(frozen=True, slots=True)
class Failed:
    """What kept a variant from its last run."""

    label: str
    error: LoadgenError


@dataclass(frozen=True, slots=True)
class GroupResult:
    """The result of a group. `failures` are those of single variants, `stopped_by` is what ended the whole group."""

    group_id: str
    sweeps: tuple[SweepResult, ...]
    failures: tuple[Failed, ...]
    stopped_by: LoadgenError | None

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command. A server that is too large for its memory is a result, unless nothing was measured at all."""
        if self.stopped_by is not None:
            return self.stopped_by.exit_code
        for failed in self.failures:
            if not (isinstance(failed.error, StartFailure) and failed.error.kind.is_memory):
                return failed.error.exit_code
        if not any(sweep.documents for sweep in self.sweeps):
            return ExitCode.SERVER_FAILED
        verdicts = {document["verdict"]["status"] for sweep in self.sweeps for document in sweep.documents}
        return ExitCode.INVALID_RUN if "invalid" in verdicts else ExitCode.OK


Start = tuple[int, frozenset[int] | None]
"""A start of a server: the position of its sweep, and which of its repeats it is for (None: all)."""


def run_group(
    sweeps: Sequence[PlannedSweep],
    store: Store,
    *,
    environ: Mapping[str, str],
    stop: Stop,
    on_event: OnEvent,
    interleave: bool = False,
    resume: bool = False,
    wanted: Callable[[int, RunSpec], bool] | None = None,
) -> GroupResult:
    """Measure each sweep on its own server: all of it in one start, or with `interleave` one repeat of each in turn.

    Sweeps on the same variant that follow each other share one start. With `resume`, the newest group of the same sweeps is
    continued, and only the servers that it still needs are started. `wanted` tells which runs of a position to measure now;
    None: all.
    Raises UsageError while a server is running, next to which none of these could be started.
    """
    hashes = [sweep_record.sweep_hash(resolve(sweep.spec), _variant(sweep)) for sweep in sweeps]
    group_hash = canonical_hash([*hashes, interleave])
    found = _newest_group(store, group_hash) if resume else None
    _check_no_server(store, hashes, found)
    starts = [start for start in _starts(sweeps, interleave) if _is_due(sweeps[start[0]], start[0], wanted)]
    # Whether each can be started and evaluated here, before the first one takes its hours.
    for at in sorted({at for at, _ in starts}):
        _variant(sweeps[at]).launch()
        find_accuracy(sweeps[at].spec, _variant(sweeps[at]), environ)
    on_record = {} if found is None else {row.spec_hash: row for row in store.group(found)}
    parts = _parts(sweeps, starts, wanted, _ended(store, on_record, sweeps, hashes))
    group = _Group(
        group_id=found or sweep_record.new_id("g"),
        hash=group_hash,
        sweeps=sweeps,
        starts=starts,
        interleave=interleave,
        resume=resume,
        wanted=wanted,
        state=GroupState(parts),
        failures=_lacked_memory(on_record, sweeps, hashes),
    )
    on_event = _also_to(group.state, on_event)
    on_event(GroupStarted(group.group_id, found is not None, parts))
    return group.measure(store, environ=environ, stop=stop, on_event=on_event)


@dataclass(frozen=True, slots=True)
class _Group:
    """A group while it is measured. `results` and `failures` are by position."""

    group_id: str
    hash: str
    sweeps: Sequence[PlannedSweep]
    starts: Sequence[Start]
    interleave: bool
    resume: bool
    wanted: Callable[[int, RunSpec], bool] | None
    state: GroupState
    failures: dict[int, LoadgenError]
    results: dict[int, SweepResult] = field(default_factory=dict)

    def measure(self, store: Store, *, environ: Mapping[str, str], stop: Stop, on_event: OnEvent) -> GroupResult:
        """Carry out the starts in order, those of servers that failed left out."""
        with _Claims(store) as claims, KeptServer() as kept:
            for place, (at, repeats) in enumerate(self.starts):
                if at in self.failures:
                    continue
                on_event(PartStarted(place))
                again = sweep_record.Resume() if self.resume or at in self.results else None
                member = self._member(at, repeats, claims.hold)
                failure: LoadgenError | None
                try:
                    self.results[at] = run_sweep(
                        self._sweep(at, kept),
                        store,
                        environ=environ,
                        stop=stop,
                        on_event=on_event,
                        resume=again,
                        member=member,
                    )
                    failure = self.results[at].failure
                except LoadgenError as error:
                    failure = error
                except KeyboardInterrupt:
                    failure = _interrupted(self.sweeps[at])
                if isinstance(failure, _STOPS):
                    return self._result(failure)
                self._note(failure, at)
                if failure is not None or not self._shares(place, place + 1):
                    kept.stop()
        return self._result(None)

    def _member(self, at: int, repeats: frozenset[int] | None, hold: Callable[[str], None]) -> sweep_record.GroupMember:
        terms = sweep_record.GroupTerms(
            hash=self.hash, position=at, variants=len(self.sweeps), interleave=self.interleave
        )
        wanted = None if self.wanted is None else partial(self.wanted, at)
        before = next((result.sweep_id for result in reversed(self.results.values())), None)
        return sweep_record.GroupMember(
            self.group_id, terms, hold=hold, repeats=repeats, wanted=wanted, state=self.state, before=before
        )

    def _sweep(self, at: int, kept: KeptServer) -> PlannedSweep:
        """The sweep at a position, on a server that is there for the next one too where several run on its variant."""
        return self.sweeps[at] if len(self._alike(at)) == 1 else replace(self.sweeps[at], kept=kept)

    def _shares(self, place: int, other: int) -> bool:
        """Whether two starts are of one variant, so that one server serves both."""
        return other < len(self.starts) and self.starts[other][0] in self._alike(self.starts[place][0])

    def _note(self, failure: LoadgenError | None, at: int) -> None:
        """Take note of a failure, which the same variant would meet again if its server did not start."""
        if failure is not None:
            met = self._alike(at) if isinstance(failure, StartFailure) else {at}
            self.failures.update(dict.fromkeys(met, failure))

    def _result(self, stopped_by: LoadgenError | None) -> GroupResult:
        failed = {_variant(self.sweeps[at]).label: error for at, error in self.failures.items()}
        failures = tuple(Failed(label, error) for label, error in failed.items())
        return GroupResult(self.group_id, tuple(self.results.values()), failures=failures, stopped_by=stopped_by)

    def _alike(self, at: int) -> set[int]:
        return {other for other, _ in self.starts if _is_alike(self.sweeps[other], self.sweeps[at])}


def _is_due(sweep: PlannedSweep, at: int, wanted: Callable[[int, RunSpec], bool] | None) -> bool:
    """Whether a run of the sweep is to be measured."""
    return wanted is None or any(wanted(at, run) for run in resolve(sweep.spec))


def _check_no_server(store: Store, hashes: Sequence[str], group_id: str | None) -> None:
    """Raise UsageError while a server is running, unless all sweeps of the group on record are finished."""
    running = running_server()
    if running is not None and not (group_id and all(store.finished(each, group_id) for each in hashes)):
        raise UsageError(
            f"{running.profile} is running at {running.url}, and each server of a group is started anew: "
            "end it first with `loadgen serve down`"
        )


def _starts(sweeps: Sequence[PlannedSweep], interleave: bool) -> Iterator[Start]:
    """The starts of servers in order: of which sweep, and for which of its repeats (None: all)."""
    if not interleave:
        yield from ((at, None) for at in range(len(sweeps)))
        return
    for repeat in range(max(sweep.spec.repeats for sweep in sweeps)):
        yield from ((at, frozenset({repeat})) for at, sweep in enumerate(sweeps) if repeat < sweep.spec.repeats)


def _parts(
    sweeps: Sequence[PlannedSweep],
    starts: Sequence[Start],
    wanted: Callable[[int, RunSpec], bool] | None,
    ended: Sequence[Collection[str]],
) -> tuple[GroupPart, ...]:
    """What each start is to measure: its runs without those that have ended."""
    parts: list[GroupPart] = []
    for place, (at, repeats) in enumerate(starts):
        sweep = sweeps[at]
        shares = place > 0 and starts[place - 1][0] != at and _is_alike(sweep, sweeps[starts[place - 1][0]])
        last = parts[-1] if parts else None
        server, load = (1, 1) if last is None else (last.server, last.load + 1) if shares else (last.server + 1, 1)
        runs = [
            run
            for run in resolve(sweep.spec)
            if (repeats is None or run.seed - sweep.spec.seed in repeats) and (wanted is None or wanted(at, run))
        ]
        left = tuple(run for run in runs if run.hash not in ended[at])
        parts.append(GroupPart(_variant(sweep).label, server, load, left, ended=len(runs) - len(left)))
    return tuple(parts)


def _ended(
    store: Store, on_record: Mapping[str, SweepRow], sweeps: Sequence[PlannedSweep], hashes: Sequence[str]
) -> list[frozenset[str]]:
    """The hashes of the runs that the sweeps on record have, for each of `sweeps`; of a finished one, all."""
    found = []
    for sweep, spec_hash in zip(sweeps, hashes, strict=True):
        row = on_record.get(spec_hash)
        if row is not None and row.status == "finished":
            found.append(frozenset(run.hash for run in resolve(sweep.spec)))
        else:
            found.append(frozenset(sweep_record.ended_runs(store, row)))
    return found


def _lacked_memory(
    on_record: Mapping[str, SweepRow], sweeps: Sequence[PlannedSweep], hashes: Sequence[str]
) -> dict[int, LoadgenError]:
    """The failures of sweeps that were not tried, on servers that lacked memory for another sweep of this group."""
    tried = [(sweep, on_record[each]) for sweep, each in zip(sweeps, hashes, strict=True) if each in on_record]
    lacking = [(sweep, sweep_record.recorded_failure(row)) for sweep, row in tried if row.status == "finished"]
    return {
        at: failure
        for at, sweep in enumerate(sweeps)
        if hashes[at] not in on_record
        for other, failure in lacking
        if failure is not None and failure.kind.is_memory and _is_alike(sweep, other)
    }


def _also_to(state: GroupState, on_event: OnEvent) -> OnEvent:
    def take(event: Event) -> None:
        state.take(event)
        on_event(event)

    return take


def _is_alike(sweep: PlannedSweep, other: PlannedSweep) -> bool:
    """Whether both run on the same variant, so that one start serves both."""
    return _variant(sweep).identity == _variant(other).identity


def _variant(sweep: PlannedSweep) -> Variant:
    assert sweep.variant is not None, "a sweep of a group runs on a profile"
    return sweep.variant


def _interrupted(sweep: PlannedSweep) -> Interrupted:
    return Interrupted(
        f"interrupted while the server of {_variant(sweep).label} was starting or ending; what ended is saved: "
        "repeat the command with --resume to go on"
    )


def _newest_group(store: Store, group_hash: str) -> str | None:
    ours = (sweep for sweep in store.sweeps() if sweep.imported is None)
    return next((sweep.group_id for sweep in ours if sweep.spec.get("group", {}).get("hash") == group_hash), None)


class _Claims(ExitStack):
    """Holds the sweeps of a group, also while their servers are down; those that are not done at the end are interrupted."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._held: list[str] = []

    def hold(self, sweep_id: str) -> None:
        """Claim a sweep, once. Raises UsageError when another process holds it."""
        if sweep_id not in self._held:
            self.enter_context(claimed(sweep_id))
            self._held.append(sweep_id)
            self.callback(self._leave, sweep_id)

    def _leave(self, sweep_id: str) -> None:
        with suppress(StoreError):
            if self._store.sweep(sweep_id).status == "running":
                sweep_record.close(self._store, sweep_id, "interrupted")
