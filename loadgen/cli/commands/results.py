"""`loadgen list`, `show`, `export` and `report`: what is on record. None of them writes to the database."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.cli.commands.ids import full_id
from loadgen.cli.console.output_file import write_file
from loadgen.cli.console.terminal import Terminal, show_json, stdout, write_bytes
from loadgen.cli.flags import options
from loadgen.cli.flags.signature import Flag, command
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from loadgen.analysis.document.run import RunDocument
    from loadgen.report.export.results import Format
    from loadgen.store.repository import Store
    from loadgen.store.rows import Evaluation, SweepRow

_EVALUATION_ID = r"a\d{6}"
_FORMATS: tuple["Format", ...] = ("json", "csv", "parquet", "vllm-bench")
_EXPORT_FLAGS = (
    Flag("format", "json|csv|parquet|vllm-bench", "What to write.", type=str, default="json"),
    Flag("requests", "", "One row per request instead of one per run (csv, parquet); with vllm-bench, its detailed form.", type=bool, default=False),
    Flag("output", "FILE", "Write here instead of to stdout.", type=Path | None, short="-o"),
)  # fmt: skip
_REPORT_FLAGS = (
    Flag("output", "FILE", "The page to write.", type=Path, default=Path("report.html"), short="-o"),
    Flag("compare", "", "Begin with a comparison of all of them.", type=bool, default=False),
    Flag("view", "QUERY", "How to compare, as the address of the comparison page has it: 'color=precision&stat=p99'."),
)  # fmt: skip


@command()
def list_sweeps(terminal: Terminal, as_json: options.Json = False) -> None:
    """List the sweeps on record, newest first."""
    from loadgen.cli.tables.sweeps import sweeps_table
    from loadgen.report.pages.sweep_figures import sweeps_document

    with terminal.open() as store:
        sweeps, runs = store.sweeps(), store.run_figures()
    if as_json:
        show_json(sweeps_document(sweeps, runs))
    elif sweeps:
        console = stdout()
        console.print(sweeps_table(sweeps, datetime.now(UTC), runs=runs, width=console.width))
        for sweep in sweeps:
            if sweep.status == "stopped" and sweep.imported is None:
                console.print(_stopped(sweep), style="yellow")
    else:
        terminal.note(f"no sweep in {terminal.shown_db} yet; 'loadgen sweep --help' says how to make one")


@command()
def show(terminal: Terminal, id: options.AnyId, as_json: options.Json = False) -> None:
    """Show a sweep's table, those of a group, or every figure of a run."""
    from loadgen.cli.tables.run import show_run
    from loadgen.cli.tables.sweep import failure_line, show_sweep
    from loadgen.report.export.results import run_document, sweep_document

    with terminal.open() as store:
        if (evaluation := _evaluation(store, id)) is not None:
            _show_evaluation(evaluation, as_json=as_json)
            return
        found = full_id(store, id)
        if found.startswith("g"):
            show_stored_group(store, found, as_json=as_json)
            return
        if found.startswith("r"):
            document: RunDocument = store.run(found)
            if as_json:
                show_json(run_document(store.sweep(document["sweep_id"]), document))
            else:
                show_run(stdout(), document)
            return
        sweep, documents = store.sweep(found), store.runs(found)
    if as_json:
        show_json(sweep_document(sweep, documents))
    elif documents:
        show_sweep(stdout(), sweep, documents)
        if sweep.status == "stopped" and sweep.imported is None:
            terminal.note(_stopped(sweep))
        _list_runs(terminal, documents)
        if sweep.group_id is not None:
            terminal.note(f"one of {sweep.group_id}: 'loadgen show {sweep.group_id}' shows the others beside it")
    elif (failure := failure_line(sweep)) is not None:
        stdout().print(failure, soft_wrap=True)
    else:
        terminal.note(f"sweep {sweep.sweep_id} ({sweep.status}) has no finished run of its {sweep.planned_runs}")


def _evaluation(store: "Store", given: str) -> "Evaluation | None":
    """The evaluation of that id or beginning; None for what is not one, such as a name. Raises NotFoundError."""
    if re.match(_EVALUATION_ID, given) is None or any(
        given in (sweep.name, sweep.spec.get("name")) for sweep in store.sweeps()
    ):
        return None
    return store.evaluation(given)


def _show_evaluation(evaluation: "Evaluation", *, as_json: bool) -> None:
    from loadgen.cli.tables.accuracy import show_evaluation
    from loadgen.report.export.results import evaluation_document

    if as_json:
        show_json(evaluation_document(evaluation))
    else:
        show_evaluation(stdout(), evaluation)


@command(_EXPORT_FLAGS)
def export(terminal: Terminal, id: options.AnyId, *, format: str, requests: bool, output: Path | None) -> None:
    """Write a sweep or a run as JSON, CSV or Parquet, or as vllm bench serve writes its results."""
    form = next((each for each in _FORMATS if each == format), None)
    if form is None:
        raise UsageError(f"--format must be {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}, not {format}")
    from loadgen.report.export.results import export as exported

    with terminal.open() as store:
        content = exported(store, full_id(store, id), form, requests=requests)
    if output is not None:
        write_file(output, content)
        terminal.note(f"wrote {output}")
    elif format == "parquet" and sys.stdout.isatty():
        raise UsageError("parquet is not for a terminal; name a file with -o FILE")
    else:
        write_bytes(content)


@command(_REPORT_FLAGS)
def report(terminal: Terminal, ids: options.AnyIds, *, output: Path, compare: bool, view: str | None) -> None:
    """Write sweeps and runs as one HTML file which needs no network."""
    from urllib.parse import parse_qs

    from loadgen.report.comparison.view import read_view
    from loadgen.report.pages.single_file import render_report

    with terminal.open() as store:
        parsed = read_view(parse_qs(view or "", keep_blank_values=True)) if compare or view is not None else None
        if parsed is not None and (parsed.ids or parsed.filters.any):
            raise UsageError("--view says how to compare, and the ids beside it say what: leave 'in' and filters out")
        page = render_report(store, [full_id(store, id) for id in ids], parsed)
    write_file(output, page.encode())
    terminal.note(f"wrote {output}")


def show_stored_group(store: "Store", group_id: str, *, as_json: bool) -> None:
    from loadgen.cli.tables.sweep import show_group
    from loadgen.report.export.results import group_document

    sweeps = [(sweep, store.runs(sweep.sweep_id)) for sweep in store.group(group_id)]
    if as_json:
        show_json(group_document(sweeps))
    else:
        show_group(stdout(), sweeps)


def _stopped(sweep: "SweepRow") -> str:
    return f"{sweep.sweep_id} is stopped: its process ended without a word; repeat its command with --resume to go on"


def _list_runs(terminal: Terminal, documents: "list[RunDocument]") -> None:
    from loadgen.report.format import number

    terminal.note("its runs, for 'loadgen show':")
    for document in documents:
        spec = document["spec"]
        ended = ", cut short" if document["interrupted"] else ", the server died" if document["server_died"] else ""
        lengths = f"{number(spec['input_tokens'])} → {spec['output_tokens']:,}"
        terminal.note(f"  {document['run_id']}  {spec['load_label']}, {lengths}, repeat {document['repeat']}{ended}")
