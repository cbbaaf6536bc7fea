"""A figure along the load: a line for each of whatever else was varied, with what the repeats say around each mark.

A point is the mean over its repeats, its bar the 95 % interval of that mean, or the range of the repeats when there are only two.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from loadgen.analysis.bound import bound_of
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.stats import wants_log
from loadgen.report.charts import palette
from loadgen.report.charts.chart import (
    Chart,
    Spec,
    bound_line,
    frame,
    interval_bars,
    layer,
    load_axis,
    nominal,
    points_by_verdict,
    value_axis,
)
from loadgen.report.figures import GOODPUT, REQUESTS_PER_S, THROUGHPUT, slo_limit, tail
from loadgen.report.format import MISSING_FIGURE, setting, shown_factor, shown_unit
from loadgen.report.format import figure as shown
from loadgen.report.points import Axes, LoadPoint, Table, axes, limits_label, points, spread_label


class LoadRow(TypedDict):
    """A load point of a line, in the figure's own unit."""

    x: float
    series: str
    statistic: str  # empty: the figure has one number a run
    value: float  # mean over the repeats
    runs: int
    status: str
    low: NotRequired[float]  # of repeats: what their bar shows
    high: NotRequired[float]
    bound: NotRequired[float]  # the best value that the roofline allows at this point


GOOD, COMPLETED = "within the SLO", "completed"  # the lines of goodput
FARTHEST_LIMIT = 2.0  # a limit beyond so many times the axis would press the lines flat
BOUND_NOTE = (
    "Thin dotted lines are the roofline bound: the best that the datasheet's bandwidth and FLOP/s allow at each load."
)


def load_rows(drawn: Sequence[LoadPoint], name: str, read: Callable[[RunDocument], float | None]) -> list[LoadRow]:
    """One row a point that has the figure, in the metric's own unit; without repeats `low` and `high` are absent."""
    rows = []
    for point in drawn:
        pooled = point.pooled(read)
        if pooled is None:
            continue
        row: LoadRow = {
            "x": point.x,
            "series": point.series,
            "statistic": name,
            "value": pooled.mean,
            "runs": pooled.runs,
            "status": point.status,
        }
        if pooled.low is not None and pooled.high is not None:
            row |= {"low": max(pooled.low, 0.0), "high": pooled.high}
        rows.append(row)
    return rows


def bounded_rows(drawn: Sequence[LoadPoint], figure: Figure, statistic: str = "p50") -> list[LoadRow]:
    """The rows of a figure, with the roofline bound at the points where it is known."""
    rows = []
    for point in drawn:
        for row in load_rows([point], "", figure.reader(statistic)):
            bound = bound_of(point.runs[0], figure.key)
            rows.append(row if bound is None else row | {"bound": bound})
    return rows


def load_chart(
    figure: Figure,
    rows: list[LoadRow],
    *,
    along: Axes,
    notes: Sequence[str] = (),
    title: str | None = None,
    limit: float | None = None,
) -> Chart:
    """The chart of these rows of a figure (`load_rows`), which its `notes` explain; without a `title` the figure's label is it.

    `limit`, in the figure's own unit, is that of an SLO: a line across, where it is near.
    """
    title, unit, words = title or figure.label, figure.unit, list(notes)
    if not rows:
        return Chart(figure.key, title, shown_unit(unit), "No usable run has this figure.", None)
    log = unit == "s" and wants_log([row["value"] for row in rows])
    floor, ceiling = _ends(rows, log)
    bounds = [row["bound"] for row in rows if "bound" in row]
    if bounds:
        floor, ceiling = _with_bounds(floor, ceiling, bounds)
        beyond = max(bounds) > ceiling or min(bounds) < floor
        words.append(BOUND_NOTE + (" Parts of them lie beyond the edge." if beyond else ""))
    if limit is not None:
        ceiling = max(ceiling, limit * 1.08) if limit <= FARTHEST_LIMIT * ceiling else ceiling
        seen = floor < limit < ceiling
        words.append(
            f"The SLO's limit is {shown(limit, unit)} {shown_unit(unit)}{'' if seen else ', beyond the edge'}."
        )
    if any(row["high"] > ceiling or row["low"] < floor for row in rows if "low" in row):
        words.append("Longer bars are cut off at the edge; the table has them whole.")
    scale = {"type": "log" if log else "linear", "nice": False, "domain": [_shown(floor, unit), _shown(ceiling, unit)]}
    spec = _spec(title, shown_unit(unit), along, rows, [_drawn(row, unit, floor, ceiling) for row in rows], scale)
    if limit is not None and floor < limit < ceiling:
        spec["layer"] = [*_limit_line(_shown(limit, unit), scale), *spec["layer"]]
    return Chart(figure.key, title, shown_unit(unit), " ".join(words), spec, _table(unit, along, rows))


