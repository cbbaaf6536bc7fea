"""The charts of a sweep: TTFT, the gap and the output throughput along whatever the sweep varied.

May import load, analysis and the rest of report. Works on run documents alone. Invalid runs are left out; a point is the
mean over its repeats, its bar the 95 % interval of that mean.
"""

from collections.abc import Callable, Sequence
from typing import Any

from loadgen.report import palette
from loadgen.report.charts import Chart, Spec, Table, frame, to_milliseconds, wants_log
from loadgen.report.points import Axes, Document, Point, axes, points
from loadgen.report.readable import figure, setting, shown_unit

TAILS = ("p99", "p95", "p90")
LOG_X_FROM_RATIO = 8.0


def statistic(metric: str, name: str) -> Callable[[Document], float | None]:
    """Reads one statistic of a distribution metric from a run document."""

    def read(run: Document) -> float | None:
        distribution = run.get(metric)
        value: float | None = distribution.get(name) if distribution else None
        return value

    return read


def tail(metric: str, drawn: Sequence[Point]) -> str | None:
    """The highest percentile that every point has, else the highest that any has, else None."""
    for share in (all, any):
        for name in TAILS:
            if share(point.pooled(statistic(metric, name)) is not None for point in drawn):
                return name
    return None


def gap_metric(runs: Sequence[Document]) -> str:
    """`token_gap_s` when the tokens of each chunk are known, `chunk_gap_s` otherwise."""
    return "token_gap_s" if any(statistic("token_gap_s", "p50")(run) is not None for run in runs) else "chunk_gap_s"


def sweep_charts(runs: Sequence[Document]) -> tuple[Chart, ...]:
    """The charts of a sweep's page, in order."""
    along = axes(runs)
    drawn = points(runs, along)
    gap = gap_metric(runs)
    return (
        _latency("ttft_s", "TTFT", along, drawn),
        _latency(gap, "Token gap" if gap == "token_gap_s" else "Chunk gap", along, drawn),
        _throughput(along, drawn),
    )


def _latency(metric: str, title: str, along: Axes, drawn: Sequence[Point]) -> Chart:
    rows: list[dict[str, Any]] = []
    high = tail(metric, drawn) if drawn else None
    for name in ("p50", high):
        if name is not None:
            rows += _rows(drawn, name, statistic(metric, name))
    caption = ""
    if rows and high != "p99":
        shown = f"{high} is drawn where there are enough" if high else "only the median is shown"
        caption = f"p99 needs 1,000 values in a run; {shown}."
    return _chart(metric, title, "s", caption, along, rows)


def _throughput(along: Axes, drawn: Sequence[Point]) -> Chart:
    rows = _rows(drawn, "", lambda run: run.get("output_tokens_per_s"))
    return _chart("output_tokens_per_s", "Output throughput", "tokens/s", "", along, rows)


def _rows(drawn: Sequence[Point], name: str, read: Callable[[Document], float | None]) -> list[dict[str, Any]]:
    rows = []
    for point in drawn:
        pooled = point.pooled(read)
        if pooled is None:
            continue
        row = {
            "x": point.x,
            "series": point.series,
            "statistic": name,
            "value_s": pooled.mean,
            "runs": pooled.runs,
            "status": point.status,
        }
        if pooled.low is not None and pooled.high is not None:
            row |= {"low_s": max(pooled.low, 0.0), "high_s": pooled.high}
        rows.append(row)
    return rows


def reading_note(runs: Sequence[Document]) -> str:
    """How to read the charts of a sweep: what a mark, a bar and a hollow mark are. Empty for single valid runs."""
    drawn = points(runs, axes(runs))
    words = []
    if any(len(point.runs) > 1 for point in drawn):
        words.append("Marks are means over the repeats of a point; bars, the 95 % interval of that mean.")
    if any(point.status == "doubtful" for point in drawn):
        words.append("Hollow marks are doubtful.")
    if len(drawn) and any(run["verdict"]["status"] == "invalid" for run in runs):
        words.append("Invalid runs are left out.")
    return " ".join(words)


def _chart(key: str, title: str, unit: str, caption: str, along: Axes, rows: list[dict[str, Any]]) -> Chart:
    if not rows:
        return Chart(key, title, shown_unit(unit), "No usable run has this figure.", None)
    return Chart(
        key, title, shown_unit(unit), caption.strip(), _spec(title, unit, along, rows), _table(unit, along, rows)
    )


def _table(unit: str, along: Axes, rows: list[dict[str, Any]]) -> Table:
    columns = [along.x_label]
    if along.series:
        columns.append(along.series_label)
    named = any(row["statistic"] for row in rows)
    if named:
        columns.append("statistic")
    columns += [f"mean ({shown_unit(unit)})", "95 % interval", "runs"]
    texts = []
    for row in rows:
        text = [setting(row["x"])]
        if along.series:
            text.append(row["series"])
        if named:
            text.append(row["statistic"])
        interval = f"{figure(row['low_s'], unit)} … {figure(row['high_s'], unit)}" if "low_s" in row else "–"
        texts.append((*text, figure(row["value_s"], unit), interval, str(row["runs"])))
    return Table(tuple(columns), tuple(texts))


