"""Throughput against latency: what a GPU gives in all, against what each of its users gets.

One mark a load point; no point is better in both than one on the frontier.
"""

from collections.abc import Mapping, Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figure_table import PER_GPU, PER_USER
from loadgen.report.charts import palette
from loadgen.report.charts.chart import Chart, Spec, frame, nominal, points_by_verdict, shape_of
from loadgen.report.figures import THROUGHPUT
from loadgen.report.format import number, setting
from loadgen.report.points import Table, axes, points


class ParetoRow(TypedDict):
    """A load point: tokens per second for each user and of the server."""

    series: str
    load: str
    user: float
    server: float
    runs: int
    status: str
    order: float
    frontier: NotRequired[str]  # yes or no


MAX_LABELS = 30  # more would cover each other
ALIKE_RATIO = 0.01  # two marks this near in one are the same in it: runs differ by as much


def pareto_chart(runs: Sequence[RunDocument], names: Mapping[str, str] | None = None) -> Chart | None:
    """None where fewer than two points have both figures: users' speed needs a TPOT, so the tokens of each answer.

    Per GPU where the GPUs of every server are known, else per server for all, so that all marks are of one scale.
    """
    along = axes(runs, names)
    drawn = points(runs, along)
    per_gpu = all(PER_GPU.read(run) is not None for point in drawn for run in point.runs)
    of_server = PER_GPU if per_gpu else THROUGHPUT
    rows: list[ParetoRow] = []
    for point in drawn:
        user = point.pooled(PER_USER.read)
        server = point.pooled(of_server.read)
        if user is not None and server is not None and server.mean > 0:
            text = setting(point.x)
            rows.append(
                {
                    "series": point.series,
                    "load": text,
                    "user": user.mean,
                    "server": server.mean,
                    "runs": server.runs,
                    "status": point.status,
                    "order": point.x,
                }
            )
    if len(rows) < 2:
        return None
    edge = frontier(rows)
    for row in rows:
        row["frontier"] = "yes" if row in edge else "no"
    label = "Output tokens/s per GPU" if per_gpu else "Output tokens/s of the server"
    words = [f"Up and to the right is better; beside each mark its {along.x_label.lower()}."]
    words += ["Dashed: the frontier, which no mark beats."] if len(edge) > 1 else []
    words += [] if per_gpu else ["Per server, since not every number of GPUs is known."]
    words += ["Means over repeats."] if any(row["runs"] > 1 for row in rows) else []
    words += ["Hollow marks are doubtful."] if any(row["status"] == "doubtful" for row in rows) else []
    spec = _spec(rows, edge, label, along.x_label)
    table = Table(
        (along.x_label, along.series_label or "line", "tokens/s per user", label, "on the frontier", "runs"),
        tuple(
            (
                row["load"],
                row["series"] or "–",
                number(row["user"]),
                number(row["server"]),
                row["frontier"],
                str(row["runs"]),
            )
            for row in rows
        ),
    )
    return Chart("pareto", "Throughput against speed", "tokens/s", " ".join(words), spec, table)


def frontier(rows: Sequence[ParetoRow]) -> list[ParetoRow]:
    """The rows that no other one beats, from left to right: another beats it with more of one and, but for 1 %, as much of the other."""

    def beats(other: ParetoRow, row: ParetoRow) -> bool:
        gains = other["user"] / row["user"], other["server"] / row["server"]
        return bool(max(gains) > 1 + ALIKE_RATIO and min(gains) >= 1 - ALIKE_RATIO)

    return sorted((row for row in rows if not any(beats(other, row) for other in rows)), key=lambda row: row["user"])


def _spec(rows: list[ParetoRow], edge: list[ParetoRow], label: str, load: str) -> Spec:
    series = list(dict.fromkeys(row["series"] for row in rows))
    x: Spec = {
        "field": "user",
        "title": "Output tokens/s per user (1/TPOT, median)",
        "scale": {"zero": False, "padding": 20},
    }
    y: Spec = {
        "field": "server",
        "title": label,
        "scale": {"domain": [0, max(row["server"] for row in rows) * 1.12], "nice": False},
        "axis": {"tickCount": 5, "format": ",~r"},
    }
    x |= {"type": "quantitative", "axis": {"grid": False, "tickCount": 6, "format": ",~r"}}
    y |= {"type": "quantitative"}
    color = nominal("series", series, palette.SERIES, has_legend=len(series) > 1)
    tooltip = [
        {"field": "series", "type": "nominal", "title": "line"},
        {"field": "load", "type": "nominal", "title": load},
        {"field": "user", "title": "tokens/s per user", "format": ",.4~r"},
        {"field": "server", "title": label, "format": ",.4~r"},
        {"field": "frontier", "type": "nominal", "title": "on the frontier"},
        {"field": "status", "type": "nominal", "title": "verdict"},
    ]
    both = {"x": x, "y": y}
    layers: list[Spec] = []
    if len(edge) > 1:
        mark = {"type": "line", "strokeDash": list(palette.DASHED), "strokeWidth": 1.5, "color": palette.NEUTRAL}
        layers.append({"data": {"values": edge}, "mark": mark, "encoding": both | {"order": {"field": "user"}}})
    line = {"type": "line", "strokeWidth": 1.5, "opacity": 0.55}
    layers.append({"mark": line, "encoding": both | {"color": color, "order": {"field": "order"}}})
    encoding = both | {"color": color, "shape": shape_of(color), "tooltip": tooltip}
    layers += points_by_verdict({row["status"] for row in rows}, {"size": 70, "strokeWidth": 2, "opacity": 1}, encoding)
    if len(rows) <= MAX_LABELS:
        text = {"type": "text", "align": "left", "dx": 8, "dy": -6, "fontSize": 11}
        layers.append({"mark": text, "encoding": both | {"text": {"field": "load", "type": "nominal"}}})
    return frame(rows, 300) | {"layer": layers}