def figure_chart(
    runs: Sequence[RunDocument], of: Figure, statistic: str, names: Mapping[str, str] | None = None, *, note: str = ""
) -> Chart | None:
    """Any figure along the load; None where no run has it."""
    along = axes(runs, names)
    rows = bounded_rows(points(runs, along), of, statistic)
    notes = [note] if note else []
    return load_chart(of, rows, along=along, title=of.name(statistic), notes=notes) if rows else None


def latency_chart(runs: Sequence[RunDocument], of: Figure, names: Mapping[str, str] | None = None) -> Chart:
    """A latency's median and the highest percentile that there is, along the load; with the limit on it, where the runs share one."""
    along = axes(runs, names)
    drawn = points(runs, along)
    high = tail(of, drawn) if drawn else None
    rows = [row for name in ("p50", high) if name is not None for row in load_rows(drawn, name, of.reader(name))]
    notes = []
    if rows and high != "p99":
        shown = f"{high} is drawn where there are enough" if high else "only the median is shown"
        notes.append(f"p99 needs 1,000 values in a run; {shown}.")
    return load_chart(of, rows, along=along, notes=notes, limit=slo_limit(of, runs))


def throughput_chart(runs: Sequence[RunDocument], names: Mapping[str, str] | None = None) -> Chart:
    along = axes(runs, names)
    return load_chart(THROUGHPUT, bounded_rows(points(runs, along), THROUGHPUT), along=along)


def goodput_chart(runs: Sequence[RunDocument], names: Mapping[str, str] | None = None) -> Chart | None:
    """None where no run has a goodput. Where the two lines part, requests were answered too late to count."""
    judged = [run for run in runs if GOODPUT.read(run) is not None]
    along = axes(judged, names) if judged else None
    if along is None:
        return None
    drawn = points(judged, along)
    rows = load_rows(drawn, GOOD, GOODPUT.read)
    rows += load_rows(drawn, COMPLETED, REQUESTS_PER_S.read)
    limits = {limits_label(run["spec"]["slo"]) for run in judged}
    words = [f"SLO: {limits.pop()}."] if len(limits) == 1 else ["Each line by the SLO of its runs."]
    words.append("Where the lines part, answers came too late to count.")
    return load_chart(GOODPUT, rows, along=along, notes=words)


def _limit_line(shown: float, scale: Spec) -> list[Spec]:
    values = [{"limit": shown, "text": "SLO"}]
    y = {"field": "limit", "type": "quantitative", "title": None, "scale": scale}
    rule = {"type": "rule", "strokeWidth": 1.5, "strokeDash": list(palette.DASHED)}
    text = {"type": "text", "align": "left", "x": 4, "dy": -7, "fontSize": 11, "fontWeight": "bold"}
    return [
        layer(rule, {"y": y}, values=values),
        layer(text, {"y": y, "text": {"field": "text"}}, values=values),
    ]


def _shown(value: float, unit: str) -> float:
    return value * shown_factor(unit)


def _drawn(row: LoadRow, unit: str, floor: float, ceiling: float) -> dict[str, object]:
    """The row with what is drawn of it beside its figures: `mark`, `bar_from` and `bar_to` in the unit of the axis."""
    shown = {"mark": _shown(row["value"], unit)}
    if "low" in row:
        shown["from"], shown["to"] = _shown(row["low"], unit), _shown(row["high"], unit)
        shown["bar_from"] = _shown(max(row["low"], floor), unit)
        shown["bar_to"] = _shown(min(row["high"], ceiling), unit)
    if "bound" in row:
        shown["bound"] = _shown(row["bound"], unit)
    return {**row, **shown}