def _spec(title: str, unit: str, along: Axes, rows: list[dict[str, Any]]) -> Spec:
    drawn, low, high = ("value_ms", "low_ms", "high_ms") if unit == "s" else ("value_s", "low_s", "high_s")
    unit_text = shown_unit(unit)
    series = list(dict.fromkeys(row["series"] for row in rows))
    statistics = list(dict.fromkeys(row["statistic"] for row in rows))
    told_apart = "series" if len(series) > 1 else "statistic"
    log_y = _log_y(unit, rows)
    shown = 1000 if unit == "s" else 1
    floor, ceiling = _ends(rows, log_y)
    y_scale: Spec = {"type": "log" if log_y else "linear", "nice": False, "domain": [floor * shown, ceiling * shown]}
    rows = [
        row | {"low_s": max(row["low_s"], floor), "high_s": min(row["high_s"], ceiling)} if "low_s" in row else row
        for row in rows
    ]

    def y(field: str) -> Spec:
        return {
            "field": field,
            "type": "quantitative",
            "title": None,
            "scale": y_scale,
            "axis": {"tickCount": 5, "format": ",~r"},
        }

    tooltip = [
        {"field": "x", "type": "quantitative", "title": along.x_label},
        *([{"field": "series", "type": "nominal", "title": along.series_label}] if along.series else []),
        *([{"field": "statistic", "type": "nominal", "title": "statistic"}] if statistics != [""] else []),
        {"field": drawn, "type": "quantitative", "title": f"{title} ({unit_text})", "format": ",.4~r"},
        {"field": low, "type": "quantitative", "title": "95 % from", "format": ",.4~r"},
        {"field": high, "type": "quantitative", "title": "to", "format": ",.4~r"},
        {"field": "runs", "type": "quantitative", "title": "runs"},
        {"field": "status", "type": "nominal", "title": "verdict"},
    ]
    color: Spec = {
        "field": told_apart,
        "type": "nominal",
        "title": None,
        "scale": {"domain": series if told_apart == "series" else statistics, "range": list(palette.SERIES)},
        "legend": {"columns": 3} if len(series) > 1 or len(statistics) > 1 else None,
    }
    several = len(statistics) > 1
    dash: Spec = {
        "field": "statistic",
        "type": "nominal",
        "title": None,
        "scale": {"domain": statistics, "range": [list(palette.SOLID), list(palette.DASHED)]},
        "legend": {"columns": 3} if several and told_apart == "statistic" else ({} if several else None),
    }
    shape: Spec = {
        "field": "statistic",
        "type": "nominal",
        "title": None,
        "scale": {"domain": statistics, "range": ["circle", "triangle-up"]},
        "legend": {} if several else None,
    }
    marks = {"x": _x(along, rows), "color": color, "detail": {"field": "series"}}
    point = marks | {"y": y(drawn), "shape": shape, "tooltip": tooltip}
    spec = frame(rows)
    spec["transform"] = to_milliseconds("value", "low", "high") if unit == "s" else []
    spec["layer"] = [
        {"mark": {"type": "line", "strokeWidth": 2}, "encoding": marks | {"y": y(drawn), "strokeDash": dash}},
        {
            "transform": [{"filter": f"isValid(datum.{low})"}],
            "mark": {"type": "rule", "strokeWidth": 1.5},
            "encoding": marks | {"y": y(low), "y2": {"field": high}},
        },
        {
            "transform": [{"filter": "datum.status === 'valid'"}],
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
            "encoding": point,
        },
        {
            "transform": [{"filter": "datum.status !== 'valid'"}],
            "mark": {"type": "point", "filled": False, "size": 60, "strokeWidth": 2, "opacity": 1},
            "encoding": point,
        },
    ]
    return spec


def _log_y(unit: str, rows: list[dict[str, Any]]) -> bool:
    return unit == "s" and wants_log([row["value_s"] for row in rows])


def _ends(rows: list[dict[str, Any]], log: bool) -> tuple[float, float]:
    """The ends of the y axis, so that the values fill it: intervals wider than that, as two repeats give, are cut off."""
    values = [row["value_s"] for row in rows]
    highest = max(values) or 1.0
    if log:
        floor, ceiling = min(values) / 1.6, highest * 1.6
    else:
        floor, ceiling = 0.0, highest * 1.25
    far = max((row["high_s"] for row in rows if "high_s" in row), default=highest)
    return floor, min(ceiling, max(far, highest * 1.04))


def _cut(rows: list[dict[str, Any]], log: bool) -> bool:
    """Whether the axis cuts an interval off."""
    floor, ceiling = _ends(rows, log)
    return any(row["high_s"] > ceiling or (log and row["low_s"] < floor) for row in rows if "low_s" in row)


def _x(along: Axes, rows: list[dict[str, Any]]) -> Spec:
    values = sorted({row["x"] for row in rows})
    spread = len(values) > 1 and values[0] > 0 and values[-1] / values[0] >= LOG_X_FROM_RATIO
    return {
        "field": "x",
        "type": "quantitative",
        "title": along.x_label,
        "scale": {"type": "log", "base": 2, "nice": False, "padding": 12} if spread else {"zero": False, "padding": 12},
        "axis": {"values": values, "format": ",~r", "labelOverlap": True, "grid": False},
    }
