"""The page of a comparison: what was chosen, what can be chosen, a figure after the other, and what must be known of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figure_table import DRAWN
from loadgen.analysis.figures.figure import Figure
from loadgen.report.charts.chart import Chart
from loadgen.report.comparison.cell_charts import CellDrawing, charts
from loadgen.report.comparison.cells import Cell
from loadgen.report.comparison.compared import Compared, compared
from loadgen.report.comparison.dimensions import varying
from loadgen.report.comparison.legend import Legend, Mark, legend_of, symbols
from loadgen.report.comparison.matrix import CHOSEN_BY_DEFAULT, Matrix, matrix, not_compared
from loadgen.report.comparison.notes import notes
from loadgen.report.comparison.selection import Chosen, Selection
from loadgen.report.comparison.table import CellTable, cell_table, rows
from loadgen.report.comparison.view import CHOICES, NO_BASELINE, STATISTICS, View
from loadgen.report.format import ANSWERS
from loadgen.report.points import LOAD, Dimension, Table, load_label
from loadgen.report.words.accuracy import AccuracyComparison, accuracy_comparisons
from loadgen.report.words.foreign_client import foreign_client
from loadgen.report.words.run_facts import sweep_import_line
from loadgen.report.words.server import has_dummy_weights
from loadgen.report.words.server_differences import server_differences
from loadgen.store.rows import SweepRow


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class ChosenChip:
    """One of the sweeps or runs that are compared, with the address of the page without it."""

    label: str
    sweep_id: str
    runs: int
    without: str
    simulated: bool
    dummy_weights: bool
    imported: str
    foreign: str  # the other client that measured it; empty for what loadgen did


@dataclass(frozen=True, slots=True)
class FigureSection:
    """A figure: its charts, one a part, and the table behind them with the address of its CSV."""

    key: str
    title: str
    unit: str
    formula: str
    charts: tuple[Chart, ...]
    table: CellTable
    csv: str
    answers: str


@dataclass(frozen=True, slots=True)
class ComparisonPage:
    """Everything that the page says. `query` is its own address's."""

    title: str
    chosen: tuple[ChosenChip, ...]
    notes: tuple[str, ...]
    simulated: bool
    x: tuple[Choice, ...]
    y: tuple[Choice, ...]
    stat: tuple[Choice, ...]
    color: tuple[Choice, ...]
    facet: tuple[Choice, ...]
    baseline: tuple[Choice, ...]
    show: tuple[Choice, ...]
    log_x: bool
    log_y: bool
    log_said: bool
    all: bool
    kept: tuple[tuple[str, str], ...]  # of the address, what the form has no field for
    differences: Table | None  # in which the servers of the sweeps differ
    accuracy: tuple[AccuracyComparison, ...]  # of the first sweep that was evaluated with each other one
    matrix: Matrix | None
    uncompared: str  # what has no place in the matrix, and why, in a sentence
    legend: Legend | None
    symbols: dict[str, Mark]  # by colour
    sections: tuple[FigureSection, ...]
    query: str


def flat_rows(made: Compared) -> list[dict[str, Any]]:
    """All cells of all figures, for CSV and JSON."""
    view = made.view
    return [row for figure, found in made.figures for row in rows(figure, view.stat, found, made.axes, view.baseline)]


