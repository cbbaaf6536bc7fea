"""`loadgen search`: the highest rate or concurrency that meets an SLO, as a sweep whose runs follow from one another."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from loadgen.cli.console.terminal import Terminal, show, show_json, stdout
from loadgen.cli.flags import options
from loadgen.cli.flags.measuring import flags_of, lists_given
from loadgen.cli.flags.signature import command
from loadgen.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from loadgen.experiments.search import Search
    from loadgen.experiments.sweep_request import PlannedSweep
    from loadgen.spec.sweep_spec import SweepSpec
    from loadgen.store.repository import Store


@command(flags_of("search"))
def search(
    terminal: Terminal,
    *,
    goodput_ratio: float,
    tolerance_ratio: float,
    repeats: int,
    max_runs: int,
    plan: bool,
    resume: bool,
    as_json: options.Json = False,
    **keys: object,
) -> None:
    """Find the highest rate or concurrency that meets an SLO.

    For example: loadgen search --url http://127.0.0.1:8000 --model NAME --concurrency 1:256 --slo ttft_s=0.5,tpot_s=0.05
    --input-tokens 128 --output-tokens 64
    """
    from loadgen.experiments.search import Search, SearchTerms, search_of
    from loadgen.experiments.sweep_record import sweep_hash
    from loadgen.experiments.sweep_request import read_request
    from loadgen.servers.launcher.state import running_server
    from loadgen.spec.runs import resolve
    from loadgen.store.repository import Store

    request = read_request(_values(keys))

    def search_on(spec: "SweepSpec") -> Search:
        if not spec.slo:
            raise UsageError("--slo is missing; say which limits are to be met, for example --slo ttft_s=0.5")
        ends = spec.concurrency or spec.rate
        assert ends is not None
        return search_of(spec, SearchTerms(ends[0], ends[1], goodput_ratio, tolerance_ratio, repeats, max_runs))

    def part(store: Store | None) -> "PlannedSweep":
        if request.names_server:
            return request.sweeps()[0]
        return request.on_running(
            running_server(),
            store,
            takes_grid=False,
            hash_of=lambda spec, variant: sweep_hash(resolve(spec), variant, search_on(spec)),
        )

    if plan:
        spec = part(None).spec
        _plan(terminal, spec, search_on(spec), as_json=as_json)
        return
    if request.names_server:
        search_on(part(None).spec)  # what is wrong with it, before there is a database
    with terminal.open_for_results() as store:
        chosen = part(store if resume else None)
        _search(terminal, store, chosen, search_on(chosen.spec), as_json=as_json, resume=resume)


def _values(keys: Mapping[str, object]) -> dict[str, object]:
    """The keys of the spec whose one load has two values, the ends of the search. Raises UsageError."""
    values = dict(keys)
    for key in ("concurrency", "rate"):
        if key in values:
            ends = str(values[key]).split(":")
            if len(ends) != 2 or any("," in end or not end.strip() for end in ends):
                raise UsageError(f"--{key} takes the two ends of the search, LOW:HIGH like 1:64, not {values[key]}")
            values[key] = ",".join(ends)
    if not {"concurrency", "rate"} & values.keys():
        raise UsageError("no load is given: say --concurrency LOW:HIGH or --rate LOW:HIGH")
    for flag, value in lists_given(keys):
        raise UsageError(f"{flag.option} takes one value here, not {value}")
    return values


def _plan(terminal: Terminal, spec: "SweepSpec", search: "Search", *, as_json: bool) -> None:
    from loadgen.cli.tables.sweep_plan import plan_table
    from loadgen.experiments.sweep_plan import plan_sweep
    from loadgen.spec.runs import resolve

    key = "concurrency" if spec.concurrency else "rate"
    loads = [round(load) if spec.concurrency else load for load in search.doubling()]
    runs = resolve(spec.model_copy(update={key: loads}))
    for note in runs[0].file_notes:
        terminal.note(note)
    plan = plan_sweep(terminal.db, runs)
    if as_json:
        show_json(plan.to_json() | {"search": search.terms.to_json()})
        return
    show(plan_table(plan))
    show(
        f"These follow one another until one misses the SLO; bisection and repeats come after. "
        f"At most {search.terms.max_runs} runs in all."
    )


def _search(
    terminal: Terminal, store: "Store", planned: "PlannedSweep", search: "Search", *, as_json: bool, resume: bool
) -> None:
    from loadgen.cli.commands.execution import execute_sweep
    from loadgen.cli.tables.sweep import show_sweep
    from loadgen.report.export.results import sweep_document
    from loadgen.report.words.search_result import search_sentences

    result, row = execute_sweep(terminal, store, planned, resume=resume, search=search)
    documents = result.documents
    if as_json:
        found: Any = row.search or search.to_json()
        show_json(sweep_document(row, documents) | {"search": {**found, "sentence": search_sentences(found)}})
    elif documents:
        show_sweep(stdout(), row, documents)
    if result.failure is not None:
        raise result.failure
    if not as_json:
        terminal.note(f"saved as {result.sweep_id}; look closer with 'loadgen dashboard{terminal.db_flag}'")
    if search.trouble is not None:
        raise typer.Exit(ExitCode.INVALID_RUN)
