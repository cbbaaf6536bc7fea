"""The charts of a sweep: TTFT, the gap and the output throughput along whatever the sweep varied.

May import load, analysis and the rest of report. Works on run documents alone. Invalid runs are left out; a point is the
mean over its repeats, its bar the 95 % interval of that mean, or the range of the repeats when there are only two.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loadgen.analysis.stats import wants_log
from loadgen.report import palette
from loadgen.report.charts import Chart, Spec, Table, frame, labelled, legend
from loadgen.report.points import FEWEST_FOR_INTERVAL, Axes, Document, Point, axes, points, spread_label
from loadgen.report.readable import MISSING_FIGURE, figure, setting, shown_unit

Row = dict[str, Any]
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


def highest(metric: str, runs: Sequence[Document]) -> str | None:
    """The highest percentile above the median that every one of the runs has, None where even p90 was refused."""
    return next((name for name in TAILS if all(statistic(metric, name)(run) is not None for run in runs)), None)


def gap_metric(runs: Sequence[Document]) -> str:
    """The gap that all these runs can be shown by: `token_gap_s` when the tokens of each chunk are known, else `chunk_gap_s`.

    The two are never mixed under one heading. Runs without any gap, such as those of one token, have no say.
    """
    with_gaps = [run for run in runs if statistic("chunk_gap_s", "p50")(run) is not None]
    known = [statistic("token_gap_s", "p50")(run) is not None for run in with_gaps]
    return "token_gap_s" if known and all(known) else "chunk_gap_s"


def sweep_charts(runs: Sequence[Document], names: Mapping[str, str] | None = None) -> tuple[Chart, ...]:
    """The charts of a sweep's page, in order; of several sweeps by their `names`, each with lines of its own."""
    along = axes(runs, names)
    drawn = points(runs, along)
    gap = gap_metric(runs)
    charts = (
        _latency("ttft_s", "TTFT", along, drawn),
        _latency(gap, "Token gap" if gap == "token_gap_s" else "Chunk gap", along, drawn),
        _throughput(along, drawn),
        *_energy(along, drawn),
    )
    return labelled(charts, runs)


def _latency(metric: str, title: str, along: Axes, drawn: Sequence[Point]) -> Chart:
    rows: list[Row] = []
    high = tail(metric, drawn) if drawn else None
    for name in ("p50", high):
        if name is not None:
            rows += _rows(drawn, name, statistic(metric, name))
    words = []
    if rows and high != "p99":
        shown = f"{high} is drawn where there are enough" if high else "only the median is shown"
        words.append(f"p99 needs 1,000 values in a run; {shown}.")
    return _chart(metric, title, "s", words, along, rows)


def _throughput(along: Axes, drawn: Sequence[Point]) -> Chart:
    rows = _rows(drawn, "", lambda run: run.get("output_tokens_per_s"))
    return _chart("output_tokens_per_s", "Output throughput", "tokens/s", [], along, rows)


def _energy(along: Axes, drawn: Sequence[Point]) -> tuple[Chart, ...]:
    """One chart where the server's GPUs were read, else none."""
    rows = _rows(drawn, "", lambda run: (run.get("gpu") or {}).get("energy_per_output_token_j"))
    words = ["Energy of the server's GPUs over the measured window."]
    return (_chart("energy_per_output_token_j", "Energy per output token", "J", words, along, rows),) if rows else ()


