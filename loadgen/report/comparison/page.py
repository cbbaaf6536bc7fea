"""The page of a comparison: what was chosen, what can be chosen, a figure after the other, and what must be known of them.

May import store's rows, analysis and the rest of report.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import loadgen
from loadgen.analysis.compare import is_one_figure, unlike
from loadgen.errors import UsageError
from loadgen.report.charts import Chart
from loadgen.report.comparison.cells import Axes, Cell, cells, natural
from loadgen.report.comparison.chart import Drawing, charts
from loadgen.report.comparison.dimensions import default_color, default_x, dimensions, rest, varying
from loadgen.report.comparison.matrix import Matrix, matrix
from loadgen.report.comparison.selection import Chosen, Selection
from loadgen.report.comparison.table import CellTable, cell_table, rows
from loadgen.report.comparison.view import NO_BASELINE, STATISTICS, View, check_choice
from loadgen.report.facts import import_line
from loadgen.report.figures import FIGURES, Figure
from loadgen.report.foreign import foreign_client
from loadgen.report.points import LOAD, LOAD_LABELS, Dimension, Document, shape_kind
from loadgen.report.readable import plural
from loadgen.report.served import has_dummy_weights
from loadgen.report.sweep_charts import gap_metric


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing that can be chosen in the form."""

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
    matrix: Matrix | None
    sections: tuple[FigureSection, ...]
    query: str
    draws: bool = True
    version: str = loadgen.__version__


@dataclass(frozen=True, slots=True)
class Compared:
    """A view with all its blanks filled, and the cells of each figure."""

    view: View
    axes: Axes
    colors: tuple[str, ...]
    figures: tuple[tuple[Figure, tuple[Cell, ...]], ...]
    known: dict[str, Dimension]

    @property
    def lines(self) -> tuple[str, ...]:
        """What tells lines of one colour apart, in order."""
        return tuple(sorted({cell.place.rest for _, found in self.figures for cell in found}, key=natural))


def compared(view: View, selection: Selection) -> Compared:
    """The cells that the view asks for. Raises UsageError for a name in it that these runs do not have."""
    runs = selection.runs
    known = dimensions(runs, selection.names, selection.tags)
    for name in ("x", "color", "facet"):
        if getattr(view, name):
            check_choice(name, getattr(view, name), known)
    for key in view.y:
        check_choice("y", key, FIGURES)
    differing = varying(known, runs)
    x = view.x or default_x(differing)
    color = view.color or default_color(known, differing, runs)
    facet = view.facet if view.facet not in (x, color) else ""
    chosen = [key for key in (x, color, facet) if key]
    axes = Axes(known[x], _marked(known[color], runs), known.get(facet), rest(known, runs, chosen))
    y = view.y or _usual(runs)
    colors = _colors(axes.color, runs)
    if view.baseline not in ("", NO_BASELINE):
        check_choice("baseline", view.baseline, colors)
    baseline = "" if view.baseline == NO_BASELINE else view.baseline or _first(axes.color, colors, selection)
    filled = replace(view, x=x, y=y, color=color, facet=facet, baseline=baseline)
    if filled.show == "ratio" and not baseline:
        raise UsageError("show is ratio, which needs a baseline: choose one")
    figures = tuple((FIGURES[key], tuple(cells(runs, axes, FIGURES[key], view.stat, colors, baseline))) for key in y)
    return Compared(filled, axes, colors, figures, known)


def flat_rows(made: Compared) -> list[dict[str, Any]]:
    """All cells of all figures, for CSV and JSON."""
    view = made.view
    return [row for figure, found in made.figures for row in rows(figure, view.stat, found, made.axes, view.baseline)]


