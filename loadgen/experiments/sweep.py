"""A sweep: one server, every run of a grid, each saved as it ends.

Whatever goes wrong, the runs that ended are in the store.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from loadgen.doctor.doctor import attached, host_hash
from loadgen.engine.capture.tokenizer import Tokenizer
from loadgen.engine.records.record import Outcome
from loadgen.engine.workers import Workers
from loadgen.errors import EngineError, ExitCode, Interrupted, LoadgenError, ServerError, StoreError
from loadgen.experiments.context import SweepContext, server_document
from loadgen.experiments.estimate import short_places
from loadgen.experiments.events import (
    FilesRead,
    NothingToResume,
    OnEvent,
    PhaseStarted,
    RoomIsShort,
    RunEnded,
    ServerNotStarted,
    SweepStarted,
    WayChosen,
)
from loadgen.experiments.live import on_record
from loadgen.experiments.prompt_fitting import length_fit_of
from loadgen.experiments.run import measure
from loadgen.experiments.saving import Keeper, save_within_s
from loadgen.experiments.search import Search
from loadgen.experiments.server_checks import ask_first, check_limits, with_model
from loadgen.experiments.serving import Serving, death_of
from loadgen.experiments.stop import Stop
from loadgen.experiments.sweep_record import (
    Entry,
    GroupMember,
    check_same_server,
    close,
    ended_runs,
    keep_search,
    new_id,
    recorded_failure,
    sweep_hash,
)
from loadgen.load.spec import RunSpec
from loadgen.load.trace import read_trace
from loadgen.servers.endpoint import check_lengths, is_alive, probe
from loadgen.servers.launcher.failure import StartFailure
from loadgen.servers.launcher.running import RunningServer
from loadgen.servers.server_url import parse_url
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.spec.runs import read_dataset_of, resolve
from loadgen.spec.size import longest
from loadgen.spec.sweep_spec import SweepSpec
from loadgen.store.claim import claimed
from loadgen.store.repository import Store

Chosen = Generator[RunSpec, dict[str, Any], None]  # yields a run, is sent its document


# What the embedded simulator imitates: prefill that grows with the prompt, and steps that grow with the batch, so that
# throughput saturates and latency rises as on a real server.
def _simulated(model: str) -> SimulatorOptions:
    return SimulatorOptions(
        model=model,
        ttft_s=0.030,
        gap_s=0.008,
        ttft_per_prompt_token_s=0.0001,
        ttft_per_running_s=0.001,
        gap_per_running_s=0.00025,
        jitter_ratio=0.1,
    )


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What became of a sweep. `failure` is what ended it early, None when every planned run ended."""

    sweep_id: str
    planned_runs: int
    documents: tuple[Any, ...]
    failure: LoadgenError | None

    @property
    def exit_code(self) -> ExitCode:
        """What the shell is told."""
        if self.failure is not None:
            return self.failure.exit_code
        invalid = any(document["verdict"]["status"] == "invalid" for document in self.documents)
        return ExitCode.INVALID_RUN if invalid else ExitCode.OK


