"""The cells of a comparison: runs of one question at one place of the drawing, pooled, and judged against the baseline's cell.

A cell never mixes what was asked: whatever differs besides what was chosen tells cells
apart too (`CellAxes.remainder`). Invalid runs have cells of their own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from loadgen.analysis.compare import Answer, Reason, answer_of, are_paired, asked_alike, is_one_figure
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.stats import Change, change
from loadgen.report.format import is_number, setting
from loadgen.report.points import Dimension, Pooled, pool

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")


@dataclass(frozen=True, slots=True)
class CellAxes:
    """What the drawing runs along, what its colours and its parts are, and what else tells its lines apart."""

    x: Dimension
    color: Dimension
    facet: Dimension | None
    remainder: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cell stands. `x` is a number, or a word where the axis has words."""

    x: Any
    color: str
    facet: str
    remainder: str


@dataclass(frozen=True, slots=True)
class CellRatio:
    """A cell's figure as a share of the baseline's (of geometric means, `stats.change`), and what may be said of the change. `answer` None: neither way is better."""

    ratio: float | None
    change: Change | None
    answer: Answer | None
    reason: Reason | None
    paired: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of a figure: its runs in the order in which they ran, and their mean; None where none has the figure."""

    place: Place
    runs: tuple[RunDocument, ...]
    pooled: Pooled | None
    against_baseline: CellRatio | None = None

    @property
    def status(self) -> str:
        """`valid`, `doubtful` as soon as one of its runs is, or `invalid`, of which it then has no other."""
        found = {run["verdict"]["status"] for run in self.runs}
        return "invalid" if "invalid" in found else "doubtful" if "doubtful" in found else "valid"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not valid: the findings of its runs that say so, each once."""
        findings = (finding for run in self.runs for finding in run["verdict"]["findings"])
        told = [each["message"] for each in findings if each.get("severity", "doubtful") != "note"]
        return tuple(dict.fromkeys(told)) if self.status != "valid" else ()

    @property
    def simulated(self) -> bool:
        """Whether any of its runs was measured against the simulator."""
        return any(run["simulated"] for run in self.runs)


def place_of(run: RunDocument, axes: CellAxes) -> Place:
    return Place(
        x=axes.x.read(run),
        color=axes.color.text(run),
        facet="" if axes.facet is None else axes.facet.text(run),
        remainder=" · ".join(each.text(run) for each in axes.remainder),
    )


def cells(
    runs: Sequence[RunDocument], axes: CellAxes, figure: Figure, stat: str, colors: Sequence[str], baseline: str = ""
) -> list[Cell]:
    """The cells of a figure in order of facet, `colors`, the rest and x; with a `baseline`, one of them, each against its cell."""
    groups: dict[tuple[Place, bool], list[RunDocument]] = {}
    for run in runs:
        groups.setdefault((place_of(run, axes), run["verdict"]["status"] == "invalid"), []).append(run)
    made = [
        Cell(place, tuple(members), pool([figure.read(run, stat) for run in members]))
        for (place, _), members in groups.items()
    ]
    if baseline:
        bases = {cell.place: cell for cell in made if cell.place.color == baseline and cell.status != "invalid"}
        made = [
            replace(cell, against_baseline=_ratio(bases.get(replace(cell.place, color=baseline)), cell, figure, stat))
            for cell in made
        ]
    rank = {color: position for position, color in enumerate(colors)}

    def order(cell: Cell) -> tuple[Any, ...]:
        place = cell.place
        return natural(place.facet), rank[place.color], natural(place.remainder), natural(place.x)

    return sorted(made, key=order)


def natural(value: Any) -> tuple[tuple[int, float, str], ...]:
    """A key that sorts numbers by their size, also within words: `64 in` before `1,024 in`, and numbers before words."""
    if isinstance(value, int | float):
        return ((0, float(value), ""),)
    parts = _NUMBER.split(_THOUSANDS.sub("", str(value)))
    return tuple((0, float(part), "") if _NUMBER.fullmatch(part) else (1, 0.0, part) for part in parts if part)


def _ratio(base: Cell | None, cell: Cell, figure: Figure, stat: str) -> CellRatio | None:
    if base is None or base.place == cell.place or cell.status == "invalid" or not base.pooled or not cell.pooled:
        return None
    if not is_one_figure(figure.key, base.runs[0], cell.runs[0]):
        return None
    a, b = (
        sorted((run for run in runs if figure.read(run, stat) is not None), key=lambda run: run["spec"]["seed"])
        for runs in (base.runs, cell.runs)
    )
    values_a, values_b = ([value for run in runs if (value := figure.read(run, stat)) is not None] for runs in (a, b))
    paired = are_paired(a, b)
    changed = change(values_a, values_b, paired=paired)
    ratio = None if changed is None else 1 + changed.ratio
    if not asked_alike(base.runs[0], cell.runs[0]):
        return CellRatio(ratio, changed, None if figure.better is None else "cant_tell", "asked_otherwise", paired)
    if figure.better is None:
        return CellRatio(ratio, changed, None, None, paired)
    answer, reason = answer_of(figure.better, changed)
    return CellRatio(ratio, changed, answer, reason, paired)


def x_text(value: Any) -> str:
    """A place on the axis, as people write it."""
    return setting(value) if is_number(value) else str(value)