def _rows(drawn: Sequence[Point], name: str, read: Callable[[Document], float | None]) -> list[Row]:
    """One row a point that has the figure, in the metric's own unit; without repeats `low` and `high` are absent."""
    rows = []
    for point in drawn:
        pooled = point.pooled(read)
        if pooled is None:
            continue
        row: Row = {
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


def reading_note(runs: Sequence[Document], names: Mapping[str, str] | None = None) -> str:
    """How to read the charts of a sweep: what a mark, a bar and a hollow mark are. Empty for single valid runs."""
    drawn = points(runs, axes(runs, names))
    words = []
    repeats = [len(point.runs) for point in drawn if len(point.runs) > 1]
    if repeats:
        few, many = min(repeats) < FEWEST_FOR_INTERVAL, max(repeats) >= FEWEST_FOR_INTERVAL
        bars = []
        if many:
            bars.append("the 95 % interval of that mean")
        if few:
            bars.append("the least and greatest repeat" + (" where there are only two" if many else ""))
        words.append(f"Marks are means over the repeats of a point; bars, {', or '.join(bars)}.")
    if any(point.status == "doubtful" for point in drawn):
        words.append("Hollow marks are doubtful.")
    if drawn and any(run["verdict"]["status"] == "invalid" for run in runs):
        words.append("Invalid runs are left out.")
    return " ".join(words)


def _chart(key: str, title: str, unit: str, words: list[str], along: Axes, rows: list[Row]) -> Chart:
    if not rows:
        return Chart(key, title, shown_unit(unit), "No usable run has this figure.", None)
    log = unit == "s" and wants_log([row["value"] for row in rows])
    floor, ceiling = _ends(rows, log)
    if any(row["high"] > ceiling or row["low"] < floor for row in rows if "low" in row):
        words.append("Longer bars are cut off at the edge; the table has them whole.")
    scale = {"type": "log" if log else "linear", "nice": False, "domain": [_shown(floor, unit), _shown(ceiling, unit)]}
    spec = _spec(title, shown_unit(unit), along, [_drawn(row, unit, floor, ceiling) for row in rows], scale)
    return Chart(key, title, shown_unit(unit), " ".join(words), spec, _table(unit, along, rows))


def _shown(value: float, unit: str) -> float:
    return value * 1000 if unit == "s" else value


def _drawn(row: Row, unit: str, floor: float, ceiling: float) -> Row:
    """The row with what is drawn of it beside its figures: `mark`, `bar_from` and `bar_to` in the unit of the axis."""
    shown = {"mark": _shown(row["value"], unit)}
    if "low" in row:
        shown["from"], shown["to"] = _shown(row["low"], unit), _shown(row["high"], unit)
        shown["bar_from"] = _shown(max(row["low"], floor), unit)
        shown["bar_to"] = _shown(min(row["high"], ceiling), unit)
    return row | shown


def _table(unit: str, along: Axes, rows: list[Row]) -> Table:
    columns = [along.x_label]
    if along.series:
        columns.append(along.series_label)
    named = any(row["statistic"] for row in rows)
    if named:
        columns.append("statistic")
    columns += [f"mean ({shown_unit(unit)})", spread_label(row["runs"] for row in rows), "runs"]
    texts = []
    for row in rows:
        text = [setting(row["x"])]
        if along.series:
            text.append(row["series"])
        if named:
            text.append(row["statistic"])
        interval = f"{figure(row['low'], unit)} … {figure(row['high'], unit)}" if "low" in row else MISSING_FIGURE
        texts.append((*text, figure(row["value"], unit), interval, str(row["runs"])))
    return Table(tuple(columns), tuple(texts))


def _ends(rows: list[Row], log: bool) -> tuple[float, float]:
    """The ends of the y axis, so that the values fill it: intervals wider than that, as few repeats give, are cut off."""
    values = [row["value"] for row in rows]
    highest = max(values) or 1.0
    floor, ceiling = (min(values) / 1.6, highest * 1.6) if log else (0.0, highest * 1.25)
    far = max((row["high"] for row in rows if "high" in row), default=highest)
    return floor, min(ceiling, max(far, highest * 1.04))


def _nominal(field: str, domain: list[str], outputs: list[Any], with_legend: bool) -> Spec:
    """An encoding by name, its values in the order given."""
    return {
        "field": field,
        "type": "nominal",
        "title": None,
        "scale": {"domain": domain, "range": outputs},
        "legend": legend(domain) if with_legend else None,
    }


def _spec(title: str, unit: str, along: Axes, rows: list[Row], scale: Spec) -> Spec:
    series = list(dict.fromkeys(row["series"] for row in rows))
    statistics = list(dict.fromkeys(row["statistic"] for row in rows))
    by_series, by_statistic = len(series) > 1, len(statistics) > 1
    colored = ("series", series) if by_series else ("statistic", statistics)
    color = _nominal(*colored, outputs=list(palette.SERIES), with_legend=by_series or by_statistic)
    dash = _nominal("statistic", statistics, [list(palette.SOLID), list(palette.DASHED)], by_statistic)
    shape = _nominal("statistic", statistics, ["circle", "triangle-up"], by_statistic)

    def y(field: str) -> Spec:
        axis = {"tickCount": 5, "format": ",~r"}
        return {"field": field, "type": "quantitative", "title": None, "scale": scale, "axis": axis}

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
    tooltip += [told("status", "verdict", "nominal")]

    across = {"x": _x(along, rows), "color": color, "detail": {"field": "series"}}
    mark = across | {"y": y("mark"), "shape": shape, "tooltip": tooltip}
    line: Spec = {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": across | {"y": y("mark"), "strokeDash": dash},
    }
    bars: Spec = {
        "transform": [{"filter": "isValid(datum.bar_from)"}],
        "mark": {"type": "rule", "strokeWidth": 1.5},
        "encoding": across | {"y": y("bar_from"), "y2": {"field": "bar_to"}},
    }
    layers = [line, bars] if any("bar_from" in row for row in rows) else [line]
    for status, filled in (("valid", True), ("doubtful", False)):
        if any(row["status"] == status for row in rows):
            style = {"type": "point", "filled": filled, "size": 60, "strokeWidth": 2, "opacity": 1}
            layers.append({"transform": [{"filter": f"datum.status === '{status}'"}], "mark": style, "encoding": mark})
    return frame(rows) | {"layer": layers}


def _x(along: Axes, rows: list[Row]) -> Spec:
    values = sorted({row["x"] for row in rows})
    spread = len(values) > 1 and values[0] > 0 and values[-1] / values[0] >= LOG_X_FROM_RATIO
    scale: Spec = {"type": "log", "base": 2, "nice": False} if spread else {"zero": False}
    return {
        "field": "x",
        "type": "quantitative",
        "title": along.x_label,
        "scale": scale | {"padding": 12},
        "axis": {"values": values, "format": ",~r", "labelOverlap": True, "grid": False},
    }
