"""A sweep: one server, every run of a grid or a search, each saved as it ends.

`run_sweep` prepares the runs, looks for the sweep on record, starts and examines the server, puts the sweep on record,
measures the runs that are left and closes the record. Whatever goes wrong, the runs that ended are in the store.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial

from loadgen.analysis.document.run import RunDocument
from loadgen.doctor.doctor import attached, host_hash
from loadgen.engine.records.record import Outcome
from loadgen.engine.workers import Workers
from loadgen.errors import EngineError, ExitCode, Interrupted, LoadgenError, ServerError, StoreError
from loadgen.experiments import events, server_evaluation, sweep_record
from loadgen.experiments.estimate import disks_too_small
from loadgen.experiments.events import OnEvent
from loadgen.experiments.interrupts import Stop
from loadgen.experiments.live import on_record
from loadgen.experiments.preparation import ExaminedServer, PreparedSweep, examine_server, prepare, server_of
from loadgen.experiments.run import Sender, measure
from loadgen.experiments.run_document import MeasuredRun, SweepContext
from loadgen.experiments.saving import Keeper
from loadgen.experiments.search import Search
from loadgen.experiments.sweep_request import PlannedSweep
from loadgen.load.spec import RunSpec
from loadgen.servers.endpoint import is_alive
from loadgen.servers.launcher.failure import StartFailure
from loadgen.servers.launcher.state import Ended, ServerState, read_state, state_folder
from loadgen.servers.launcher.variant import Variant
from loadgen.store.claim import claimed
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow

# A supervisor notes the death of its server at once, and then clears up what is left of it.
_DEATH_NOTICED_WITHIN_S, _POLL_S = 3.0, 0.05


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The result of a sweep. `failure` is what ended it early, None when every planned run ended."""

    sweep_id: str
    planned_runs: int
    documents: tuple[RunDocument, ...]
    failure: LoadgenError | None

    @property
    def exit_code(self) -> ExitCode:
        if self.failure is not None:
            return self.failure.exit_code
        invalid = any(document["verdict"]["status"] == "invalid" for document in self.documents)
        return ExitCode.INVALID_RUN if invalid else ExitCode.OK


def run_sweep(
    sweep: PlannedSweep,
    store: Store,
    *,
    environ: Mapping[str, str],
    stop: Stop,
    on_event: OnEvent,
    resume: sweep_record.Resume | None = None,
    search: Search | None = None,
    member: sweep_record.GroupMember | None = None,
) -> SweepResult:
    """Measure every run of `sweep` that is not on record yet; with a `search`, the runs that it chooses between the two loads of the spec.

    A server that loadgen is to start and that does not start is a sweep without runs, and the result's `failure`. `member`
    is the sweep's place in a group. With `resume`, runs of an unfinished sweep on record are kept, and of a finished one
    nothing is sent: its result is returned.
    Raises UsageError, ServerError or StoreError for what stops it before the first run; what stops it later is the result's
    `failure`, next to the runs that ended.
    """
    prepared = prepare(sweep, environ, search=search, member=member)
    _report_inputs(prepared, store, on_event)
    unfinished: SweepRow | None = None
    if resume is not None:
        unfinished = store.resumable(prepared.entry.spec_hash, prepared.group_id, resume.sweep_id)
        if unfinished is None:
            result = _finished_before(prepared, store, resume=resume, on_event=on_event)
        else:
            result = _nothing_due(prepared, store, unfinished)
        if result is not None:
            return result
    with ExitStack() as stack:
        before, group = (None, None) if member is None else (member.before, member.state)
        known_id = before if unfinished is None else unfinished.sweep_id
        on_event = stack.enter_context(on_record(store, on_event, known_id, group))
        try:
            url, launched = stack.enter_context(server_of(prepared, on_event))
        except StartFailure as failure:
            if unfinished is not None or sweep.variant is None or sweep.variant.launch().kind == "external":
                raise  # a server that somebody else started is not one that did not start
            return _not_started(prepared, store, failure, variant=sweep.variant, on_event=on_event)
        server = examine_server(prepared, url, environ=environ, on_event=on_event)
        context = _begin(prepared, server, store, launched=launched, unfinished=unfinished, stack=stack)
        ended = sweep_record.ended_runs(store, unfinished)
        row = store.sweep(context.sweep_id)
        keeper = Keeper(store, row, stop=stop, on_event=on_event, within_s=prepared.save_within_s)
        on_event(_started(prepared, context, resumed=unfinished is not None, kept=len(ended)))
        return _measure_runs(prepared, context, store, keeper=keeper, stop=stop, on_event=on_event, ended=ended)


