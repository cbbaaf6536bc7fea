"""What a sweep needs before its first run: its files, its runs and their order; its server, started or found; what that takes.

A server that a sweep started never outlives it: its supervisor stops it even when this process is killed.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from loadgen.analysis.document.run import RunDocument
from loadgen.engine.capture.tokenizer import Tokenizer
from loadgen.engine.eventloop.host import check_before_start
from loadgen.engine.wire.route import Route
from loadgen.errors import LoadgenError, UsageError
from loadgen.experiments.accuracy.evaluation import TOKENIZER_KEY, PreparedAccuracy, prepare_accuracy
from loadgen.experiments.estimate import workers_for
from loadgen.experiments.events import AskedAgain, OnEvent, RouteChosen, ServerEnding, ServerReady, ServerStarting
from loadgen.experiments.prompt_fitting import length_fit_of
from loadgen.experiments.saving import save_within_s
from loadgen.experiments.search import Search
from loadgen.experiments.sweep_record import GroupMember, SweepEntry, sweep_hash
from loadgen.experiments.sweep_request import PlannedSweep
from loadgen.load.dataset import Dataset
from loadgen.load.length_fit import LengthFit
from loadgen.load.spec import RunSpec
from loadgen.load.trace import Trace, read_trace
from loadgen.servers.asking import ASK_AGAIN_LIMIT_S, RetryPolicy
from loadgen.servers.counting import enquire
from loadgen.servers.endpoint import EndpointFacts, check_lengths, error_text, list_models, probe
from loadgen.servers.expert_counting import ExpertCounter
from loadgen.servers.http_client import Fetched, Headers
from loadgen.servers.launcher.start import start
from loadgen.servers.launcher.state import ServerState, read_state, running_server, state_folder, status_of
from loadgen.servers.launcher.stop import stop
from loadgen.servers.launcher.supervised import Supervised
from loadgen.servers.launcher.variant import Variant
from loadgen.servers.model_list import did_you_mean, names_shown
from loadgen.servers.profiles.plugins import EXPERT_COUNTS
from loadgen.servers.proxies import DEFAULT_PORTS
from loadgen.servers.redaction import redact
from loadgen.servers.server_url import parse_url
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.spec.runs import read_dataset_of, resolve
from loadgen.spec.size import longest
from loadgen.spec.sweep_spec import SweepSpec

_MAX_QUESTION_S = 30.0  # of one question, so that a silent server is asked twice

RunChoice = Generator[RunSpec, RunDocument, None]
"""Yields a run and is sent its document."""


@dataclass(frozen=True, slots=True)
class PreparedSweep:
    """What a sweep needs from here on; `entry` is how it goes on record."""

    sweep: PlannedSweep  # its spec names the model
    entry: SweepEntry
    runs: tuple[RunSpec, ...]  # of a search: those at the two ends
    dataset: Dataset | None
    trace: Trace | None
    headers: Headers
    save_within_s: float
    search: Search | None
    member: GroupMember | None
    accuracy: PreparedAccuracy | None = None

    @property
    def spec(self) -> SweepSpec:
        return self.sweep.spec

    @property
    def group_id(self) -> str | None:
        return None if self.member is None else self.member.group_id

    def is_due(self, run: RunSpec) -> bool:
        """Whether `run` is to be measured by this start of the server."""
        return self.member is None or self.member.has(run, self.spec)

    def order(self, ended: Mapping[str, RunDocument]) -> "RunOrder":
        """The runs to be measured, in order; `ended` has the documents of those that are on record, by their hashes."""
        return RunOrder(in_order(self.runs) if self.search is None else self.search.runs(), ended, self.is_due)

    def longest(self, run: RunSpec) -> tuple[int, int]:
        """The most tokens that a prompt and a reply of `run` may have."""
        if self.trace is not None:
            return self.trace.longest(run.requests or len(self.trace))
        input_tokens, output_tokens = longest(run)
        if self.dataset is not None:
            output_tokens = max(output_tokens, self.dataset.longest_output_tokens)
        return input_tokens, output_tokens


def prepare(
    sweep: PlannedSweep, environ: Mapping[str, str], *, search: Search | None = None, member: GroupMember | None = None
) -> PreparedSweep:
    """Read the files of `sweep` and resolve its runs; its server is asked for its models if no model is named.

    Raises UsageError and ServerError.
    """
    spec = sweep.spec
    headers, within_s = spec.secret_headers(environ), save_within_s(environ)
    if not spec.is_simulated and sweep.variant is None:
        spec = _with_model(spec, environ, sweep.addresses)
        if search is not None:
            search.ask(spec)
    accuracy = find_accuracy(spec, sweep.variant, environ)
    dataset = read_dataset_of(spec)
    runs = resolve(spec, dataset)
    if spec.tokenizer is not None:
        Tokenizer(spec.tokenizer)  # whether there is one, before anything is sent
    entry = SweepEntry(
        spec=spec,
        search_terms=None if search is None else search.terms.to_json(),
        spec_hash=sweep_hash(runs, sweep.variant, search),
        planned_runs=len(runs) if search is None else search.terms.max_runs,
        variant=sweep.variant,
        member=member,
    )
    return PreparedSweep(
        sweep=replace(sweep, spec=spec),
        entry=entry,
        runs=tuple(runs),
        dataset=dataset,
        trace=None if spec.trace is None else read_trace(Path(spec.trace)),
        headers=headers,
        save_within_s=within_s,
        search=search,
        member=member,
        accuracy=accuracy,
    )


def find_accuracy(spec: SweepSpec, variant: Variant | None, environ: Mapping[str, str]) -> PreparedAccuracy | None:
    """Return the evaluation that a sweep asks for, its tasks, tools and tokenizer found; None if it asks for none. Raises UsageError."""
    if spec.accuracy is None:
        return None
    accuracy = prepare_accuracy(spec.accuracy, environ, tokenizer_by=TOKENIZER_KEY)
    profile = None if variant is None else variant.served.profile
    if spec.model or profile is not None:
        source = None if profile is None or profile.launcher == "simulator" else profile.model
        accuracy.tokenizer(spec.model, source)
    return accuracy


def _with_model(spec: SweepSpec, environ: Mapping[str, str], addresses: tuple[str, ...] = ()) -> SweepSpec:
    """Return `spec` with the only model that its server lists, if it names none. Raises UsageError for several models."""
    if spec.model:
        return spec
    route = spec.route_to(spec.url, environ, addresses)
    model = only_model(parse_url(spec.url).base, spec.secret_headers(environ), route)
    return spec.model_copy(update={"model": model})


def only_model(base_url: str, headers: Headers, route: Route) -> str:
    """Return the model that a server lists. Raises UsageError for several."""
    names = list_models(base_url, headers, route=route)
    if len(names) > 1:
        shown = redact(names_shown(names), (*headers, *route.secrets))
        raise UsageError(
            f"--model is missing and {base_url} serves {len(names)} models: {shown}; choose one with --model NAME"
        )
    return names[0]


def in_order(runs: Iterable[RunSpec]) -> RunChoice:
    """Choose each of `runs`, whatever its result."""
    for run in runs:  # noqa: UP028 (`yield from` would send the documents to the iterator)
        yield run


@dataclass(slots=True)
class RunOrder:
    """The runs that are still to be measured, as `(position, run)` from position 1.

    `take` must be called with the document of each before the next one is asked for. A run that is in `ended`, the documents
    by the hash of the spec, keeps its position and is not measured again; so does one that is not due now.
    """

    choice: RunChoice
    ended: Mapping[str, RunDocument]
    is_due: Callable[[RunSpec], bool] = lambda run: True
    position: int = field(default=0, init=False)  # of the last run that was chosen
    postponed: int = field(default=0, init=False)  # runs that were not due
    _document: RunDocument | None = field(default=None, init=False)

    def __iter__(self) -> Iterator[tuple[int, RunSpec]]:
        run = next(self.choice, None)
        while run is not None:
            self.position += 1
            self._document = self.ended.get(run.hash)
            if self._document is None and self.is_due(run):
                yield self.position, run
            run = self._next()

    def take(self, document: RunDocument) -> None:
        """Take the document of the run that was yielded last."""
        self._document = document

    def _next(self) -> RunSpec | None:
        """Send the document of the present run to the choice of the next one."""
        if self._document is None:  # postponed
            self.postponed += 1
            return next(self.choice, None)
        try:
            return self.choice.send(self._document)
        except StopIteration:
            return None


@contextmanager
def server_of(prepared: PreparedSweep, on_event: OnEvent) -> Iterator[tuple[str, ServerState | None]]:
    """Yield the URL to measure, and the server if loadgen started it. The embedded simulator ends with the block.

    Raises StartFailure, and UsageError while another server is running.
    """
    sweep, spec = prepared.sweep, prepared.spec
    if sweep.variant is not None:
        served = partial(variant_served, sweep.variant, on_event, takes_running=sweep.takes_running)
        if sweep.kept is not None:
            launched = sweep.kept.started(served)
            yield launched.url, launched
            return
        with served() as launched:
            yield launched.url, launched
    elif spec.is_simulated:
        with SimulatorProcess(_simulated(spec.model)) as simulator:
            yield simulator.url, None
    else:
        yield spec.url, None


@contextmanager
def variant_served(variant: Variant, on_event: OnEvent, *, takes_running: bool) -> Iterator[ServerState]:
    """Yield the server when it answers, and stop it after the block if it was started here."""
    running = running_server()
    if running is not None and takes_running and variant.is_of(running):
        yield running
        return
    if variant.has_secrets:
        raise UsageError(
            f"{variant.name} was started with a key or token, which is not on record: start it again with `loadgen serve up`"
        )
    _clear_away(variant)
    name, launch = variant.label, variant.launch()
    started = start(launch, say=lambda stage: on_event(ServerStarting(name, stage)), keeps_lifeline=True)
    on_event(ServerReady(name, started.server, started.was_running))
    try:
        yield started.server
    finally:
        if started.supervised is not None:
            on_event(ServerEnding(name))
            _end(started.supervised)
        elif not started.was_running:  # of another origin, which was recorded as the running one
            stop()


def _end(supervised: Supervised) -> None:
    """Stop the server and wait for it; an interrupt meanwhile is raised after that."""
    try:
        supervised.end_and_wait()
    except KeyboardInterrupt:
        supervised.end_and_wait()
        raise


def _clear_away(variant: Variant) -> None:
    """Remove what is left of a server of this profile that died."""
    state = read_state(state_folder())
    if state is not None and state.profile == variant.name and status_of(state) == "broken":
        stop()


def _simulated(model: str) -> SimulatorOptions:
    """A prefill that grows with the prompt and steps that grow with the batch, so that throughput saturates as on a real server."""
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
class ExaminedServer:
    """A server that a sweep can be sent to. `length_fit` makes texts of a stated length where it has no tokenizer."""

    facts: EndpointFacts
    route: Route
    length_fit: LengthFit | None
    expert_counter: ExpertCounter | None = None


def examine_server(
    prepared: PreparedSweep, url: str, *, environ: Mapping[str, str], on_event: OnEvent
) -> ExaminedServer:
    """Find out what the server at `url` is, and whether it and this host can take the runs.

    Raises ServerError, UsageError, and HostLimitError with the remedy.
    """
    spec, headers = prepared.spec, prepared.headers
    route = spec.route_to(url, environ, prepared.sweep.addresses)
    url = parse_url(url).base
    on_event(RouteChosen(url, None if route.proxy is None else route.proxy.name, route.insecure))
    facts = probe(url, spec.model, headers, route=route, endpoint=spec.endpoint)
    for run in prepared.runs:
        check_lengths(facts, *prepared.longest(run))
    _check_host_limits(facts, prepared.runs, route)
    facts = _ask_first(facts, spec, headers=headers, route=route, on_event=on_event)
    counter = _expert_counter(prepared, facts, route)
    return ExaminedServer(facts, route, length_fit_of(facts, prepared.runs, headers, route), counter)


def _expert_counter(prepared: PreparedSweep, facts: EndpointFacts, route: Route) -> ExpertCounter | None:
    """What counts experts if they are asked for or the profile has the plug-in. Raises ServerError if the server cannot."""
    variant = prepared.sweep.variant
    has_plugin = variant is not None and EXPERT_COUNTS in variant.served.profile.plugins
    if not prepared.spec.experts and not has_plugin:
        return None
    counter = ExpertCounter(facts.base_url, prepared.headers, route)
    counter.check()
    return counter


def _ask_first(
    facts: EndpointFacts, spec: SweepSpec, *, headers: Headers, route: Route, on_event: OnEvent
) -> EndpointFacts:
    """Return `facts` with what the endpoint takes and reports. Raises UsageError when it refuses every body of ours."""
    limit_s = min(ASK_AGAIN_LIMIT_S, spec.request_timeout_s)
    found = enquire(
        facts,
        spec.model,
        spec.endpoint,
        headers=headers,
        timeout_s=min(_MAX_QUESTION_S, spec.request_timeout_s),
        route=route,
        retries=RetryPolicy(limit_s, lambda why, wait_s: on_event(AskedAgain(facts.base_url, why, wait_s, limit_s))),
    )
    if found.refusal is not None:
        raise _refused(facts, spec, found.refusal, secrets=(*headers, *route.secrets))
    return found.facts(facts)


def _refused(facts: EndpointFacts, spec: SweepSpec, refusal: Fetched, *, secrets: Headers) -> LoadgenError:
    """The endpoint's refusal in a sentence: its own words, and what to do."""
    status, said = refusal.status, error_text(refusal.content, secrets)
    words = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    url = facts.completions_url(spec.endpoint)
    if status in (401, 403):
        return UsageError(
            f"{facts.base_url} refused the key ({words}); name the environment variable that holds it with --api-key-env"
        )
    if facts.models and spec.model not in facts.models:
        listed = redact(names_shown(facts.models), secrets) + did_you_mean(spec.model, facts.models)
        return UsageError(f"{url} does not serve the model '{spec.model}' ({words}); it lists {listed}")
    if status in (404, 405):
        other = "chat" if spec.endpoint == "completions" else "completions"
        return UsageError(f"{url} refuses requests ({words}); check --url and --model, or try --endpoint {other}")
    return UsageError(f"{url} refuses a request for two tokens ({words})")


def _check_host_limits(facts: EndpointFacts, runs: Sequence[RunSpec], route: Route) -> None:
    """Raise HostLimitError, with the remedy, when a run needs more connections than the host allows."""
    parts = urlsplit(facts.base_url)
    assert parts.hostname is not None
    host, port = parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]
    if route.addresses:
        host = route.addresses[0]
    if route.proxy is not None:
        host, port = route.proxy.host, route.proxy.port
    for wanted, processes in {(run.shape.connections(run.planned_requests()), workers_for(run)) for run in runs}:
        check_before_start(wanted, processes, host, port)
