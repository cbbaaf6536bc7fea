"""A sweep's tables on its page: its load points, each figure the mean over the repeats that are not invalid, and its runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.point_findings import repeats_differ
from loadgen.analysis.verdict import usable_runs
from loadgen.report.figures import highest
from loadgen.report.format import MISSING_FIGURE, number
from loadgen.report.points import INPUT_TOKENS, OUTPUT_TOKENS, Axes, LoadPoint, axes, load_points, spread_label
from loadgen.report.words.sweep_columns import Column, columns

_LOAD_AND_LENGTHS = (("load", ""), ("in", "tokens"), ("out", "tokens"))
_WORST_LAST = ("valid", "doubtful", "invalid")
_SHOWN = (INPUT_TOKENS.key, OUTPUT_TOKENS.key, "kind", "arrivals")  # in columns; the load's label has the last two


@dataclass(frozen=True, slots=True)
class PointCell:
    """A figure and half of its spread over the repeats; empty without repeats."""

    value: str
    spread: str = ""


@dataclass(frozen=True, slots=True)
class PointLine:
    status: str
    all_invalid: bool  # its figures are those of invalid runs
    cells: tuple[PointCell, ...]


@dataclass(frozen=True, slots=True)
class PointsTable:
    """A sweep's load points in the order of its charts. `columns` have a heading and a unit."""

    columns: tuple[tuple[str, str], ...]
    lines: tuple[PointLine, ...]
    note: str


@dataclass(frozen=True, slots=True)
class RunLine:
    run_id: str
    repeat: int
    status: str
    simulated: bool
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunsTable:
    """A sweep's runs by load point. `columns` have a heading and a unit."""

    columns: tuple[tuple[str, str], ...]
    lines: tuple[RunLine, ...]


def points_table(runs: Sequence[RunDocument]) -> PointsTable:
    along = axes(runs)
    found = load_points(runs, along)
    shown = [column for column in columns(runs) if column.heading and column.is_of_points]
    return PointsTable(
        columns=(
            *_LOAD_AND_LENGTHS,
            *((column.heading, column.unit) for column in shown),
            ("ok", "requests"),
            ("repeats", ""),
        ),
        lines=tuple(_point_line(point, along, shown) for point in found),
        note=_note(found),
    )


def runs_table(runs: Sequence[RunDocument]) -> RunsTable:
    """Return the table of a sweep's runs. The columns that not every sweep has come last."""
    shown = [column for column in columns(runs) if column.heading]
    usual, others = [each for each in shown if each.is_of_points], [each for each in shown if not each.is_of_points]
    headings = [heading for column in usual for heading in _run_headings(column)]
    last = [heading for column in others for heading in _run_headings(column)]
    return RunsTable(
        columns=(*_LOAD_AND_LENGTHS, *headings, ("ok", "of planned"), *last),
        lines=tuple(_run_line(run, usual, others) for run in sorted(runs, key=axes(runs).rank)),
    )


def worst_status(runs: Sequence[RunDocument]) -> str:
    """Return the verdict on a load point: that of its worst run, and doubtful if its repeats differ too much."""
    status = max((run["verdict"]["status"] for run in runs), key=_WORST_LAST.index)
    return "doubtful" if status == "valid" and repeats_differ(runs) is not None else str(status)


def ok_of_planned(runs: Sequence[RunDocument]) -> tuple[int, int]:
    """Return how many requests of a load point's runs were ok, and how many were planned."""
    return sum(run["outcomes"].get("ok", 0) for run in runs), sum(run["outcomes"]["planned"] for run in runs)


def _point_line(point: LoadPoint, along: Axes, shown: Sequence[Column]) -> PointLine:
    usable = usable_runs(point.runs)
    load, *lengths = _load_and_lengths(point.runs[0])
    others = (each.text(point.runs[0]) for each in along.series if each.key not in _SHOWN)
    ok, planned = ok_of_planned(point.runs)
    return PointLine(
        status=worst_status(point.runs),
        all_invalid=not usable,
        cells=(
            PointCell(" · ".join(filter(None, (load, *others)))),
            *map(PointCell, lengths),
            *(_point_cell(column, point.runs) for column in shown),
            PointCell(f"{ok:,}" if ok == planned else f"{ok:,} of {planned:,}"),
            PointCell(f"{len(usable)}" if len(usable) == len(point.runs) else f"{len(usable)} of {len(point.runs)}"),
        ),
    )


def _point_cell(column: Column, runs: Sequence[RunDocument]) -> PointCell:
    pooled = column.pooled(runs)
    half = None if pooled is None or not column.has_spread else pooled.half_spread
    return PointCell(column.text(None if pooled is None else pooled.mean), "" if half is None else column.text(half))


def _run_headings(column: Column) -> list[tuple[str, str]]:
    heading = [(column.heading, column.unit)]
    return [*heading, (column.heading.replace(column.statistic, "high"), column.unit)] if column.high else heading


def _run_line(run: RunDocument, usual: Sequence[Column], others: Sequence[Column]) -> RunLine:
    ok, planned = ok_of_planned([run])
    return RunLine(
        run_id=run["run_id"],
        repeat=run["repeat"],
        status=run["verdict"]["status"],
        simulated=run["simulated"],
        cells=(
            *_load_and_lengths(run),
            *(text for column in usual for text in _run_cells(run, column)),
            f"{ok:,} / {planned:,}",
            *(text for column in others for text in _run_cells(run, column)),
        ),
    )


def _run_cells(run: RunDocument, column: Column) -> list[str]:
    cells = [column.text(column.read(run))]
    if column.high:
        name = highest(column.figure, [run])
        cells.append(MISSING_FIGURE if name is None else f"{column.text(column.figure.read(run, name))} {name}")
    return cells


def _load_and_lengths(run: RunDocument) -> tuple[str, str, str]:
    spec = run["spec"]
    return spec["load_label"], number(spec["input_tokens"]), number(spec["output_tokens"])


def _note(found: Sequence[LoadPoint]) -> str:
    usable = [len(usable_runs(point.runs)) for point in found]
    words = []
    if any(count > 1 for count in usable):
        spread = spread_label(usable).removesuffix(" of repeats")
        words.append(f"Means over the repeats; ± is half their {spread}.")
    if any(count < len(point.runs) for count, point in zip(usable, found, strict=True)):
        words.append("Invalid runs are left out; where all are invalid, the figures are struck out.")
    return " ".join(words)
