"""Accuracy against speed: a mark for each load point of each evaluated server, with the interval of both."""

from collections.abc import Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from loadgen.analysis.figures.figure import Figure
from loadgen.report.charts import palette
from loadgen.report.charts.chart import Chart, Spec, frame, nominal, points_by_verdict, shape_of
from loadgen.report.format import MISSING_FIGURE, cell, setting, shown_unit
from loadgen.report.points import Table, axes, points, spread_label
from loadgen.report.run_selection import RunSelection
from loadgen.study.accuracy import mean_accuracies

_MAX_LABELS = 12  # more would cover each other
_HEIGHT_PX = 280
_BESIDE_PX = 20  # between a mark and the edge


class AccuracyMark(TypedDict):
    """A load point of one server: its accuracy in per cent, and a figure in the unit that is shown."""

    series: str
    load: str
    accuracy: float
    value: float
    runs: int
    status: str
    order: float
    accuracy_low: NotRequired[float]
    accuracy_high: NotRequired[float]
    value_low: NotRequired[float]
    value_high: NotRequired[float]


def accuracy_chart(selection: RunSelection, figure: Figure) -> Chart | None:
    """Return the chart of a figure; None where no server was evaluated, or no task is common to those that were.

    The accuracy is the mean over the tasks that all of these servers were evaluated on.
    """
    accuracies = mean_accuracies(selection.accuracy)
    if not accuracies:
        return None
    tasks = next(iter(accuracies.values())).tasks
    runs = [run for run in selection.runs if run["sweep_id"] in accuracies]
    along = axes(runs, selection.names)
    marks: list[AccuracyMark] = []
    repeats: list[int] = []
    for point in points(runs, along):
        pooled = point.pooled(figure.reader("p50"))
        if pooled is None:
            continue
        accuracy = accuracies[point.runs[0]["sweep_id"]]
        factor = 1000.0 if figure.unit == "s" else 1.0
        mark: AccuracyMark = {
            "series": point.series,
            "load": setting(point.x),
            "accuracy": 100 * accuracy.value,
            "value": pooled.mean * factor,
            "runs": pooled.runs,
            "status": point.status,
            "order": point.x,
        }
        if accuracy.low is not None and accuracy.high is not None:
            mark |= {"accuracy_low": 100 * accuracy.low, "accuracy_high": 100 * accuracy.high}
        if pooled.low is not None and pooled.high is not None:
            mark |= {"value_low": max(pooled.low, 0.0) * factor, "value_high": pooled.high * factor}
        marks.append(mark)
        repeats.append(pooled.runs)
    if not marks:
        return None
    name = figure.name("p50")
    caption = _caption(selection, tasks, marks, repeats=repeats, x_label=along.x_label)
    table = _table(marks, figure, name=name, x_label=along.x_label, line=along.series_label or "line")
    unit = shown_unit(figure.unit)
    spec = _spec(marks, x_title=f"{name} ({unit})" if unit else name, load=along.x_label)
    return Chart(f"accuracy-{figure.key}", f"Accuracy against {_in_prose(name)}", "%", caption, spec, table)


def _in_prose(name: str) -> str:
    return name if name[1:2].isupper() else name[:1].lower() + name[1:]


def _caption(
    selection: RunSelection,
    tasks: Sequence[str],
    marks: Sequence[AccuracyMark],
    *,
    repeats: Sequence[int],
    x_label: str,
) -> str:
    words = [f"Accuracy: mean over {', '.join(tasks)}." if len(tasks) > 1 else f"Accuracy: {tasks[0]}."]
    if any("accuracy_low" in mark for mark in marks):
        words.append("Upright bars: its 95 % interval by the tasks' standard errors.")
    if any("value_low" in mark for mark in marks):
        words.append(f"Level bars: {spread_label(repeats)}.")
    if len({mark["load"] for mark in marks}) > 1:
        words.append(f"Beside each mark its {x_label.lower()}; a server has the same accuracy at each.")
    kinds = {row.provenance for rows in selection.accuracy.values() for row in rows} - {"measured"}
    words += ["Some models are tiny, simulated or have dummy weights."] if kinds else []
    words += ["Hollow marks are doubtful."] if any(mark["status"] == "doubtful" for mark in marks) else []
    return " ".join(words)


def _table(marks: Sequence[AccuracyMark], figure: Figure, *, name: str, x_label: str, line: str) -> Table:
    unit = shown_unit(figure.unit)

    def interval(low: float | None, high: float | None) -> str:
        return MISSING_FIGURE if low is None or high is None else f"{cell(low, '')} to {cell(high, '')}"

    return Table(
        (line, x_label, "accuracy, %", "from, to", f"{name}, {unit}", "from, to", "runs"),
        tuple(
            (
                mark["series"] or MISSING_FIGURE,
                mark["load"],
                cell(mark["accuracy"], ""),
                interval(mark.get("accuracy_low"), mark.get("accuracy_high")),
                cell(mark["value"], ""),
                interval(mark.get("value_low"), mark.get("value_high")),
                str(mark["runs"]),
            )
            for mark in marks
        ),
    )


def _spec(marks: Sequence[AccuracyMark], *, x_title: str, load: str) -> Spec:
    series = list(dict.fromkeys(mark["series"] for mark in marks))
    color = nominal("series", series, palette.SERIES, has_legend=len(series) > 1)
    scale: Spec = {"zero": False, "padding": _BESIDE_PX, "nice": False}
    x: Spec = {"field": "value", "type": "quantitative", "title": x_title, "scale": scale}
    x |= {"axis": {"grid": False, "tickCount": 5, "format": ",~r"}}
    y: Spec = {"field": "accuracy", "type": "quantitative", "title": None, "scale": scale}
    y |= {"axis": {"tickCount": 5, "format": ",~r"}}
    rule = {"type": "rule", "strokeWidth": 2.5, "opacity": 0.6}
    layers: list[Spec] = []
    if len(marks) > len(series):
        line = {"type": "line", "strokeWidth": 1, "strokeDash": list(palette.DOTTED), "opacity": 0.7}
        layers.append({"mark": line, "encoding": {"x": x, "y": y, "color": color, "order": {"field": "order"}}})
    if any("accuracy_low" in mark for mark in marks):
        upright = {"x": x, "y": y | {"field": "accuracy_low"}, "y2": {"field": "accuracy_high"}, "color": color}
        layers.append({"mark": rule, "encoding": upright})
    if any("value_low" in mark for mark in marks):
        level = {"x": x | {"field": "value_low"}, "x2": {"field": "value_high"}, "y": y, "color": color}
        layers.append({"mark": rule, "encoding": level})
    tooltip = [
        {"field": "series", "type": "nominal", "title": "line"},
        {"field": "load", "type": "nominal", "title": load},
        {"field": "accuracy", "title": "accuracy (%)", "format": ".3~r"},
        {"field": "value", "title": x_title, "format": ",.4~r"},
        {"field": "status", "type": "nominal", "title": "verdict"},
    ]
    encoding = {"x": x, "y": y, "color": color, "shape": shape_of(color), "tooltip": tooltip}
    layers += points_by_verdict(
        {mark["status"] for mark in marks}, {"size": 80, "strokeWidth": 2, "opacity": 1}, encoding
    )
    if len({mark["load"] for mark in marks}) > 1 and len(marks) <= _MAX_LABELS:
        text = {"type": "text", "align": "left", "dx": 8, "dy": -7, "fontSize": 11}
        layers.append({"mark": text, "encoding": {"x": x, "y": y, "text": {"field": "load", "type": "nominal"}}})
    return frame(marks, _HEIGHT_PX) | {"layer": layers}
