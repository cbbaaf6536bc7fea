"""The table of a sweep's load points: one row a point, its figures as means over the repeats that are not invalid.

The terminal's table judges a point by the same functions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.point_findings import repeats_differ
from loadgen.report.figures import REQUESTS_PER_S, THROUGHPUT, TPOT, TTFT, gap_figure
from loadgen.report.format import milliseconds, number
from loadgen.report.points import (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    Axes,
    Document,
    Point,
    axes,
    load_points,
    spread_label,
    usable_runs,
)

_WORST_LAST = ("valid", "doubtful", "invalid")
_SHOWN = (INPUT_TOKENS.key, OUTPUT_TOKENS.key, "kind", "arrivals")  # in columns; the load's label has the last two


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure and half of its spread over the repeats; empty without repeats."""

    value: str
    spread: str = ""


@dataclass(frozen=True, slots=True)
class PointLine:
    """A load point's row."""

    status: str
    all_invalid: bool  # its figures are those of invalid runs
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class PointsTable:
    """A sweep's load points in the order of its charts. `columns` have a heading and a unit."""

    columns: tuple[tuple[str, str], ...]
    lines: tuple[PointLine, ...]
    note: str


def points_table(runs: Sequence[Document]) -> PointsTable:
    """Return the table of the load points of a sweep's runs."""
    along = axes(runs)
    found = load_points(runs, along)
    gap = gap_figure(runs)
    return PointsTable(
        columns=(
            ("load", ""),
            ("in", "tokens"),
            ("out", "tokens"),
            ("TTFT p50", "ms"),
            (f"{gap.label.lower()} p50", "ms"),
            ("TPOT p50", "ms"),
            ("output", "tokens/s"),
            ("requests", "/s"),
            ("ok", "requests"),
            ("repeats", ""),
        ),
        lines=tuple(_line(point, along, gap) for point in found),
        note=_note(found),
    )


def worst_status(runs: Sequence[Document]) -> str:
    """Return the verdict on a load point: that of its worst run, and doubtful if its repeats differ too much."""
    status = max((run["verdict"]["status"] for run in runs), key=_WORST_LAST.index)
    return "doubtful" if status == "valid" and repeats_differ(runs) is not None else str(status)


def ok_of_planned(runs: Sequence[Document]) -> tuple[int, int]:
    """Return how many requests of a load point's runs were ok, and how many were planned."""
    return sum(run["outcomes"].get("ok", 0) for run in runs), sum(run["outcomes"]["planned"] for run in runs)


def _line(point: Point, along: Axes, gap: Figure) -> PointLine:
    spec, usable = point.runs[0]["spec"], usable_runs(point.runs)
    shown = Point(point.x, point.series, tuple(usable) or point.runs)

    def cell(read: Callable[[Document], float | None], write: Callable[[float | None], str], spread: bool) -> Cell:
        pooled = shown.pooled(read)
        half = None if pooled is None or not spread else pooled.half_spread
        return Cell(write(None if pooled is None else pooled.mean), "" if half is None else write(half))

    ok, planned = ok_of_planned(point.runs)
    return PointLine(
        status=worst_status(point.runs),
        all_invalid=not usable,
        cells=(
            Cell(_load(point.runs[0], along)),
            Cell(number(spec["input_tokens"])),
            Cell(number(spec["output_tokens"])),
            cell(TTFT.read, milliseconds, spread=True),
            cell(gap.read, milliseconds, spread=False),
            cell(TPOT.read, milliseconds, spread=False),
            cell(THROUGHPUT.read, number, spread=True),
            cell(REQUESTS_PER_S.read, number, spread=False),
            Cell(f"{ok:,}" if ok == planned else f"{ok:,} of {planned:,}"),
            Cell(f"{len(usable)}" if len(usable) == len(point.runs) else f"{len(usable)} of {len(point.runs)}"),
        ),
    )


def _load(run: Document, along: Axes) -> str:
    """Return the load, with what else the sweep varied and no column shows."""
    others = (each.text(run) for each in along.series if each.key not in _SHOWN)
    return " · ".join(filter(None, (run["spec"]["load_label"], *others)))


def _note(found: Sequence[Point]) -> str:
    usable = [len(usable_runs(point.runs)) for point in found]
    words = []
    if any(count > 1 for count in usable):
        spread = spread_label(usable).removesuffix(" of repeats")
        words.append(f"Means over the repeats; ± is half their {spread}.")
    if any(count < len(point.runs) for count, point in zip(usable, found, strict=True)):
        words.append("Invalid runs are left out; where all are invalid, the figures are struck out.")
    return " ".join(words)
