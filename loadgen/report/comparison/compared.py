"""A view with all its blanks filled, and the cells of its figures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figure_table import DRAWN
from loadgen.analysis.figures.figure import Figure
from loadgen.errors import UsageError
from loadgen.report.comparison.cells import Cell, CellAxes, cells, natural
from loadgen.report.comparison.dimensions import default_color, default_x, dimensions, remainder, varying
from loadgen.report.comparison.names import ShortNames, short_names
from loadgen.report.comparison.selection import Selection
from loadgen.report.comparison.view import NO_BASELINE, View, check_choice
from loadgen.report.figures import ENERGY_PER_TOKEN, gap_figure
from loadgen.report.points import Dimension

BaselineSource = Literal["asked", "none_asked", "oldest_sweep", "first", "one_only"]


@dataclass(frozen=True, slots=True)
class Compared:
    """A view with all its blanks filled, and the cells of each figure."""

    view: View
    axes: CellAxes
    colors: tuple[str, ...]
    figures: tuple[tuple[Figure, tuple[Cell, ...]], ...]
    known: dict[str, Dimension]
    baseline_source: BaselineSource
    names: ShortNames  # of the colours

    @property
    def lines(self) -> tuple[str, ...]:
        """What tells lines of one colour apart, in order."""
        return tuple(sorted({cell.place.remainder for _, found in self.figures for cell in found}, key=natural))


def compared(view: View, selection: Selection) -> Compared:
    """The cells that the view asks for. Raises UsageError for a name in it that these runs do not have."""
    runs = selection.runs
    known = dimensions(runs, selection.names, selection.tags)
    for name in ("x", "color", "facet"):
        if getattr(view, name):
            check_choice(name, getattr(view, name), known)
    for key in view.y:
        check_choice("y", key, DRAWN)
    differing = varying(known, runs)
    x = view.x or default_x(differing)
    color = view.color or default_color(known, differing, runs)
    facet = view.facet if view.facet not in (x, color) else ""
    chosen = [key for key in (x, color, facet) if key]
    axes = CellAxes(known[x], _marked(known[color], runs), known.get(facet), remainder(known, runs, chosen))
    y = view.y or _usual(runs)
    colors = _colors(axes.color, runs)
    baseline, source = _baseline(view, axes.color, colors, selection)
    filled = replace(view, x=x, y=y, color=color, facet=facet, baseline=baseline)
    if filled.show == "ratio" and not baseline:
        raise UsageError("show is ratio, which needs a baseline: choose one")
    figures = tuple(
        (DRAWN[key], tuple(cells(runs, axes, figure=DRAWN[key], stat=view.stat, colors=colors, baseline=baseline)))
        for key in y
    )
    return Compared(
        view=filled,
        axes=axes,
        colors=colors,
        figures=figures,
        known=known,
        baseline_source=source,
        names=short_names(colors),
    )


def _usual(runs: Sequence[RunDocument]) -> tuple[str, ...]:
    """The figures that a comparison begins with: those that some run has."""
    usual = ["output_tokens_per_s", "ttft_s", gap_figure(runs).key, "tpot_s", "e2e_latency_s"]
    if any((run["spec"].get("slo") or {}) for run in runs):
        usual.append("goodput_per_s")
    if any(ENERGY_PER_TOKEN.read(run) is not None for run in runs):
        usual.append(ENERGY_PER_TOKEN.key)
    return tuple(usual)


def _marked(color: Dimension, runs: Sequence[RunDocument]) -> Dimension:
    """The dimension of the colours, in which what was simulated says so where other runs were not."""
    if color.key == "simulated" or len({bool(run["simulated"]) for run in runs}) == 1:
        return color

    def read(run: RunDocument) -> str:
        text = color.text(run)
        return f"{text} (SIMULATED)" if run["simulated"] and "SIMULATED" not in text else text

    return Dimension(color.key, color.label, "{}", read)


def _colors(color: Dimension, runs: Sequence[RunDocument]) -> tuple[str, ...]:
    """Its values: sweeps in the order in which they were chosen, all else by size."""
    found = dict.fromkeys(color.text(run) for run in runs)
    return tuple(found if color.key == "sweep" else sorted(found, key=natural))


def _baseline(view: View, color: Dimension, colors: Sequence[str], selection: Selection) -> tuple[str, BaselineSource]:
    """Return the colour that the others are compared with, empty for none, and how it was chosen.

    If the address leaves it open, it is the oldest sweep's colour where each sweep has its own, else the first.
    """
    if view.baseline == NO_BASELINE:
        return "", "none_asked"
    if view.baseline:
        check_choice("baseline", view.baseline, colors)
        return view.baseline, "asked"
    if len(colors) < 2:
        return "", "one_only"
    pairs = {(run["sweep_id"], color.text(run)) for run in selection.runs}
    if not len(pairs) == len({sweep_id for sweep_id, _ in pairs}) == len(colors):
        return colors[0], "first"
    created = {each.sweep.sweep_id: each.sweep.created_at for each in selection.chosen}
    return color.text(min(selection.runs, key=lambda run: created.get(run["sweep_id"], ""))), "oldest_sweep"