def comparison_page(view: View, selection: Selection) -> ComparisonPage:
    """The page of a view over what was selected. Raises UsageError for a name in it that these runs do not have."""
    made = compared(view, selection)
    full, runs = made.view, selection.runs
    x_label = _x_label(made.axes.x, runs)
    drawing = Drawing(x_label, made.colors, made.lines, full.log, full.baseline if full.show == "ratio" else "")
    sections = tuple(_section(view, full, figure, found, made.axes, x_label, drawing) for figure, found in made.figures)
    differ = set(varying(made.known, runs))
    fields = {"x", "y", "stat", "color", "facet", "baseline", "log", "show", "all"}
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
                imported="" if each.sweep.imported is None else import_line(asdict(each.sweep.imported)),
                foreign=foreign_client(each.sweep),
            )
            for each in selection.chosen
        ),
        notes=_notes(full, selection, made),
        simulated=bool(runs) and all(run["simulated"] for run in runs),
        x=_choices(made.known, full.x, differ | {"load"}, numeric_of=runs),
        y=tuple(
            Choice(key, figure.label, key in full.y)
            for key, figure in FIGURES.items()
            if key in full.y or any(figure.read(run, full.stat) is not None for run in runs)
        ),
        stat=tuple(Choice(name, name, name == full.stat) for name in STATISTICS),
        color=_choices(made.known, full.color, differ | {"sweep"}),
        facet=(Choice("", "one chart", not full.facet), *_choices(made.known, full.facet, differ)),
        baseline=_baselines(view, full, made.colors),
        show=tuple(
            Choice(value, label, value == full.show)
            for value, label in (("value", "figures"), ("ratio", "ratios to the baseline"))
        ),
        log_x="x" in (full.log or ()),
        log_y="y" in (full.log or ()),
        log_said=full.log is not None,
        all=full.all,
        kept=tuple((name, value) for name, value in view.pairs() if name not in fields),
        matrix=matrix(made.figures, made.colors, full.baseline, full.stat, x_label),
        sections=sections,
        query=view.query(),
    )


def _section(
    view: View, full: View, figure: Figure, found: Sequence[Cell], axes: Axes, x_label: str, drawing: Drawing
) -> FigureSection:
    drawn = [cell for cell in found if cell.status != "invalid" or full.all]
    return FigureSection(
        key=figure.key,
        title=figure.name(full.stat),
        unit=figure.unit,
        formula=figure.formula,
        charts=tuple(charts(figure, full.stat, drawn, drawing)),
        table=cell_table(figure, found, axes, x_label, full.baseline),
        csv=f"/compare.csv?{replace(view, y=(figure.key,)).query()}",
        answers=_answers(found, full.baseline),
    )


def _answers(found: Iterable[Cell], baseline: str) -> str:
    """How many points of each colour are better and worse than the baseline's: `Against bf16: fp8 3 better, 1 can’t tell`."""
    answers: dict[str, list[str]] = {}
    for cell in found:
        if cell.against_baseline is not None and cell.against_baseline.answer is not None:
            answers.setdefault(cell.place.color, []).append(cell.against_baseline.answer)
    told = [
        f"{color} "
        + ", ".join(
            f"{given.count(answer)} {word}"
            for answer, word in (("better", "better"), ("worse", "worse"), ("cant_tell", "can’t tell"))
            if answer in given
        )
        for color, given in answers.items()
    ]
    return f"Against {baseline}: {'; '.join(told)}." if told else ""


def _usual(runs: Sequence[Document]) -> tuple[str, ...]:
    """The figures that a comparison begins with: those that some run has."""
    usual = ["output_tokens_per_s", "ttft_s", gap_metric(runs), "tpot_s", "e2e_latency_s"]
    if any((run["spec"].get("slo") or {}) for run in runs):
        usual.append("goodput_per_s")
    if any(FIGURES["energy_per_output_token_j"].read(run, "p50") is not None for run in runs):
        usual.append("energy_per_output_token_j")
    return tuple(usual)


def _marked(color: Dimension, runs: Sequence[Document]) -> Dimension:
    """The dimension of the colours, in which what was simulated says so where other runs were not."""
    if color.key == "simulated" or len({bool(run["simulated"]) for run in runs}) == 1:
        return color

    def read(run: Document) -> str:
        text = color.text(run)
        return f"{text} (SIMULATED)" if run["simulated"] and "SIMULATED" not in text else text

    return Dimension(color.key, color.label, "{}", read)


def _colors(color: Dimension, runs: Sequence[Document]) -> tuple[str, ...]:
    """Its values: sweeps in the order in which they were chosen, all else by size."""
    found = dict.fromkeys(color.text(run) for run in runs)
    return tuple(found if color.key == "sweep" else sorted(found, key=natural))


def _first(color: Dimension, colors: Sequence[str], selection: Selection) -> str:
    """The baseline when nobody chose: of sweeps the oldest, else the first colour; none where there is one colour only."""
    if len(colors) < 2:
        return ""
    if color.key != "sweep":
        return colors[0]
    created = {each.sweep.sweep_id: each.sweep.created_at for each in selection.chosen}
    return color.text(min(selection.runs, key=lambda run: created.get(run["sweep_id"], "")))


