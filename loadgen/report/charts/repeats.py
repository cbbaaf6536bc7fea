"""How far repeats of one load point lie apart, in per cent of their median: each a mark, and from five on a box over them.

In per cent, so that points of any load can be compared. A box is from the first quartile to the third (type 7, as every percentile here), its line the median,
and its whiskers reach the least and the greatest repeat: none is taken for an outlier and hidden.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from typing_extensions import TypedDict

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figures.figure import Figure
from loadgen.report.charts import palette
from loadgen.report.charts.chart import Chart, Spec, frame, layer, nominal, points_by_verdict, shape_of, value_axis
from loadgen.report.format import figure, setting, shown_unit
from loadgen.report.points import Table, axes, points


class RepeatMark(TypedDict):
    x: str
    series: str
    repeat: int
    run: str
    status: str
    off: float  # per cent off the median
    text: str


MIN_FOR_BOX = 5  # quartiles of fewer are guesses between neighbours
MIN_REPEATS = 3


def repeats_chart(
    runs: Sequence[RunDocument], of: Figure, statistic: str, names: Mapping[str, str] | None = None
) -> Chart | None:
    """None where no point has three repeats with the figure."""
    along = axes(runs, names)
    marks: list[RepeatMark] = []
    boxes: list[dict[str, object]] = []
    texts: list[tuple[str, ...]] = []
    for point in points(runs, along):
        known = [(run, value) for run in point.runs if (value := of.read(run, statistic)) is not None]
        if len(known) < MIN_REPEATS:
            continue
        spread = [float(each) for each in np.quantile([value for _, value in known], (0, 0.25, 0.5, 0.75, 1))]
        median = spread[2]
        if not median:
            continue  # nothing is a share of 0
        x = setting(point.x)
        for run, value in known:
            marks.append(
                {
                    "x": x,
                    "series": point.series,
                    "repeat": run["repeat"],
                    "run": run["run_id"],
                    "status": run["verdict"]["status"],
                    "off": (value / median - 1) * 100,
                    "text": figure(value, of.unit),
                }
            )
        if len(known) >= MIN_FOR_BOX:
            edges = zip(("least", "q1", "median", "q3", "greatest"), spread, strict=True)
            shares = {name: (value / median - 1) * 100 for name, value in edges}
            boxes.append({"x": x, "series": point.series, **shares})
        told = (figure(value, of.unit) for value in spread)
        texts.append((setting(point.x), *([point.series] if along.series else []), *told, str(len(known))))
    if not marks:
        return None
    unit = shown_unit(of.unit)
    words = ["Each mark is one repeat, in per cent off the median of its load point."]
    words += ["Box: the middle half of them; whiskers: the least and the greatest."] if boxes else []
    words += ["Hollow marks are doubtful."] if any(mark["status"] == "doubtful" for mark in marks) else []
    head = (along.x_label, *([along.series_label] if along.series else []))
    table = Table((*head, "least", "first quartile", "median", "third quartile", "greatest", "repeats"), tuple(texts))
    name = of.name(statistic)
    spec = _spec(marks, boxes, along.x_label, f"{name} ({unit})")
    return Chart(f"repeats_{of.key}", f"{name}, repeat by repeat", "%", " ".join(words), spec, table)


def _spec(marks: list[RepeatMark], boxes: list[dict[str, object]], x_label: str, label: str) -> Spec:
    series = list(dict.fromkeys(mark["series"] for mark in marks))
    several = len(series) > 1
    x: Spec = {"field": "x", "type": "ordinal", "title": x_label, "sort": None}
    x |= {"scale": {"paddingInner": 0.25, "paddingOuter": 0.15}, "axis": {"labelAngle": 0, "grid": False}}
    offset: Spec = {"field": "series", "type": "nominal", "sort": None, "scale": {"domain": series}}
    color = nominal("series", series, palette.SERIES, has_legend=several)
    across: Spec = {"x": x, "xOffset": offset, "color": color}

    def y(field: str) -> Spec:
        return value_axis(field, {"padding": 8}) | {"axis": {"tickCount": 5, "format": "+,~r"}}

    layers: list[Spec] = []
    if boxes:
        whisker, body = (
            across | {"y": y("least"), "y2": {"field": "greatest"}},
            across | {"y": y("q1"), "stroke": color},
        )
        layers += [
            layer({"type": "rule", "strokeWidth": 1.5}, whisker, values=boxes),
            layer(
                {"type": "bar", "fillOpacity": 0.25, "strokeWidth": 1.5}, body | {"y2": {"field": "q3"}}, values=boxes
            ),
            layer({"type": "tick", "thickness": 2.5}, across | {"y": y("median")}, values=boxes),
        ]
    tooltip = [
        {"field": "x", "type": "nominal", "title": x_label},
        *([{"field": "series", "type": "nominal", "title": "line"}] if several else []),
        {"field": "repeat", "title": "repeat"},
        {"field": "text", "type": "nominal", "title": label},
        {"field": "off", "title": "off the median (%)", "format": "+.2~f"},
        {"field": "status", "type": "nominal", "title": "verdict"},
        {"field": "run", "type": "nominal", "title": "run"},
    ]
    encoding = across | {"y": y("off"), "shape": shape_of(color), "tooltip": tooltip}
    layers += points_by_verdict(
        {row["status"] for row in marks}, {"size": 34, "strokeWidth": 1.5, "opacity": 0.9}, encoding
    )
    return frame(marks) | {"layer": layers}
