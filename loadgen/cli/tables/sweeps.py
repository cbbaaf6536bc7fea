"""The list of sweeps on record."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from loadgen.cli.tables.style import VERDICTS, numbers, plain_table, words
from loadgen.report.format import ago
from loadgen.report.pages.list_lines import FigureCells, figure_cells
from loadgen.report.pages.sweep_figures import sweep_figures
from loadgen.report.words.server import DUMMY_WEIGHTS, failure_kind, has_dummy_weights
from loadgen.store.rows import RunFigures, SweepRow

_LIST_WITH_FIGURES, _LIST_WITH_GPUS = 120, 150  # columns from which the list of sweeps shows these
_STATUS_STYLE = {"finished": "", "running": "cyan", "interrupted": "yellow", "stopped": "yellow", "failed": "red"}


def sweeps_table(
    sweeps: Sequence[SweepRow], now: datetime, runs: Iterable[RunFigures] = (), width: int = 0
) -> RenderableType:
    """The list of sweeps, newest first; if there is room, with the figures of each sweep's best load point and its GPUs."""
    figures = sweep_figures(sweeps, runs)
    best = numbers("best output\ntokens/s", "TTFT\np50, ms") if width >= _LIST_WITH_FIGURES else []
    where = ["at load", "GPUs"] if width >= _LIST_WITH_GPUS else []
    state = words("status", "verdicts")
    table = plain_table(*words("sweep", "when"), "name", *numbers("runs"), *state, *best, *where)
    for sweep in sweeps:
        name = Text(sweep.name)
        if sweep.simulated:
            name.append(" SIMULATED", style="yellow")
        if sweep.imported is not None:
            name.append(" IMPORTED" if sweep.imported.tool is None else " FOREIGN", style="dim")
        if has_dummy_weights(sweep.server):
            name.append(f" {DUMMY_WEIGHTS}", style="yellow")
        if sweep.group_id is not None:
            name.append(f" of {sweep.group_id}", style="dim")
        verdicts = Text()
        for status, count in (("valid", sweep.valid), ("doubtful", sweep.doubtful), ("invalid", sweep.invalid)):
            if count:
                symbol, style = VERDICTS[status]
                verdicts.append(f"{symbol}{count} ", style=style)
        table.add_row(
            sweep.sweep_id,
            ago(sweep.created_at, now),
            name,
            f"{sweep.runs}/{sweep.planned_runs}",
            Text(failure_kind(sweep), style="red")
            if sweep.start_failure
            else Text(sweep.status, style=_STATUS_STYLE[sweep.status]),
            verdicts,
            *_figure_texts(figure_cells([figures[sweep.sweep_id]]), width),
        )
    return table


def _figure_texts(cells: FigureCells, width: int) -> list[Text]:
    output = Text(cells.output)
    if cells.doubtful:
        symbol, style = VERDICTS["doubtful"]
        output.append(f" {symbol}", style=style)
    figures = [output, Text(cells.ttft)] if width >= _LIST_WITH_FIGURES else []
    return figures + ([Text(cells.load), Text(cells.gpus)] if width >= _LIST_WITH_GPUS else [])
