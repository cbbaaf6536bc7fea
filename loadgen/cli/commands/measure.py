"""`loadgen run` and `loadgen sweep`: from flags to a sweep, and its result to the terminal."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from loadgen.cli.console.terminal import Terminal, show, show_json, stdout
from loadgen.cli.flags import options
from loadgen.cli.flags.measuring import flags_of, lists_given
from loadgen.cli.flags.signature import command
from loadgen.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from loadgen.experiments.sweep_request import PlannedSweep
    from loadgen.store.repository import Store


@command(flags_of("run"))
def run(terminal: Terminal, as_json: options.Json = False, **keys: object) -> None:
    """Measure one load point.

    For example: loadgen run --url http://127.0.0.1:8000 --model NAME --concurrency 16 --input-tokens 128 --output-tokens 64
    """
    for flag, value in lists_given(keys):
        raise UsageError(f"{flag.option} takes one value here, not {value}; measure a list with 'loadgen sweep'")
    _measure(terminal, keys, None, as_json=as_json, single=True, resume=False)


@command(flags_of("sweep"))
def sweep(
    terminal: Terminal,
    spec: options.SpecFile = None,
    *,
    plan: bool,
    resume: bool,
    service: str | None,
    service_token_env: str,
    as_json: options.Json = False,
    **keys: object,
) -> None:
    """Measure a grid of load points, from flags with comma lists or from a YAML file, on a server or on several profiles.

    For example: loadgen sweep --url http://127.0.0.1:8000 --model NAME --concurrency 1,16,64 --input-tokens 128,1024
    --output-tokens 64 --repeats 3
    """
    if spec is not None and spec.parts[:1] in (("http:",), ("https:",)):  # a path has lost a slash of its address
        raise UsageError(f"{spec} is no spec file; the server's address is given with --url")
    if plan:
        _plan(terminal, keys, spec, as_json=as_json)
    elif service is not None:
        from loadgen.cli.commands.submit import submit

        submit(
            terminal,
            keys,
            spec,
            service=service,
            token_env=service_token_env,
            as_json=as_json,
            resume=resume,
        )
    else:
        _measure(terminal, keys, spec, as_json=as_json, single=False, resume=resume)


def _plan(terminal: Terminal, keys: dict[str, object], file: Path | None, *, as_json: bool) -> None:
    from loadgen.cli.progress.sweep import room_message
    from loadgen.cli.tables.sweep_plan import group_plan_table, plan_table
    from loadgen.experiments.estimate import disks_too_small
    from loadgen.experiments.preparation import find_accuracy
    from loadgen.experiments.sweep_plan import plan_group, plan_sweep
    from loadgen.experiments.sweep_request import read_request
    from loadgen.servers.launcher.state import running_server
    from loadgen.spec.runs import resolve
    from loadgen.store.database import sqlite_path

    request = read_request(keys, file)
    sweeps = request.sweeps() if request.names_server else (request.on_running(running_server()),)
    for sweep in sweeps:
        find_accuracy(sweep.spec, sweep.variant, os.environ)
    if request.variants is not None:
        group = plan_group(terminal.db, sweeps, interleave=request.interleave)
        for note in group.servers[0].sweep.specs[0].file_notes:
            terminal.note(note)
        if as_json:
            show_json(group.to_json())
        else:
            show(group_plan_table(group))
        return
    spec = sweeps[0].spec
    runs = resolve(spec)
    for note in runs[0].file_notes:
        terminal.note(note)
    for short in disks_too_small(runs, sqlite_path(terminal.db)):
        terminal.note(room_message(short))
    tasks = () if spec.accuracy is None else tuple(spec.accuracy.tasks)
    plan = plan_sweep(terminal.db, runs, spec.price_list, tasks=tasks)
    if as_json:
        show_json(plan.to_json())
    else:
        show(plan_table(plan))


def _measure(
    terminal: Terminal, keys: dict[str, object], file: Path | None, *, as_json: bool, single: bool, resume: bool
) -> None:
    from loadgen.experiments.sweep_request import read_request
    from loadgen.servers.launcher.state import running_server

    request = read_request(keys, file)
    sweeps = request.sweeps() if request.names_server else ()
    with terminal.open_for_results() as store:
        if not sweeps:
            server = running_server()
            sweeps = (request.on_running(server, store if resume else None, takes_grid=not single),)
        if request.is_group:
            from loadgen.cli.commands.execution import execute_group

            execute_group(terminal, store, sweeps, as_json=as_json, interleave=request.interleave, resume=resume)
        else:
            _measure_one(terminal, store, sweeps[0], as_json=as_json, single=single, resume=resume)


def _measure_one(
    terminal: Terminal, store: "Store", planned: "PlannedSweep", *, as_json: bool, single: bool, resume: bool
) -> None:
    from loadgen.cli.commands.execution import execute_sweep, note_saved
    from loadgen.cli.tables.run import show_run
    from loadgen.cli.tables.sweep import show_sweep
    from loadgen.report.export.results import run_document, sweep_document

    result, row = execute_sweep(terminal, store, planned, resume=resume)
    documents = result.documents
    if as_json:
        show_json(run_document(row, documents[0]) if single and documents else sweep_document(row, documents))
    elif single and documents:
        show_run(stdout(), documents[0])
    elif documents:
        show_sweep(stdout(), row, documents)
    if result.failure is not None:
        raise result.failure
    if documents and not as_json:
        note_saved(terminal, result.sweep_id, "look closer", command="loadgen dashboard")
        if any(document.get("experts") for document in documents):
            terminal.note(f"see the experts with 'loadgen moe experts {result.sweep_id}{terminal.db_flag}'")
    if result.exit_code is not ExitCode.OK:
        raise typer.Exit(result.exit_code)
