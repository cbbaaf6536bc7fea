"""What has no column in the matrix of a comparison, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from loadgen.analysis.compare import Unlike, asked_otherwise
from loadgen.report.comparison.cells import Cell, Place
from loadgen.report.comparison.names import ShortNames
from loadgen.report.format import number

MAX_NAMES = 8
MAX_FIELDS = 3

LineKey = tuple[str, str, str]  # colour, part, what else tells lines apart


@dataclass(frozen=True, slots=True)
class Uncompared:
    """Lines without a comparable point, and the reason that they share."""

    reason: str
    lines: tuple[LineKey, ...]


def line_of(place: Place) -> LineKey:
    """Return the line that a cell stands on."""
    return place.color, place.facet, place.remainder


def title(line: LineKey, names: ShortNames) -> str:
    """Return a line in words, its colour by the short name."""
    return " · ".join(filter(None, (names[line[0]], *line[1:])))


def is_comparable(cell: Cell) -> bool:
    """Whether the cell stands against one of the baseline that was asked for the same work."""
    return cell.against_baseline is not None and cell.against_baseline.reason != "asked_otherwise"


def uncompared(found: Sequence[Cell], comparable: Sequence[LineKey], baseline: str) -> tuple[Uncompared, ...]:
    """Return the lines of a figure's cells that are not `comparable`, by reason; the baseline's own are none of them."""
    lines: dict[LineKey, list[Cell]] = {}
    for cell in found:
        if cell.place.color != baseline:
            lines.setdefault(line_of(cell.place), []).append(cell)
    bases = {cell.place: cell for cell in found if cell.place.color == baseline and cell.status != "invalid"}
    reasons: dict[str, list[LineKey]] = {}
    for line, cells in lines.items():
        if line not in comparable:
            reasons.setdefault(_reason(cells, bases, baseline), []).append(line)
    return tuple(Uncompared(reason, tuple(members)) for reason, members in reasons.items())


def sentence(groups: Sequence[Uncompared], names: ShortNames, baseline: str) -> str:
    """Return what is not compared, and why, in one sentence; empty if there is none."""
    said = [f"{_listed([title(line, names) for line in each.lines])} ({each.reason})" for each in groups]
    return f"Not compared with {names[baseline]}: {'; '.join(said)}." if said else ""


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
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return "none" if value is None else str(value)[:40]


def _listed(titles: Sequence[str]) -> str:
    quoted = [f"“{each}”" for each in titles[:MAX_NAMES]]
    if len(titles) > MAX_NAMES:
        quoted.append(f"{len(titles) - MAX_NAMES} more")
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))