def _report_inputs(prepared: PreparedSweep, store: Store, on_event: OnEvent) -> None:
    """Report what of the files is not used, and disks that may fill up."""
    if notes := prepared.runs[0].file_notes:
        on_event(events.FilesRead(notes))
    for short in disks_too_small(prepared.runs, store.path):
        on_event(short)


def _finished_before(
    prepared: PreparedSweep, store: Store, *, resume: sweep_record.Resume, on_event: OnEvent
) -> SweepResult | None:
    """The result of the sweep on record that has nothing left to do, None if there is none."""
    finished = store.finished(prepared.entry.spec_hash, prepared.group_id, resume.sweep_id)
    if finished is None:
        return None
    on_event(events.NothingToResume(finished.sweep_id))
    documents: list[RunDocument] = store.runs(finished.sweep_id)
    if prepared.search is not None:  # which learns again what it found
        for _, run in prepared.order({each["spec"]["hash"]: each for each in documents}):
            raise StoreError(f"the sweep {finished.sweep_id} lacks the run at {run.load_label}")
    return SweepResult(
        finished.sweep_id, finished.planned_runs, tuple(documents), failure=sweep_record.recorded_failure(finished)
    )


def _nothing_due(prepared: PreparedSweep, store: Store, unfinished: SweepRow) -> SweepResult | None:
    """The result of a member of a group that needs no server now, None if it does."""
    if prepared.member is None:
        return None
    ended = sweep_record.ended_runs(store, unfinished)
    if any(prepared.is_due(run) and run.hash not in ended for run in prepared.runs):
        return None
    if server_evaluation.is_due(prepared, store, unfinished):
        return None
    return SweepResult(unfinished.sweep_id, prepared.entry.planned_runs, tuple(ended.values()), failure=None)


def _not_started(
    prepared: PreparedSweep, store: Store, failure: StartFailure, *, variant: Variant, on_event: OnEvent
) -> SweepResult:
    sweep_id = prepared.entry.not_started(store, variant.launch(), failure)
    on_event(events.ServerNotStarted(variant.label, sweep_id, failure))
    return SweepResult(sweep_id, prepared.entry.planned_runs, (), failure=failure)


def _begin(
    prepared: PreparedSweep,
    server: ExaminedServer,
    store: Store,
    *,
    launched: ServerState | None,
    unfinished: SweepRow | None,
    stack: ExitStack,
) -> SweepContext:
    """Claim the sweep and put it on record, or mark the `unfinished` one as running again.

    Raises UsageError when another process holds it, or when it began on another server.
    """
    spec, member = prepared.spec, prepared.member
    context = SweepContext(
        sweep_id=sweep_record.new_id("s") if unfinished is None else unfinished.sweep_id,
        facts=server.facts,
        headers=prepared.headers,
        route=server.route,
        launched=launched,
        dataset=prepared.dataset,
        trace=prepared.trace,
        length_fit=server.length_fit,
        price=spec.price_list,
        keep_replies=spec.keep_replies,
        expert_counter=server.expert_counter,
    )
    if member is None:
        stack.enter_context(claimed(context.sweep_id))
    else:
        member.hold(context.sweep_id)
    if unfinished is None:
        prepared.entry.begin(store, context.sweep_id, context.server(spec.model))
    else:
        sweep_record.check_same_server(unfinished, context.server(spec.model))
        store.set_sweep_status(context.sweep_id, "running")
    return context


def _started(prepared: PreparedSweep, context: SweepContext, *, resumed: bool, kept: int) -> events.SweepStarted:
    search = prepared.search
    return events.SweepStarted(
        sweep_id=context.sweep_id,
        resumed=resumed,
        server=context.server(prepared.spec.model),
        runs=prepared.runs,
        kept=kept,
        most_runs=None if search is None else prepared.entry.planned_runs,
        needed_ratio=None if search is None else search.terms.goodput_ratio,
    )