def comparison_page(view: View, selection: Selection) -> ComparisonPage:
    """The page of a view over what was selected. Raises UsageError for a name in it that these runs do not have."""
    made = compared(view, selection)
    full, runs = made.view, selection.runs
    x_label = load_label(runs) if made.axes.x.key == LOAD.key else made.axes.x.label
    drawing = CellDrawing(x_label, made.names, made.lines, full.log, full.baseline if full.show == "ratio" else "")
    sections = tuple(_section(view, made, figure, found, drawing) for figure, found in made.figures)
    legend = legend_of(made)
    differ, sweeps = set(varying(made.known, runs)), _sweeps(selection)
    return ComparisonPage(
        title=_title(selection.chosen),
        chosen=tuple(
            ChosenChip(
                label=each.label,
                sweep_id=each.sweep.sweep_id,
                runs=each.runs,
                without=view.without(each.given).query() if view.ids else "",
                simulated=each.sweep.simulated,
                dummy_weights=has_dummy_weights(each.sweep.server),
                imported=sweep_import_line(each.sweep),
                foreign=foreign_client(each.sweep),
            )
            for each in selection.chosen
        ),
        notes=notes(full, selection, made),
        simulated=bool(runs) and all(run["simulated"] for run in runs),
        x=_choices(made.known, full.x, differ | {"load"}, numeric_of=runs),
        y=tuple(
            Choice(key, figure.label, key in full.y)
            for key, figure in DRAWN.items()
            if key in full.y or any(figure.read(run, full.stat) is not None for run in runs)
        ),
        stat=tuple(Choice(name, name, name == full.stat) for name in STATISTICS),
        color=_choices(made.known, full.color, differ | {"sweep"}),
        facet=(Choice("", "one chart", not full.facet), *_choices(made.known, full.facet, differ)),
        baseline=_baselines(view, made),
        show=tuple(
            Choice(value, label, value == full.show)
            for value, label in (("value", "figures"), ("ratio", "ratios to the baseline"))
        ),
        log_x="x" in (full.log or ()),
        log_y="y" in (full.log or ()),
        log_said=full.log is not None,
        all=full.all,
        kept=tuple((name, value) for name, value in view.pairs() if name not in CHOICES),
        differences=server_differences([sweep.server for _, sweep in sweeps], [name for name, _ in sweeps]),
        accuracy=accuracy_comparisons([(name, sweep.accuracy) for name, sweep in sweeps]),
        matrix=matrix(made, x_label),
        uncompared=not_compared(made),
        legend=legend,
        symbols=symbols(legend, made.colors),
        sections=sections,
        query=view.query(),
    )


def _sweeps(selection: Selection) -> list[tuple[str, SweepRow]]:
    """Each sweep once, under the name that no other one has."""
    found = {each.sweep.sweep_id: each.sweep for each in selection.chosen}
    return [(selection.names[sweep_id], sweep) for sweep_id, sweep in found.items()]


def _section(view: View, made: Compared, figure: Figure, found: Sequence[Cell], drawing: CellDrawing) -> FigureSection:
    full = made.view
    drawn = [cell for cell in found if cell.status != "invalid" or full.all]
    return FigureSection(
        key=figure.key,
        title=figure.name(full.stat),
        unit=figure.unit,
        formula=figure.formula,
        charts=tuple(charts(figure, full.stat, drawn, drawing)),
        table=cell_table(
            figure, found, axes=made.axes, x_label=drawing.x_label, baseline=full.baseline, names=made.names
        ),
        csv=f"/compare.csv?{replace(view, y=(figure.key,)).query()}",
        answers=_answers(found, made),
    )


def _answers(found: Iterable[Cell], made: Compared) -> str:
    """How many points of each colour are better and worse than the baseline's: `Against bf16: fp8 3 better, 1 inconclusive`."""
    answers: dict[str, list[str]] = {}
    for cell in found:
        if cell.against_baseline is not None and cell.against_baseline.answer is not None:
            answers.setdefault(made.names[cell.place.color], []).append(cell.against_baseline.answer)
    told = [
        f"{color} " + ", ".join(f"{given.count(answer)} {word}" for answer, word in ANSWERS.items() if answer in given)
        for color, given in answers.items()
    ]
    return f"Against {made.names[made.view.baseline]}: {'; '.join(told)}." if told else ""


def _baselines(view: View, made: Compared) -> tuple[Choice, ...]:
    """What can be the baseline. The default stays out of the address, so that it holds for other colours too."""
    none = Choice(NO_BASELINE, "no baseline", not made.view.baseline)
    named = tuple(Choice(color, made.names[color], color == view.baseline) for color in made.colors)
    if len(made.colors) < 2:
        return (none, *named)
    text = f"{made.names[made.view.baseline]} (default)" if made.baseline_source in CHOSEN_BY_DEFAULT else "default"
    return (Choice("", text, not view.baseline), none, *named)


def _choices(
    known: dict[str, Dimension], chosen: str, offered: set[str], numeric_of: Sequence[RunDocument] = ()
) -> tuple[Choice, ...]:
    return tuple(
        Choice(key, dimension.label, key == chosen)
        for key, dimension in known.items()
        if key in offered or key == chosen
        if not numeric_of or key == chosen or len({str(dimension.read(run)) for run in numeric_of}) <= 40
    )


def _title(chosen: Sequence[Chosen]) -> str:
    if not chosen:
        return "Compare"
    names = list(dict.fromkeys(each.label for each in chosen))
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 2 else " and ".join(names)