def _baselines(view: View, full: View, colors: Sequence[str]) -> tuple[Choice, ...]:
    """What can be the baseline. The first choice stays out of the address, so that it holds for other colours too."""
    none = Choice(NO_BASELINE, "no baseline", not full.baseline)
    named = tuple(Choice(color, color, color == view.baseline) for color in colors)
    if len(colors) < 2:
        return (none, *named)
    first = "the oldest sweep" if full.color == "sweep" else "the first"
    text = first if view.baseline else f"{full.baseline} ({first})"
    return (Choice("", text, not view.baseline), none, *named)


def _x_label(x: Dimension, runs: Sequence[Document]) -> str:
    kinds = {shape_kind(run) for run in runs if run["spec"].get("shape")}
    return LOAD_LABELS.get(next(iter(kinds)), x.label) if x.key == LOAD.key and len(kinds) == 1 else x.label


def _choices(
    known: dict[str, Dimension], chosen: str, offered: set[str], numeric_of: Sequence[Document] = ()
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
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 2 else " beside ".join(names)


def _notes(view: View, selection: Selection, made: Compared) -> tuple[str, ...]:
    """What must be known of these charts, in sentences."""
    notes = []
    invalid = sum(run["verdict"]["status"] == "invalid" for run in selection.runs)
    if invalid:
        is_are = "is" if invalid == 1 else "are"
        notes.append(
            f"{plural(invalid, 'invalid run')} {is_are} {'drawn as crosses' if view.all else 'left out of the charts, and struck out in the tables'}."
        )
    if any(run["verdict"]["status"] == "doubtful" for run in selection.runs):
        notes.append("Hollow marks are doubtful; point at one, or at its verdict in the table, for the reason.")
    marks = {bool(run["simulated"]) for run in selection.runs}
    if marks == {True, False}:
        notes.append("Simulated runs stand beside real ones: their figures say nothing about a server.")
    if made.axes.rest:
        differ = ", ".join(each.label.lower() for each in made.axes.rest)
        notes.append(f"Lines of one colour differ in {differ}.")
    notes += _pooled_notes(made)
    if view.baseline:
        notes += _unlike_notes(view.baseline, selection, made)
        if not any(cell.against_baseline for _, found in made.figures for cell in found):
            notes.append(
                f"No point stands where {view.baseline} has one, at the same load, lengths and the rest: there is nothing to compare."
            )
    if selection.left_out:
        notes.append(f"{selection.left_out:,} older sweeps that fit the filters are not shown: filter further.")
    return tuple(notes)


def _pooled_notes(made: Compared) -> list[str]:
    """That points hold the runs of several sweeps as if they were repeats of one, and what of theirs is taken together so."""
    found = [cell.runs for cell in made.figures[0][1] if len({run["sweep_id"] for run in cell.runs}) > 1]
    if not found:
        return []
    names = {"url": "addresses of servers", "client_host": "clients", "day": "days"}
    differ = [
        name
        for key, name in names.items()
        if any(len({made.known[key].text(run) for run in runs}) > 1 for runs in found)
    ]
    of_several = f", and of different {', '.join(differ)}" if differ else ""
    return [f"Points take the runs of several sweeps together{of_several}; choose sweep as colour to see them apart."]


def _unlike_notes(baseline: str, selection: Selection, made: Compared) -> list[str]:
    """In what the baseline's runs were asked otherwise than those that are compared with them."""
    chosen = (made.axes.x, made.axes.color, made.axes.facet, *made.axes.rest)
    known = {each.key.removeprefix("asked.") for each in chosen if each is not None}
    bases = {
        (cell.place.x, cell.place.facet, cell.place.rest): cell
        for _, found in made.figures[:1]
        for cell in found
        if cell.place.color == baseline
    }
    fields: dict[str, None] = {}
    for _, found in made.figures[:1]:
        for cell in found:
            base = bases.get((cell.place.x, cell.place.facet, cell.place.rest))
            if base is not None and base is not cell:
                fields |= dict.fromkeys(each.field for each in unlike(base.runs[0], cell.runs[0]))
    told = [field for field in fields if field not in known and field.split(".")[-1] not in known]
    notes = [f"Compared with the baseline although unlike in {', '.join(told[:8])}."] if told else []
    runs = selection.runs
    if any(not is_one_figure(figure.key, runs[0], run) for figure, _ in made.figures for run in runs[1:]):
        notes.append("Goodput is compared with the baseline only where both have the same limits (SLO).")
    return notes