def _table(unit: str, along: Axes, rows: list[LoadRow]) -> Table:
    columns = [along.x_label]
    if along.series:
        columns.append(along.series_label)
    named = any(row["statistic"] for row in rows)
    if named:
        columns.append("statistic")
    columns += [f"mean ({shown_unit(unit)})", spread_label(row["runs"] for row in rows), "runs"]
    is_bounded = any("bound" in row for row in rows)
    columns += ["roofline bound"] if is_bounded else []
    texts = []
    for row in rows:
        text = [setting(row["x"])]
        if along.series:
            text.append(row["series"])
        if named:
            text.append(row["statistic"])
        interval = f"{shown(row['low'], unit)} … {shown(row['high'], unit)}" if "low" in row else MISSING_FIGURE
        bound = (shown(row.get("bound"), unit),) if is_bounded else ()
        texts.append((*text, shown(row["value"], unit), interval, str(row["runs"]), *bound))
    return Table(tuple(columns), tuple(texts))


def _ends(rows: list[LoadRow], log: bool) -> tuple[float, float]:
    """The ends of the y axis, so that the values fill it: intervals wider than that, as few repeats give, are cut off."""
    values = [row["value"] for row in rows]
    highest = max(values) or 1.0
    floor, ceiling = (min(values) / 1.6, highest * 1.6) if log else (0.0, highest * 1.25)
    far = max((row["high"] for row in rows if "high" in row), default=highest)
    return floor, min(ceiling, max(far, highest * 1.04))


def _with_bounds(floor: float, ceiling: float, bounds: Sequence[float]) -> tuple[float, float]:
    """The ends of the y axis, moved so far that bounds near them are seen whole."""
    nearest = [bound for bound in bounds if floor / FARTHEST_LIMIT <= bound <= FARTHEST_LIMIT * ceiling]
    return min([floor, *(bound / 1.04 for bound in nearest)]), max([ceiling, *(bound * 1.04 for bound in nearest)])


def _spec(title: str, unit: str, along: Axes, rows: list[LoadRow], drawn: list[dict[str, object]], scale: Spec) -> Spec:
    series = list(dict.fromkeys(row["series"] for row in rows))
    statistics = list(dict.fromkeys(row["statistic"] for row in rows))
    by_series, by_statistic = len(series) > 1, len(statistics) > 1
    colored = ("series", series) if by_series else ("statistic", statistics)
    color = nominal(*colored, palette.SERIES, has_legend=by_series or by_statistic)
    dash = nominal("statistic", statistics, [list(palette.SOLID), list(palette.DASHED)], has_legend=by_statistic)
    shape = nominal("statistic", statistics, ["circle", "triangle-up"], has_legend=by_statistic)

    def told(field: str, name: str, kind: str = "quantitative") -> Spec:
        return {"field": field, "type": kind, "title": name} | ({"format": ",.4~r"} if kind == "quantitative" else {})

    spread = spread_label(row["runs"] for row in rows)
    tooltip = [told("x", along.x_label)]
    tooltip += [told("series", along.series_label, "nominal")] if along.series else []
    tooltip += [told("statistic", "statistic", "nominal")] if statistics != [""] else []
    tooltip += [
        told("mark", f"{title} ({unit})"),
        told("from", f"{spread}, from"),
        told("to", f"{spread}, to"),
        told("runs", "runs"),
    ]
    tooltip += [told("bound", f"roofline bound ({unit})")] if any("bound" in row for row in rows) else []
    tooltip += [told("status", "verdict", "nominal")]

    across = {
        "x": load_axis(along.x_label, sorted({row["x"] for row in rows})),
        "color": color,
        "detail": {"field": "series"},
    }
    mark = across | {"y": value_axis("mark", scale), "shape": shape, "tooltip": tooltip}
    line = layer({"type": "line", "strokeWidth": 2}, across | {"y": value_axis("mark", scale), "strokeDash": dash})
    layers = [line, interval_bars(across, scale)] if any("low" in row for row in rows) else [line]
    if any("bound" in row for row in rows):
        layers.insert(0, bound_line(across, scale))
    layers += points_by_verdict({row["status"] for row in rows}, {"size": 60, "strokeWidth": 2, "opacity": 1}, mark)
    return frame(drawn) | {"layer": layers}
