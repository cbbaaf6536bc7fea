"""A sweep before its server is started or examined: its files are read, and its runs and their order are known."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from loadgen.analysis.document.run import RunDocument
from loadgen.engine.capture.tokenizer import Tokenizer
from loadgen.errors import UsageError
from loadgen.experiments.saving import save_within_s
from loadgen.experiments.search import Search
from loadgen.experiments.sweep_record import GroupMember, SweepEntry, sweep_hash
from loadgen.experiments.sweep_request import PlannedSweep
from loadgen.load.dataset import Dataset
from loadgen.load.spec import RunSpec
from loadgen.load.trace import Trace, read_trace
from loadgen.servers.endpoint import list_models
from loadgen.servers.http_client import Headers
from loadgen.servers.model_list import names_shown
from loadgen.servers.redaction import redact
from loadgen.servers.server_url import parse_url
from loadgen.spec.runs import read_dataset_of, resolve
from loadgen.spec.size import longest
from loadgen.spec.sweep_spec import SweepSpec

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

    @property
    def spec(self) -> SweepSpec:
        """What is asked."""
        return self.sweep.spec

    @property
    def group_id(self) -> str | None:
        """The group that the sweep belongs to, if any."""
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
    if not spec.is_simulated and sweep.serving is None:
        spec = _with_model(spec, environ, sweep.addresses)
        if search is not None:
            search.ask(spec)
    dataset = read_dataset_of(spec)
    runs = resolve(spec, dataset)
    if spec.tokenizer is not None:
        Tokenizer(spec.tokenizer)  # whether there is one, before anything is sent
    variant = None if sweep.serving is None else sweep.serving.variant
    entry = SweepEntry(
        spec=spec,
        search_terms=None if search is None else search.terms.to_json(),
        spec_hash=sweep_hash(runs, variant, search),
        planned_runs=len(runs) if search is None else search.terms.max_runs,
        variant=variant,
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
    )


def _with_model(spec: SweepSpec, environ: Mapping[str, str], addresses: tuple[str, ...] = ()) -> SweepSpec:
    """Return `spec` with the only model that its server lists, if it names none. Raises UsageError for several models."""
    if spec.model:
        return spec
    base_url, route = parse_url(spec.url).base, spec.route_to(spec.url, environ, addresses)
    headers = spec.secret_headers(environ)
    names = list_models(base_url, headers, route=route)
    if len(names) > 1:
        shown = redact(names_shown(names), (*headers, *route.secrets))
        raise UsageError(
            f"--model is missing and {base_url} serves {len(names)} models: {shown}; choose one with --model NAME"
        )
    return spec.model_copy(update={"model": names[0]})


def in_order(runs: Iterable[RunSpec]) -> RunChoice:
    """Choose each of `runs`, whatever its result."""
    for run in runs:  # noqa: UP028 (`yield from` would send the documents to the iterator)
        yield run


class RunOrder:
    """The runs that are still to be measured, as `(position, run)` from position 1.

    `take` must be called with the document of each before the next one is asked for. A run that is in `ended`, the documents
    by the hash of the spec, keeps its position and is not measured again; so does one that is not due now.
    """

    def __init__(
        self,
        choice: RunChoice,
        ended: Mapping[str, RunDocument],
        is_due: Callable[[RunSpec], bool] = lambda run: True,
    ) -> None:
        self.position = 0  # of the last run that was chosen
        self.postponed = 0  # runs that were not due
        self._choice = choice
        self._ended = ended
        self._is_due = is_due
        self._document: RunDocument | None = None

    def __iter__(self) -> Iterator[tuple[int, RunSpec]]:
        run = next(self._choice, None)
        while run is not None:
            self.position += 1
            self._document = self._ended.get(run.hash)
            if self._document is None and self._is_due(run):
                yield self.position, run
            run = self._next()

    def take(self, document: RunDocument) -> None:
        """Take the document of the run that was yielded last."""
        self._document = document

    def _next(self) -> RunSpec | None:
        """Send the document of the present run to the choice of the next one."""
        if self._document is None:  # postponed
            self.postponed += 1
            return next(self._choice, None)
        try:
            return self._choice.send(self._document)
        except StopIteration:
            return None
