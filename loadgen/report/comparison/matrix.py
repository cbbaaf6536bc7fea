"""The matrix at the head of a comparison: each figure at each load, as a change against the baseline.

It reads what the cells already say; nothing is computed a second time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadgen.report.comparison.cells import Cell, natural, x_text
from loadgen.report.comparison.compared import Compared
from loadgen.report.comparison.table import ANSWERS, because
from loadgen.report.comparison.uncompared import LineKey, is_comparable, line_of, title
from loadgen.report.format import MISSING_FIGURE

MAX_COLORS = 6  # besides the baseline
CHOSEN_BY_DEFAULT = {"oldest_sweep": "the oldest sweep", "first": "the first"}


@dataclass(frozen=True, slots=True)
class MatrixField:
    """One field: `−63 % worse`, or a dash where the two cannot be compared."""

    text: str
    answer: str  # "", or one of `ANSWERS`
    because: str


@dataclass(frozen=True, slots=True)
class MatrixGroup:
    """The rows of one colour (of one part, of one line): a figure's name, and its change at each load."""

    title: str
    color: str  # in full
    rows: tuple[tuple[str, tuple[MatrixField, ...]], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All groups over the same columns. `left_out` counts the comparable colours beyond `MAX_COLORS`."""

    baseline: str
    chosen_by_default: str  # what the baseline is among the colours; empty if the address names it
    x_label: str
    columns: tuple[str, ...]
    groups: tuple[MatrixGroup, ...]
    left_out: int


def comparable_lines(made: Compared) -> tuple[LineKey, ...]:
    """Return the lines with a point that can be compared with the baseline's, colours in their order."""
    lines = {line_of(cell.place) for _, found in made.figures for cell in found if is_comparable(cell)}
    return tuple(sorted(lines, key=lambda line: (made.colors.index(line[0]), natural(line[1]), natural(line[2]))))


def matrix(made: Compared, x_label: str) -> Matrix | None:
    """Return the matrix of all figures; None without a baseline, or if no line can be compared with it."""
    lines = comparable_lines(made)
    if not lines:
        return None
    colors = list(dict.fromkeys(line[0] for line in lines))
    shown = [line for line in lines if line[0] in colors[:MAX_COLORS]]
    compared = (cell for _, found in made.figures for cell in found if cell.against_baseline is not None)
    columns = sorted({cell.place.x for cell in compared if line_of(cell.place) in shown}, key=natural)
    groups = tuple(
        MatrixGroup(
            title=title(line, made.names),
            color=line[0],
            rows=tuple(
                (figure.name(made.view.stat), tuple(_changes(found, line, columns))) for figure, found in made.figures
            ),
        )
        for line in shown
    )
    texts = tuple(x_text(value) for value in columns)
    return Matrix(
        baseline=made.view.baseline,
        chosen_by_default=CHOSEN_BY_DEFAULT.get(made.baseline_source, ""),
        x_label=x_label,
        columns=texts,
        groups=groups,
        left_out=max(0, len(colors) - MAX_COLORS),
    )


def _changes(found: Iterable[Cell], line: LineKey, columns: Sequence[object]) -> Iterable[MatrixField]:
    here = {cell.place.x: cell for cell in found if cell.against_baseline is not None and line_of(cell.place) == line}
    for column in columns:
        yield _change(here.get(column))


def _change(cell: Cell | None) -> MatrixField:
    against = None if cell is None else cell.against_baseline
    if cell is None or against is None:
        return MatrixField(MISSING_FIGURE, "", "")
    answer = "" if against.answer is None else ANSWERS[against.answer]
    if against.ratio is None:
        return MatrixField(answer or MISSING_FIGURE, answer, because(cell))
    return MatrixField(f"{percent(against.ratio)} {answer}".strip(), answer, because(cell))


def percent(ratio: float) -> str:
    """A ratio as a change, with its sign: `−63 %`."""
    change = 100 * (ratio - 1)
    text = f"{change:+,.1f}" if abs(change) < 9.95 else f"{change:+,.0f}"
    return "0 %" if text in ("+0.0", "-0.0") else f"{text.replace('-', '−')} %"
