"""A sweep, a search or a group of sweeps, run with its progress on stderr."""

import os
from collections.abc import Callable, Sequence

import typer

from loadgen.cli.commands.results import show_stored_group
from loadgen.cli.console.terminal import Terminal, warn
from loadgen.cli.progress.sweep import SweepProgress
from loadgen.errors import ExitCode, StoreError
from loadgen.experiments.events import OnEvent
from loadgen.experiments.group import GroupResult, run_group
from loadgen.experiments.interrupts import Stop, interrupts
from loadgen.experiments.search import Search
from loadgen.experiments.sweep import SweepResult, run_sweep
from loadgen.experiments.sweep_record import Resume
from loadgen.experiments.sweep_request import PlannedSweep
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow


def execute_sweep(
    terminal: Terminal, store: Store, planned: PlannedSweep, *, resume: bool, search: Search | None = None
) -> tuple[SweepResult, SweepRow]:
    """Run a sweep. Raises what ended it if the sweep is not on record; else that stays in its `failure`."""
    stop = Stop()
    with SweepProgress(terminal, resume=resume) as progress, interrupts(stop, progress.say):
        result = run_sweep(
            planned,
            store,
            environ=os.environ,
            stop=stop,
            on_event=progress,
            resume=Resume() if resume else None,
            search=search,
        )
    try:
        return result, store.sweep(result.sweep_id)
    except StoreError:
        if result.failure is not None:  # which says more
            raise result.failure from None
        raise


def note_saved(terminal: Terminal, stored_id: str, purpose: str, *, command: str) -> None:
    """Name the sweep or group on stderr, and the commands to type next: `command` for this `purpose`, and a report."""
    flag = terminal.db_flag
    terminal.note(f"saved as {stored_id}; {purpose} with '{command}{flag}'")
    terminal.note(f"or write one page with 'loadgen report {stored_id}{flag} -o report.html'")


def execute_group(
    terminal: Terminal,
    store: Store,
    planned: Sequence[PlannedSweep],
    *,
    as_json: bool,
    interleave: bool,
    resume: bool,
) -> None:
    """Run a group, show it, and end with its exit code."""

    def measure(stop: Stop, on_event: OnEvent) -> GroupResult:
        return run_group(
            planned, store, environ=os.environ, stop=stop, on_event=on_event, interleave=interleave, resume=resume
        )

    show_measured(terminal, store, measure, as_json=as_json, resume=resume)


def show_measured(
    terminal: Terminal,
    store: Store,
    measure: Callable[[Stop, OnEvent], GroupResult],
    *,
    as_json: bool,
    resume: bool,
) -> None:
    """Call `measure` with progress on stderr, show the group that it measured, and end with its exit code."""
    stop = Stop()
    with SweepProgress(terminal, resume=resume) as progress, interrupts(stop, progress.say):
        result = measure(stop, progress)
    on_record = any(sweep.group_id == result.group_id for sweep in store.sweeps())
    if on_record:
        show_stored_group(store, result.group_id, as_json=as_json)
    for failed in result.failures:
        message = str(failed.error)
        line = message if message.startswith(f"{failed.label} ") else f"{failed.label}: {message}"
        warn(line)
    if result.stopped_by is not None:
        raise result.stopped_by
    if on_record and not as_json:
        note_saved(terminal, result.group_id, "compare its sweeps", command=f"loadgen compare {result.group_id}")
    if result.exit_code is not ExitCode.OK:
        raise typer.Exit(result.exit_code)
