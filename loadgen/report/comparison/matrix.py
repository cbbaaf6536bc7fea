"""The matrix at the head of a comparison: each figure at each load, as a change against the baseline; and what has no place in it.

It reads what the cells already say; nothing is computed a second time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from loadgen.analysis.compare import Unlike, asked_otherwise
from loadgen.analysis.verdict import and_of
from loadgen.report.comparison.cells import Cell, Place, natural, x_text
from loadgen.report.comparison.compared import Compared
from loadgen.report.comparison.names import ShortNames
from loadgen.report.comparison.table import because
from loadgen.report.format import ANSWERS, MISSING_FIGURE, is_number, number

MAX_COLORS = 6  # besides the baseline
MAX_NAMES = 8
MAX_FIELDS = 3
CHOSEN_BY_DEFAULT = {"oldest_sweep": "the oldest sweep", "first": "the first"}


LineKey = tuple[str, str, str]  # colour, part, what else tells lines apart


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


def line_of(place: Place) -> LineKey:
    return place.color, place.facet, place.remainder


def title(line: LineKey, names: ShortNames) -> str:
    """Return a line in words, its colour by the short name."""
    return " · ".join(filter(None, (names[line[0]], *line[1:])))


def is_comparable(cell: Cell) -> bool:
    """Whether the cell stands against one of the baseline that was asked for the same work."""
    return cell.against_baseline is not None and cell.against_baseline.reason != "asked_otherwise"


def not_compared(made: Compared) -> str:
    """Return which lines of the first figure have no place in the matrix, and why, in one sentence; empty if all have one.

    Empty too where nothing stands against the baseline at all, which a note says.
    """
    baseline, found = made.view.baseline, made.figures[0][1]
    if not any(cell.against_baseline for _, cells in made.figures for cell in cells):
        return ""
    lines: dict[LineKey, list[Cell]] = {}
    for cell in found:
        if cell.place.color != baseline:
            lines.setdefault(line_of(cell.place), []).append(cell)
    bases = {cell.place: cell for cell in found if cell.place.color == baseline and cell.status != "invalid"}
    comparable, reasons = comparable_lines(made), dict[str, list[str]]()
    for line, cells in lines.items():
        if line not in comparable:
            reasons.setdefault(_reason(cells, bases, baseline), []).append(title(line, made.names))
    said = [f"{_listed(titles)} ({reason})" for reason, titles in reasons.items()]
    return f"Not compared with {made.names[baseline]}: {'; '.join(said)}." if said else ""


def _reason(cells: Sequence[Cell], bases: Mapping[Place, Cell], baseline: str) -> str:
    usable = [cell for cell in cells if cell.status != "invalid"]
    if not usable:
        return "all runs are invalid"
    pairs = [(base, cell) for cell in usable if (base := bases.get(replace(cell.place, color=baseline))) is not None]
    for base, cell in pairs:
        if fields := list(asked_otherwise(base.runs[0], cell.runs[0])):
            return f"not the same work: {_differences(fields)}"
    if pairs:
        return "no figure in common"
    if {(base.facet, base.remainder) for base in bases} & {(cell.place.facet, cell.place.remainder) for cell in usable}:
        return "no load in common"
    return "no point at the same load, lengths and the rest"


def _differences(fields: Sequence[Unlike]) -> str:
    kinds = [each for each in fields if each.field == "shape.kind"]
    told = [
        f"{each.field} {_value(each.b)} instead of {_value(each.a)}"
        for each in kinds or fields[:MAX_FIELDS]  # loads of another kind differ in all that describes them
    ]
    more = f" and {len(fields) - MAX_FIELDS} more" if not kinds and len(fields) > MAX_FIELDS else ""
    return ", ".join(told) + more


def _value(value: object) -> str:
    if is_number(value):
        return number(value)
    return "none" if value is None else str(value)[:40]


def _listed(titles: Sequence[str]) -> str:
    quoted = [f"“{each}”" for each in titles[:MAX_NAMES]]
    if len(titles) > MAX_NAMES:
        quoted.append(f"{len(titles) - MAX_NAMES} more")
    return and_of(quoted)