def run_sweep(
    spec: SweepSpec,
    store: Store,
    environ: Mapping[str, str],
    stop: Stop,
    on_event: OnEvent,
    *,
    resume: bool = False,
    search: Search | None = None,
    serving: Serving | None = None,
    turn: GroupMember | None = None,
    goes_on_with: str | None = None,
    addresses: tuple[str, ...] = (),
) -> SweepResult:
    """Measure every run of `spec` that is not on record yet, in order; with a `search`, between the two loads of `spec`, the runs that it chooses.

    With `serving`, on a server that loadgen starts; one that does not start is a sweep without runs, and the result's `failure`.
    With `turn` it is one of a group. With `addresses` the server is reached there and nowhere else (see `Route`).

    With `resume`, a grid that has no unfinished sweep and a finished one sends nothing: the result is the finished sweep's.
    `goes_on_with` is the id of the sweep to resume, where it must be that one and no other of the same grid.
    What stops it before the first run is raised (UsageError, ServerError, StoreError); what stops it later is told by the
    result's `failure`, next to the runs that ended.
    """
    headers, within_s = spec.secret_headers(environ), save_within_s(environ)
    if not spec.is_simulated and serving is None:
        spec = with_model(spec, environ, addresses)
        if search is not None:
            search.ask(spec)
    dataset = read_dataset_of(spec)
    runs = resolve(spec, dataset)
    if spec.tokenizer is not None:
        Tokenizer(spec.tokenizer)  # whether there is one, before anything is sent
    if notes := runs[0].file_notes:
        on_event(FilesRead(notes))
    for short in short_places(runs, store.path):
        on_event(RoomIsShort(*short))
    trace = None if spec.trace is None else read_trace(Path(spec.trace))
    variant = None if serving is None else serving.variant
    group_id = None if turn is None else turn.group_id
    spec_hash = sweep_hash(runs, variant, search)
    planned_runs = len(runs) if search is None else search.terms.max_runs
    chosen = _in_order(runs) if search is None else search.runs()
    unfinished = store.resumable(spec_hash, group_id, goes_on_with) if resume else None
    if resume and unfinished is None and (finished := store.finished(spec_hash, group_id, goes_on_with)) is not None:
        on_event(NothingToResume(finished.sweep_id))
        documents = store.runs(finished.sweep_id)
        if search is not None:  # which learns anew what it found then
            by_hash = {each["spec"]["hash"]: each for each in documents}
            _follow(chosen, lambda run, position: by_hash[run.hash])
        return SweepResult(finished.sweep_id, finished.planned_runs, tuple(documents), recorded_failure(finished))
    if unfinished is not None and turn is not None:
        ended = ended_runs(store, unfinished)
        if all(run.hash in ended for run in runs if turn.has(run, spec)):  # its server is not needed
            return SweepResult(unfinished.sweep_id, planned_runs, tuple(ended.values()), failure=None)
    terms = {} if search is None else {"search": search.terms.to_json()}
    entry = Entry(spec, terms, spec_hash, planned_runs, variant, turn)
    with ExitStack() as stack:
        on_event = stack.enter_context(on_record(store, on_event, None if unfinished is None else unfinished.sweep_id))
        try:
            url, launched = stack.enter_context(_server(spec, serving, on_event))
        except StartFailure as failure:
            if unfinished is not None or serving is None:
                raise
            sweep_id = entry.not_started(store, serving.variant.launch(), failure)
            on_event(ServerNotStarted(serving.variant.label, sweep_id, failure))
            return SweepResult(sweep_id, planned_runs, (), failure)
        route = spec.route_to(url, environ, addresses)
        url = parse_url(url).base
        on_event(WayChosen(url, None if route.proxy is None else route.proxy.name, route.insecure))
        facts = probe(url, spec.model, headers, route=route, endpoint=spec.endpoint)
        for run in runs:
            input_tokens, output_tokens = longest(run) if trace is None else trace.longest(run.requests or len(trace))
            if dataset is not None:
                output_tokens = max(output_tokens, dataset.longest_output_tokens)
            check_lengths(facts, input_tokens, output_tokens)
        check_limits(facts, runs, route)
        facts = ask_first(facts, spec, headers, route, on_event)
        length_fit = length_fit_of(facts, runs, headers, route)
        server = server_document(facts, spec.model, launched)
        sweep_id = new_id("s") if unfinished is None else unfinished.sweep_id
        if turn is None:
            stack.enter_context(claimed(sweep_id))
        else:
            turn.hold(sweep_id)
        ended = ended_runs(store, unfinished)
        if unfinished is None:
            entry.begin(store, sweep_id, server)
        else:
            check_same_server(unfinished, server)
            store.set_sweep_status(sweep_id, "running")
        keeper = Keeper(store, store.sweep(sweep_id), stop, on_event, within_s)
        on_event(
            SweepStarted(
                sweep_id,
                unfinished is not None,
                server,
                tuple(runs),
                kept=len(ended),
                most_runs=None if search is None else planned_runs,
                needed_ratio=None if search is None else search.terms.goodput_ratio,
            )
        )
        cut_short: LoadgenError | None = None
        waiting: list[RunSpec] = []  # for a later turn
        try:
            with Workers() as workers:
                stop.attach(workers)
                try:
                    doctor = attached(store.doctor_result(host_hash()))
                    bench = SweepContext(
                        sweep_id,
                        facts,
                        headers,
                        workers,
                        stop,
                        on_event,
                        dataset,
                        doctor,
                        trace,
                        route,
                        spec.price_list,
                        launched,
                        length_fit,
                        spec.keep_replies,
                    )

                    def document_of(run: RunSpec, position: int) -> dict[str, Any]:
                        keep_search(keeper.set_search, search, running=True)
                        if run.hash in ended:
                            return ended[run.hash]
                        if turn is not None and not turn.has(run, spec):
                            waiting.append(run)
                            return {}
                        return _one(bench, keeper, run, position, planned_runs, repeat=run.seed - spec.seed)

                    planned_runs = _follow(chosen, document_of)
                    keep_search(keeper.set_search, search)
                finally:
                    stop.attach(None)
        except LoadgenError as error:
            cut_short = error
            with suppress(StoreError):  # the failure that ended the sweep is the one to report
                keep_search(partial(store.set_search, sweep_id), search)
        except BaseException as error:
            close(store, sweep_id, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        match cut_short:
            case None if waiting:
                pass
            case None:
                try:
                    keeper.set_status("finished", planned_runs)
                except StoreError as error:
                    cut_short = error
            case Interrupted():
                close(store, sweep_id, "interrupted")
            case _:
                close(store, sweep_id, "failed")
    return SweepResult(sweep_id, planned_runs, keeper.results(), cut_short)


def _in_order(runs: list[RunSpec]) -> Chosen:
    for run in runs:  # noqa: UP028 (`yield from` would hand the documents on to the list)
        yield run


def _follow(chosen: Chosen, document_of: Callable[[RunSpec, int], dict[str, Any]]) -> int:
    """Ask for each chosen run's document, by its position from 1, and hand it to the choice of the next. Answers how many."""
    position = 0
    try:
        run = next(chosen)
        while True:
            position += 1
            run = chosen.send(document_of(run, position))
    except StopIteration:
        return position


def _one(bench: SweepContext, keeper: Keeper, run: RunSpec, position: int, planned: int, repeat: int) -> dict[str, Any]:
    started_ns = time.monotonic_ns()
    try:
        try:
            measured = measure(bench, run, position, repeat)
        except ServerError as error:
            if is_alive(bench.facts.base_url, bench.headers, route=bench.route):
                raise
            raise _death(bench, run, position, planned) from error
        bench.on_event(PhaseStarted(position, run, "saving"))
        document = measured.document | {"server_died": _server_died(bench, measured.document)}
        document = keeper.keep(replace(measured, document=document), position, planned)
    finally:
        bench.stop.keeping = False
    bench.on_event(RunEnded(position, run, document, (time.monotonic_ns() - started_ns) / 1e9))
    if document["server_died"]:
        raise _death(bench, run, position, planned)
    if measured.failure is not None:
        raise EngineError(
            f"run {position} of {planned} was cut short: {measured.failure}; what it had measured is saved"
        )
    if measured.refusal is not None:
        raise ServerError(
            f"run {position} of {planned} was cut short: {measured.refusal}; what it had measured is saved"
        )
    if bench.stop.requested:
        raise Interrupted(
            f"interrupted in run {position} of {planned}; what ended is saved: repeat the command with --resume to go on"
        )
    return document


def _server_died(bench: SweepContext, document: dict[str, Any]) -> bool:
    broken = sum(document["outcomes"][outcome.label] for outcome in (Outcome.CONNECT_ERROR, Outcome.TRUNCATED))
    return broken > 0 and not is_alive(bench.facts.base_url, bench.headers, route=bench.route)


def _death(bench: SweepContext, run: RunSpec, position: int, planned: int) -> ServerError:
    """What is known of the server's end, and how to go on."""
    launched = bench.launched
    ended = None if launched is None else death_of(launched)
    what = f"the server at {bench.facts.base_url} died"
    if launched is not None and ended is not None:
        what = f"{launched.profile} {ended.sentence}"
    next_step = "start the server again and repeat the command with --resume"
    if launched is not None and launched.log is not None:
        next_step = f"repeat the command with --resume, which starts it again; its log: {launched.log}"
    return ServerError(
        f"{what} during run {position} of {planned} ({run.load_label}); every run that ended is saved: {next_step}"
    )


@contextmanager
def _server(spec: SweepSpec, serving: Serving | None, on_event: OnEvent) -> Iterator[tuple[str, RunningServer | None]]:
    """The URL to measure, and what loadgen has started there. The embedded simulator lives as long as the sweep does."""
    if serving is not None:
        with serving.server(on_event) as launched:
            yield launched.url, launched
    elif spec.is_simulated:
        with SimulatorProcess(_simulated(spec.model)) as simulator:
            yield simulator.url, None
    else:
        yield spec.url, None
