"""A figure over two things that were varied at once, such as the batch and the prompt's length: one cell each.

Every cell has its figure in writing; the darker, the greater.
"""

import math
from collections.abc import Mapping, Sequence

from typing_extensions import TypedDict

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.stats import wants_log
from loadgen.analysis.verdict import is_invalid
from loadgen.report.charts import palette
from loadgen.report.charts.chart import Chart, Spec, frame, layer
from loadgen.report.format import MISSING_FIGURE, figure, setting, shown_unit
from loadgen.report.points import Pooled, Table, axes, points


class HeatRow(TypedDict):
    line: str
    column: str
    text: str
    status: str
    share: float  # of the scale, 0 to 1
    runs: int


CELL_PX = 36


def heat_map(
    runs: Sequence[RunDocument], of: Figure, statistic: str, names: Mapping[str, str] | None = None
) -> Chart | None:
    """Columns along x, one row for whatever else was varied. None without two of each, or where no run has the figure.

    A point of invalid runs alone has a cell that says so.
    """
    along = axes(runs, names)
    columns = sorted({float(along.x.read(run)) for run in runs})
    lines = list(dict.fromkeys(along.series_text(run) for run in sorted(runs, key=along.rank)))
    if len(columns) < 2 or len(lines) < 2:
        return None
    cells: dict[tuple[str, float], tuple[Pooled, str]] = {}
    for point in points(runs, along):
        pooled = point.pooled(lambda run: of.read(run, statistic))
        if pooled is not None:
            cells[point.series, point.x] = pooled, point.status
    if not cells:
        return None
    values = [pooled.mean for pooled, _ in cells.values()]
    log = wants_log(values)
    usable = {
        (along.series_text(run), float(along.x.read(run))): not is_invalid(run)
        for run in sorted(runs, key=is_invalid, reverse=True)
    }
    rows = []
    for (line, column), is_usable in usable.items():
        pooled, status = cells.get((line, column), (None, "unknown" if is_usable else "invalid"))
        share = 0.0 if pooled is None else _share(pooled.mean, min(values), max(values), log)
        rows.append(_row(line, column, pooled=pooled, status=status, unit=of.unit, share=share))
    words = [f"Darker is {'more' if of.better != 'lower' else 'longer' if of.unit == 's' else 'more'}."]
    words += ["The scale is logarithmic."] if log else []
    words += ["Means over repeats."] if any(row["runs"] > 1 for row in rows) else []
    words += ["?: doubtful."] if any(row["status"] == "doubtful" for row in rows) else []
    words += ["–: not known, or too few values."] if any(row["status"] == "unknown" for row in rows) else []
    spec = cells_spec(
        rows, [setting(column) for column in columns], lines, x_label=along.x_label, label=of.name(statistic)
    )
    shown = {(row["line"], row["column"]): row["text"] for row in rows}
    table = Table(
        (along.series_label or "", *(f"{along.x_label} {setting(column)}" for column in columns)),
        tuple((line, *(shown.get((line, setting(column)), MISSING_FIGURE) for column in columns)) for line in lines),
    )
    return Chart(
        f"heat_map_{of.key}", f"{of.name(statistic)}, heat map", shown_unit(of.unit), " ".join(words), spec, table
    )


def _row(line: str, column: float, *, pooled: Pooled | None, status: str, unit: str, share: float) -> HeatRow:
    text = "invalid" if status == "invalid" else figure(None if pooled is None else pooled.mean, unit)
    return {
        "line": line,
        "column": setting(column),
        "text": f"{text} ?" if status == "doubtful" else text,
        "status": status,
        "share": round(share, 4),
        "runs": 0 if pooled is None else pooled.runs,
    }


def _share(value: float, low: float, high: float, log: bool) -> float:
    """Where the value lies between the least and the greatest, 0 to 1."""
    if low == high:
        return 0.0
    return math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)


def cells_spec(rows: list[HeatRow], columns: list[str], lines: list[str], *, x_label: str, label: str) -> Spec:
    """Return the specification of these places, columns and lines in order; `label` is what the figure is called."""
    x: Spec = {"field": "column", "type": "ordinal", "title": x_label}
    x |= {"scale": {"domain": columns, "paddingInner": 0.03}}
    y: Spec = {"field": "line", "type": "ordinal", "title": None, "scale": {"domain": lines, "paddingInner": 0.05}}
    x |= {"axis": {"labelAngle": 0, "domain": False, "ticks": False, "grid": False}}
    y |= {"axis": {"labelLimit": 240, "grid": False}}
    fill: Spec = {"field": "share", "type": "quantitative", "legend": None}
    fill |= {"scale": {"domain": [0, 1], "range": list(palette.SEQUENCE)}}
    tooltip = [
        {"field": "column", "type": "nominal", "title": x_label},
        {"field": "line", "type": "nominal", "title": "of"},
        {"field": "text", "type": "nominal", "title": label},
        {"field": "runs", "title": "runs"},
        {"field": "status", "type": "nominal", "title": "verdict"},
    ]
    ink: Spec = {
        "condition": {"test": f"datum.share > {palette.WHITE_FROM}", "value": "#ffffff"},
        "value": palette.CELL_INK,
    }
    both: Spec = {"x": x, "y": y, "tooltip": tooltip}
    written = both | {"text": {"field": "text"}}
    cells = [
        layer({"type": "rect", "cornerRadius": 2}, both | {"color": fill}, only="datum.runs > 0"),
        layer({"type": "text", "fontSize": 11}, written | {"color": ink}, only="datum.runs > 0"),
        layer({"type": "text", "fontSize": 11, "fontStyle": "italic"}, written, only="datum.runs === 0"),
    ]
    return frame(rows, CELL_PX * len(lines)) | {"layer": cells}
