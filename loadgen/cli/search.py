"""`loadgen search`: the highest rate or concurrency that meets an SLO, as a sweep whose runs follow from one another."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loadgen.cli import options
from loadgen.cli.measure import given, interrupts
from loadgen.cli.terminal import Terminal, show, show_json, stdout
from loadgen.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from loadgen.experiments.search import Search
    from loadgen.experiments.spec import SweepSpec

_TERMS = ("goodput_ratio", "tolerance_ratio", "repeats", "max_runs")


def search(
    context: typer.Context,
    url: options.Url = None,
    model: options.Model = None,
    endpoint: options.EndpointKind = None,
    concurrency: Annotated[
        str | None, typer.Option("--concurrency", metavar="LOW:HIGH", help="Closed loop: search so many callers.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="LOW:HIGH", help="Open loop: search so many requests per second.")
    ] = None,
    slo: options.Slo = None,
    goodput_ratio: Annotated[
        float, typer.Option("--goodput-ratio", metavar="X", help="This share of requests must meet every limit.")
    ] = 0.99,
    tolerance_ratio: Annotated[
        float, typer.Option("--tolerance-ratio", metavar="X", help="How close the answer should be, as a share.")
    ] = 0.05,
    repeats: Annotated[
        int, typer.Option("--repeats", metavar="N", help="The most runs of one load, near the edge.")
    ] = 3,
    max_runs: Annotated[int, typer.Option("--max-runs", metavar="N", help="The most runs in all.")] = 20,
    arrivals: options.ArrivalProcess = None,
    burstiness: options.Burstiness = None,
    max_in_flight: options.MaxInFlight = None,
    requests_per_minute: options.RequestsPerMinute = None,
    tokens_per_minute: options.TokensPerMinute = None,
    requests: options.Requests = None,
    duration_s: options.DurationS = None,
    input_tokens: options.InputTokens = None,
    output_tokens: options.OutputTokens = None,
    dataset: options.Dataset = None,
    range_ratio: options.RangeRatio = None,
    prefix_tokens: options.PrefixTokens = None,
    prefix_groups: options.PrefixGroups = None,
    image: options.Image = None,
    images_per_request: options.ImagesPerRequest = None,
    choices: options.Choices = None,
    turns: options.Turns = None,
    think_time_s: options.ThinkTime = None,
    warmup_requests: options.WarmupRequests = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    api_key_env: options.ApiKeyEnv = None,
    header: options.Header = None,
    ca_file: options.CaFile = None,
    insecure: options.Insecure = None,
    price: options.Price = None,
    request_timeout_s: options.RequestTimeout = None,
    tokenizer: options.Tokenizer = None,
    name: options.Name = None,
    plan: options.Plan = False,
    resume: options.Resume = False,
    as_json: options.Json = False,
    db: options.Database = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Find the highest rate or concurrency that meets an SLO.

    For example: loadgen search --url http://127.0.0.1:8000 --model NAME --concurrency 1:256 --slo ttft_s=0.5,tpot_s=0.05
    --input-tokens 128 --output-tokens 64
    """
    from loadgen.experiments.search import SearchTerms, search_of

    terminal = Terminal.of(context, db, quiet, verbose)
    values = {key: value for key, value in given(context).items() if key not in _TERMS}
    spec = _spec(values)
    ends = spec.concurrency or spec.rate
    assert ends is not None
    wanted = search_of(spec, SearchTerms(ends[0], ends[1], goodput_ratio, tolerance_ratio, repeats, max_runs))
    if plan:
        _plan(terminal, spec, wanted, as_json=as_json)
    else:
        _search(terminal, spec, wanted, as_json=as_json, resume=resume)


def _spec(values: dict[str, object]) -> "SweepSpec":
    """The spec whose one load has two values, the ends of the search. Raises UsageError."""
    from loadgen.experiments.specfile import read_spec

    for key in ("concurrency", "rate"):
        if key in values:
            ends = str(values[key]).split(":")
            if len(ends) != 2 or any("," in end or not end.strip() for end in ends):
                raise UsageError(f"--{key} takes the two ends of the search, LOW:HIGH like 1:64, not {values[key]}")
            values[key] = ",".join(ends)
    if not {"concurrency", "rate"} & values.keys():
        raise UsageError("no load is given: say --concurrency LOW:HIGH or --rate LOW:HIGH")
    for key in ("input_tokens", "output_tokens"):
        if "," in str(values.get(key, "")):
            raise UsageError(f"--{key.replace('_', '-')} takes one value here, not {values[key]}")
    spec = read_spec(values)
    if not spec.slo:
        raise UsageError("--slo is missing; say which limits are to be met, for example --slo ttft_s=0.5")
    return spec


def _plan(terminal: Terminal, spec: "SweepSpec", wanted: "Search", *, as_json: bool) -> None:
    from loadgen.cli.plan import earlier_durations, plan_document, plan_table
    from loadgen.experiments.spec import resolve

    key = "concurrency" if spec.concurrency else "rate"
    loads = [round(load) if spec.concurrency else load for load in wanted.doubling()]
    runs = resolve(spec.model_copy(update={key: loads}))
    took_s = earlier_durations(terminal.db, runs)
    if as_json:
        show_json(plan_document(runs, took_s) | {"search": wanted.terms.to_json()})
        return
    show(plan_table(runs, took_s))
    show(
        f"These follow one another until one misses the SLO; bisection and repeats come after. "
        f"At most {wanted.terms.max_runs} runs in all."
    )


def _search(terminal: Terminal, spec: "SweepSpec", wanted: "Search", *, as_json: bool, resume: bool) -> None:
    from loadgen.cli.outcome import show_sweep
    from loadgen.cli.progress import SweepProgress
    from loadgen.cli.search_result import sentences
    from loadgen.experiments.stop import Stop
    from loadgen.experiments.sweep import run_sweep
    from loadgen.report.export import sweep_document
    from loadgen.store.repository import Store

    stop = Stop()
    with Store.open(terminal.db) as store:
        with SweepProgress(terminal, resume=resume) as progress, interrupts(stop, progress.say):
            result = run_sweep(spec, store, os.environ, stop, progress, resume=resume, search=wanted)
        row = store.sweep(result.sweep_id)
    documents: list[dict[str, Any]] = list(result.documents)
    said = sentences(wanted, spec)
    if as_json:
        show_json(sweep_document(row, documents) | {"search": wanted.to_json() | {"sentence": said}})
    elif documents:
        show_sweep(stdout(), row, documents)
        show(said)
    if result.failure is not None:
        raise result.failure
    if not as_json:
        terminal.note(f"saved as {result.sweep_id}; look closer with 'loadgen dashboard{terminal.db_flag}'")
    if wanted.trouble is not None:
        raise typer.Exit(ExitCode.INVALID_RUN)
