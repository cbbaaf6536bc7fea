"""A sweep: one server, every run of a grid, each saved as it ends.

Imports load, engine, servers, store and errors. Whatever goes wrong, the runs that ended are in the store.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadgen.engine.record import Outcome
from loadgen.engine.tokenizer import Tokenizer
from loadgen.engine.workers import Workers
from loadgen.errors import EngineError, ExitCode, Interrupted, LoadgenError, ServerError, StoreError, UsageError
from loadgen.experiments.doctor import attached, host_hash
from loadgen.experiments.events import NothingToResume, OnEvent, RunEnded, SweepStarted, WayChosen
from loadgen.experiments.ids import new_id
from loadgen.experiments.limits import check_limits
from loadgen.experiments.run import Bench, measure
from loadgen.experiments.search import Search
from loadgen.experiments.size import longest
from loadgen.experiments.spec import SweepSpec, grid_hash, read_dataset_of, resolve
from loadgen.experiments.stop import Stop
from loadgen.load.spec import RunSpec, canonical_hash
from loadgen.load.trace import read_trace
from loadgen.servers.counting import enquire
from loadgen.servers.endpoint import EndpointFacts, check_lengths, is_alive, probe
from loadgen.servers.environment import environment
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.store.claim import claimed
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow, SweepStatus

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
    documents: tuple[dict[str, Any], ...]
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
) -> SweepResult:
    """Measure every run of `spec` that is not on record yet, in order; with a `search`, between the two loads of `spec`, the runs that it chooses.

    With `resume`, a grid that has no unfinished sweep and a finished one sends nothing: the result is the finished sweep's.
    What stops it before the first run is raised (UsageError, ServerError, StoreError); what stops it later is told by the
    result's `failure`, next to the runs that ended.
    """
    headers = spec.secret_headers(environ)
    runs = resolve(spec)
    if spec.tokenizer is not None:
        Tokenizer(spec.tokenizer)  # whether there is one, before anything is sent
    dataset = read_dataset_of(spec)
    trace = None if spec.trace is None else read_trace(Path(spec.trace))
    spec_hash = grid_hash(runs) if search is None else canonical_hash([grid_hash(runs), search.terms.to_json()])
    planned_runs = len(runs) if search is None else search.terms.max_runs
    chosen = _in_order(runs) if search is None else search.runs()
    unfinished = store.resumable(spec_hash) if resume else None
    if resume and unfinished is None and (finished := store.finished(spec_hash)) is not None:
        on_event(NothingToResume(finished.sweep_id))
        documents = store.runs(finished.sweep_id)
        if search is not None:  # which learns anew what it found then
            by_hash = {each["spec"]["hash"]: each for each in documents}
            _follow(chosen, lambda run, position: by_hash[run.hash])
        return SweepResult(finished.sweep_id, finished.planned_runs, tuple(documents), failure=None)
    with _server(spec) as url, ExitStack() as stack:
        route = spec.route_to(url, environ)
        on_event(WayChosen(url, None if route.proxy is None else route.proxy.name, route.insecure))
        facts = probe(url, spec.model, headers, route=route)
        for run in runs:
            input_tokens, output_tokens = longest(run) if trace is None else trace.longest(run.requests or len(trace))
            if dataset is not None:
                output_tokens = max(output_tokens, dataset.longest_output_tokens)
            check_lengths(facts, input_tokens, output_tokens)
        check_limits(facts, runs, route)
        told = enquire(facts, spec.model, spec.endpoint, headers, min(60.0, spec.request_timeout_s), route)
        facts = replace(facts, chunk_counts=told.chunk_counts, template_tokens=told.template_tokens)
        sweep_id = new_id("s") if unfinished is None else unfinished.sweep_id
        stack.enter_context(claimed(sweep_id))
        ended: dict[str, dict[str, Any]] = {}
        if unfinished is None:
            terms = {} if search is None else {"search": search.terms.to_json()}
            _begin(sweep_id, spec, terms, spec_hash, planned_runs, facts, store)
        else:
            _check_same_server(unfinished, facts)
            ended = {each["spec"]["hash"]: each for each in store.runs(sweep_id) if has_ended(each)}
            store.set_sweep_status(sweep_id, "running")
        on_event(
            SweepStarted(
                sweep_id,
                unfinished is not None,
                facts.to_json(spec.model),
                tuple(runs),
                kept=len(ended),
                most_runs=None if search is None else planned_runs,
            )
        )
        failure: LoadgenError | None = None
        try:
            with Workers() as workers:
                stop.attach(workers)
                try:
                    doctor = attached(store.doctor_result(host_hash()))
                    bench = Bench(
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
                    )

                    def document_of(run: RunSpec, position: int) -> dict[str, Any]:
                        if run.hash in ended:
                            return ended[run.hash]
                        return _one(bench, store, run, position, planned_runs, repeat=run.seed - spec.seed)

                    planned_runs = _follow(chosen, document_of)
                finally:
                    stop.attach(None)
        except LoadgenError as error:
            failure = error
        except BaseException as error:
            _close(store, sweep_id, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        match failure:
            case None:
                store.set_sweep_status(sweep_id, "finished", planned_runs)
            case Interrupted():
                _close(store, sweep_id, "interrupted")
            case _:
                _close(store, sweep_id, "failed")
    return SweepResult(sweep_id, planned_runs, tuple(store.runs(sweep_id)), failure)


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


def has_ended(document: dict[str, Any]) -> bool:
    """Whether a stored run is a full measurement, which `--resume` keeps: not cut short by the user or the server's death."""
    return not document["interrupted"] and not document["server_died"]


