"""One sweep or search, run with its progress on stderr: what came of it, and its row in the database."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loadgen.cli.console.terminal import Terminal
from loadgen.cli.progress.sweep import SweepProgress
from loadgen.errors import StoreError
from loadgen.experiments.stop import Stop, interrupts
from loadgen.experiments.sweep import SweepResult, run_sweep
from loadgen.experiments.sweep_record import Resume
from loadgen.store.rows import SweepRow

if TYPE_CHECKING:
    from loadgen.experiments.search import Search
    from loadgen.experiments.sweep_request import PlannedSweep
    from loadgen.store.repository import Store


@dataclass(frozen=True, slots=True)
class MeasuredSweep:
    """The result of a sweep, as it ended and as it is stored."""

    result: SweepResult
    row: SweepRow
    documents: list[Any]


def measured_sweep(
    terminal: Terminal, store: "Store", part: "PlannedSweep", *, resume: bool, search: "Search | None" = None
) -> MeasuredSweep:
    """Run it. Raises what ended it if the sweep is not on record; else that stays in `result.failure`."""
    stop = Stop()
    with SweepProgress(terminal, resume=resume) as progress, interrupts(stop, progress.say):
        result = run_sweep(part, store, os.environ, stop, progress, resume=Resume() if resume else None, search=search)
    try:
        row = store.sweep(result.sweep_id)
    except StoreError:
        if result.failure is not None:  # which says more
            raise result.failure from None
        raise
    return MeasuredSweep(result, row, list(result.documents))
