"""The matrix at the head of a comparison: each figure at each load, as a change against the baseline.

May import analysis and the rest of report. It reads what the cells already say; nothing is computed a second time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadgen.report.comparison.cells import Cell, natural, x_text
from loadgen.report.comparison.table import ANSWERS, because
from loadgen.report.figures import Figure
from loadgen.report.readable import MISSING_FIGURE

MOST_COLORS = 6  # beside the baseline


@dataclass(frozen=True, slots=True)
class Change:
    """One field: `−63 % worse`, or a dash where the two cannot be compared."""

    text: str
    answer: str  # "", "better", "worse" or "can't tell"
    because: str


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one colour (of one part, of one line): a figure's name, and its change at each load."""

    title: str
    rows: tuple[tuple[str, tuple[Change, ...]], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All groups over the same columns. `left_out` counts the colours beyond `MOST_COLORS`."""

    baseline: str
    x_label: str
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    left_out: int


def matrix(
    figures: Sequence[tuple[Figure, Sequence[Cell]]], colors: Sequence[str], baseline: str, stat: str, x_label: str
) -> Matrix | None:
    """The matrix of all figures; None without a baseline, or where no point can be compared with it."""
    compared = [cell for _, found in figures for cell in found if cell.against_baseline is not None]
    if not baseline or not compared:
        return None
    others = [color for color in colors if color != baseline]
    columns = sorted({cell.place.x for cell in compared}, key=natural)
    places = {(cell.place.color, cell.place.facet, cell.place.rest) for cell in compared}

    def order(place: tuple[str, str, str]) -> tuple[object, ...]:
        return others.index(place[0]), natural(place[1]), natural(place[2])

    groups = tuple(
        Group(
            " · ".join(filter(None, place)),
            tuple((figure.name(stat), tuple(_changes(found, place, columns))) for figure, found in figures),
        )
        for place in sorted(places, key=order)
        if place[0] in others[:MOST_COLORS]
    )
    texts = tuple(x_text(value) for value in columns)
    return Matrix(baseline, x_label, texts, groups, max(0, len(others) - MOST_COLORS))


def _changes(found: Iterable[Cell], place: tuple[str, str, str], columns: Sequence[object]) -> Iterable[Change]:
    here = {
        cell.place.x: cell
        for cell in found
        if cell.against_baseline is not None and (cell.place.color, cell.place.facet, cell.place.rest) == place
    }
    for column in columns:
        yield _change(here.get(column))


def _change(cell: Cell | None) -> Change:
    against = None if cell is None else cell.against_baseline
    if cell is None or against is None:
        return Change(MISSING_FIGURE, "", "")
    answer = "" if against.answer is None else ANSWERS[against.answer]
    if against.ratio is None:
        return Change(answer or MISSING_FIGURE, answer, because(cell))
    return Change(f"{percent(against.ratio)} {answer}".strip(), answer, because(cell))


def percent(ratio: float) -> str:
    """A ratio as a change, with its sign: `−63 %`."""
    change = 100 * (ratio - 1)
    text = f"{change:+,.1f}" if abs(change) < 9.95 else f"{change:+,.0f}"
    return "0 %" if text in ("+0.0", "-0.0") else f"{text.replace('-', '−')} %"