def _one(bench: Bench, store: Store, run: RunSpec, position: int, planned: int, repeat: int) -> dict[str, Any]:
    started_ns = time.monotonic_ns()
    try:
        measured = measure(bench, run, position, repeat)
        document = measured.document | {"server_died": _server_died(bench, measured.document)}
        store.add_run(bench.sweep_id, document, measured.records, measured.samples, measured.gpus)
    finally:
        bench.stop.keeping = False
    bench.on_event(RunEnded(position, run, document, (time.monotonic_ns() - started_ns) / 1e9))
    if document["server_died"]:
        raise ServerError(
            f"the server at {bench.facts.base_url} died during run {position} of {planned} ({run.load_label}); "
            f"every run that ended is saved: start the server again and repeat the command with --resume"
        )
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


def _server_died(bench: Bench, document: dict[str, Any]) -> bool:
    broken = sum(document["outcomes"][outcome.label] for outcome in (Outcome.CONNECT_ERROR, Outcome.TRUNCATED))
    return broken > 0 and not is_alive(bench.facts.base_url, bench.headers, route=bench.route)


@contextmanager
def _server(spec: SweepSpec) -> Iterator[str]:
    """The base URL to measure; the embedded simulator lives as long as the sweep does."""
    if not spec.is_simulated:
        yield spec.url
        return
    with SimulatorProcess(_simulated(spec.model)) as simulator:
        yield simulator.url


def _check_same_server(unfinished: SweepRow, facts: EndpointFacts) -> None:
    """Runs of one sweep are compared with each other, so all of them are of one server. Raises UsageError."""
    before, now = unfinished.server, facts.to_json(unfinished.server["model"])
    if all(before[key] == now[key] for key in ("name", "version", "dialect")):
        return
    raise UsageError(
        f"the sweep {unfinished.sweep_id} began on {_described(before)}, and {facts.base_url} is now {_described(now)}: "
        "start the server that it began on, or begin a new sweep without --resume"
    )


def _described(server: dict[str, Any]) -> str:
    version = f" {server['version']}" if server["version"] else ""
    return f"{server['name']}{version} ({server['dialect']} dialect)"


def _begin(
    sweep_id: str,
    spec: SweepSpec,
    search_terms: dict[str, Any],
    spec_hash: str,
    planned_runs: int,
    facts: EndpointFacts,
    store: Store,
) -> None:
    """Put a new sweep on record."""
    store.add_sweep(
        SweepRow(
            sweep_id=sweep_id,
            name=spec.name or f"{spec.model} on {facts.name}",
            spec=spec.to_json() | search_terms,
            spec_hash=spec_hash,
            planned_runs=planned_runs,
            status="running",
            simulated=facts.simulated,
            created_at=datetime.now(UTC).isoformat(),
            environment=environment(),
            server=facts.to_json(spec.model),
        )
    )


def _close(store: Store, sweep_id: str, status: SweepStatus) -> None:
    with suppress(StoreError):  # the failure that brought us here is the one to tell
        store.set_sweep_status(sweep_id, status)