def _measure_runs(
    prepared: PreparedSweep,
    context: SweepContext,
    store: Store,
    *,
    keeper: Keeper,
    stop: Stop,
    on_event: OnEvent,
    ended: Mapping[str, RunDocument],
) -> SweepResult:
    """Measure the runs that are left, and record how the sweep ended."""
    order = prepared.order(ended)
    planned_runs = prepared.entry.planned_runs
    failure: LoadgenError | None = None
    try:
        server_evaluation.evaluate_if_due(prepared, context, store, when="before", on_event=on_event)
        with Workers() as workers, stop.attached_to(workers):
            context = replace(context, doctor=attached(store.doctor_result(host_hash())))
            sender = Sender(workers, stop, on_event)
            for position, run in order:
                sweep_record.keep_search(keeper.set_search, prepared.search, running=True)
                order.take(
                    _measure_one(
                        context,
                        sender,
                        run,
                        keeper=keeper,
                        position=position,
                        planned=planned_runs,
                        repeat=run.seed - prepared.spec.seed,
                    )
                )
            planned_runs = order.position
            sweep_record.keep_search(keeper.set_search, prepared.search)
        server_evaluation.evaluate_if_due(prepared, context, store, when="after", on_event=on_event)
    except LoadgenError as error:
        failure = error
        with suppress(StoreError):  # the failure that ended the sweep is the one to report
            sweep_record.keep_search(partial(store.set_search, context.sweep_id), prepared.search)
    except BaseException as error:
        sweep_record.close(store, context.sweep_id, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    match failure:
        case None if order.postponed:
            pass
        case None:
            try:
                keeper.set_status("finished", planned_runs)
            except StoreError as error:
                failure = error
        case Interrupted():
            sweep_record.close(store, context.sweep_id, "interrupted")
        case _:
            sweep_record.close(store, context.sweep_id, "failed")
    return SweepResult(context.sweep_id, planned_runs, keeper.results(), failure=failure)


def _measure_one(
    context: SweepContext, sender: Sender, run: RunSpec, *, keeper: Keeper, position: int, planned: int, repeat: int
) -> RunDocument:
    """Measure `run`, number `position` of `planned`, and save it; return its document as it was stored.

    Raises what keeps the next run from being measured.
    """
    started_ns = time.monotonic_ns()
    which = f"run {position} of {planned}"
    try:
        try:
            measured = measure(context, sender, run, position=position, repeat=repeat)
        except ServerError as error:
            if is_alive(context.facts.base_url, context.headers, route=context.route):
                raise
            raise _death(context, f"{which} ({run.load_label})") from error
        sender.on_event(events.PhaseStarted(position, run, "saving"))
        measured.document["server_died"] = _server_died(context, measured.document)
        document = keeper.keep(measured, position, planned)
    finally:
        sender.stop.keeping = False
    sender.on_event(events.RunEnded(position, run, document, (time.monotonic_ns() - started_ns) / 1e9))
    if document["server_died"]:
        raise _death(context, f"{which} ({run.load_label})")
    _check_whole(measured, which)
    if sender.stop.requested:
        raise Interrupted(f"interrupted in {which}; what ended is saved: repeat the command with --resume to go on")
    return document


def _check_whole(measured: MeasuredRun, which: str) -> None:
    """Raise EngineError or ServerError for a run that was cut short."""
    if measured.failure is not None:
        raise EngineError(f"{which} was cut short: {measured.failure}; what it had measured is saved")
    if measured.refusal is not None:
        raise ServerError(f"{which} was cut short: {measured.refusal}; what it had measured is saved")


def _server_died(context: SweepContext, document: RunDocument) -> bool:
    broken = sum(document["outcomes"][outcome.label] for outcome in (Outcome.CONNECT_ERROR, Outcome.TRUNCATED))
    return broken > 0 and not is_alive(context.facts.base_url, context.headers, route=context.route)


def _death(context: SweepContext, which: str) -> ServerError:
    """What is known of how the server ended, and how to go on; `which` names the run."""
    launched = context.launched
    ended = None if launched is None else _death_of(launched)
    what = f"the server at {context.facts.base_url} died"
    if launched is not None and ended is not None:
        what = f"{launched.profile} {ended.sentence}"
    next_step = "start the server again and repeat the command with --resume"
    if launched is not None and launched.log is not None:
        next_step = f"repeat the command with --resume, which starts it again; its log: {launched.log}"
    return ServerError(f"{what} during {which}; every run that ended is saved: {next_step}")


def _death_of(server: ServerState) -> Ended | None:
    """Return how a server that does not answer any more ended; None if its supervisor did not see it end."""
    deadline_s = time.monotonic() + _DEATH_NOTICED_WITHIN_S
    while True:
        state = read_state(state_folder())
        if state is None or state.started_at != server.started_at:
            return None
        if state.ended is not None or time.monotonic() > deadline_s:
            return state.ended
        time.sleep(_POLL_S)
