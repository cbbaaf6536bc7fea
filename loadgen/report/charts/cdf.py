"""How a latency is distributed over several runs, side by side: for each run, what share of its values was no longer.

Lines are drawn through the quantiles of a run's outline. Of a run that was imported without one only the
percentiles in its document are known: those are marks, with straight lines between.
"""

from collections.abc import Callable, Mapping, Sequence

from typing_extensions import TypedDict

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.outline.run_outline import Outline
from loadgen.analysis.verdict import usable_runs
from loadgen.report.charts import palette
from loadgen.report.charts.chart import STROKES, Chart, Spec, frame, layer, legend, nominal, quantity
from loadgen.report.figures import slo_limit
from loadgen.report.format import milliseconds, number
from loadgen.report.points import LOAD, Axes, Table, axes, varies


class CdfRow(TypedDict):
    """A point of a run's line: how many per cent of the values took no longer than so many milliseconds."""

    line: str
    run: str
    ms: float
    share: float


MAX_RUNS = 48
MAX_ON_A_PAGE = 12
LOG_FROM_RATIO = 3.0
MIN_S = 1e-5  # where a logarithmic axis begins: two tokens in one read are 0 apart
ON_RECORD = (("min", 0.0), ("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))


def one_of_each(runs: Sequence[RunDocument], most: int = MAX_ON_A_PAGE) -> list[RunDocument]:
    """The first run of each load point that is not invalid, of at most so many points, evenly picked."""
    first: dict[tuple[str, str], RunDocument] = {}
    for run in usable_runs(runs):
        first.setdefault((run["sweep_id"], run["spec"]["point_hash"]), run)
    return _evenly(list(first.values()), most)


def cdf_chart(
    runs: Sequence[RunDocument],
    of: Figure,
    open_outline: Callable[[RunDocument], Outline | None],
    names: Mapping[str, str] | None = None,
) -> Chart | None:
    """None where no run that is not invalid has the figure."""
    along = axes(runs, names)
    usable = [run for run in usable_runs(runs) if of.read(run, "p50") is not None]
    usable.sort(key=along.rank)
    drawn = _evenly(usable, MAX_RUNS)
    rows: list[CdfRow] = []
    marks: list[CdfRow] = []
    for run in drawn:
        outline = open_outline(run)
        outlined = outline["distributions"].get(of.key) if outline else None
        known: Sequence[Sequence[float]] = outlined["quantiles"] if outlined else _on_record(run, of)
        name = line_name(run, along, runs)
        lines: list[CdfRow] = [
            {
                "line": name,
                "run": run["run_id"],
                "ms": float(f"{max(value_s, MIN_S) * 1000:.5g}"),
                "share": round(share * 100, 5),
            }
            for share, value_s in known
        ]
        rows += lines
        marks += [] if outlined else lines
    if not rows:
        return None
    words = ["How many per cent of the values took no longer than that."]
    if len(usable) > len(drawn):
        words.append(f"{len(drawn)} of {len(usable)} runs, evenly picked.")
    if any(row["ms"] <= MIN_S * 1000 for row in rows):
        words.append(f"Shorter ones than {milliseconds(MIN_S)} ms are drawn there.")
    if marks:
        words.append("Marks: percentiles on record, of runs that came without their requests.")
    if any(run["verdict"]["status"] == "doubtful" for run in drawn):
        words.append("?: doubtful.")
    limit_s = slo_limit(of, drawn)
    title = f"{of.label}, cumulative"
    return Chart(
        f"cdf_{of.key}", title, "ms", " ".join(words), _spec(rows, marks, limit_s), _table(drawn, of, along, runs)
    )


def line_name(run: RunDocument, along: Axes, runs: Sequence[RunDocument]) -> str:
    """The load and whatever else was varied; a question mark where the run is doubtful."""
    words = [run["spec"]["load_label"]] if varies(LOAD, runs) else []
    if along.x is not LOAD and varies(along.x, runs):
        words.append(along.x.text(run))
    words += [text] if (text := along.series_text(run)) else []
    name = " · ".join(words) or run["spec"]["load_label"]
    return f"{name} ?" if run["verdict"]["status"] == "doubtful" else name


def _on_record(run: RunDocument, of: Figure) -> list[tuple[float, float]]:
    read = ((share, of.read(run, statistic)) for statistic, share in ON_RECORD)
    return [(share, value) for share, value in read if value is not None]


def _evenly(runs: list[RunDocument], most: int) -> list[RunDocument]:
    if len(runs) <= most:
        return runs
    return [runs[round(step * (len(runs) - 1) / (most - 1))] for step in range(most)]


def _table(drawn: Sequence[RunDocument], of: Figure, along: Axes, runs: Sequence[RunDocument]) -> Table:
    texts = [
        (
            line_name(run, along, runs),
            str(run["repeat"]),
            number(of.read(run, "n")),
            *(milliseconds(of.read(run, statistic)) for statistic, _ in ON_RECORD),
        )
        for run in drawn
    ]
    return Table(("run", "repeat", "values", *(f"{name} (ms)" for name, _ in ON_RECORD)), tuple(texts))


def _spec(rows: list[CdfRow], marks: list[CdfRow], limit_s: float | None) -> Spec:
    lines = list(dict.fromkeys(row["line"] for row in rows))
    values = [row["ms"] for row in rows]
    log = max(values) / min(values) >= LOG_FROM_RATIO
    colors = [palette.color(number) for number in range(len(lines))]
    dashes = [palette.dash(number // len(palette.SERIES)) for number in range(len(lines))]
    scale: Spec = {"type": "log", "nice": False} if log else {"zero": False, "nice": False}
    x = quantity("ms", None, scale, format=",~r", tickCount=6, labelOverlap=True)
    y = quantity("share", "% of the values", {"domain": [0, 100]}, tickCount=5)
    color = nominal("line", lines, colors, has_legend=False)
    color |= {"legend": legend(lines) | STROKES if len(lines) > 1 else None}
    dash = color | {"scale": {"domain": lines, "range": dashes}}
    tooltip = [
        {"field": "line", "type": "nominal", "title": "run"},
        {"field": "run", "type": "nominal", "title": "id"},
        {"field": "ms", "title": "ms", "format": ",.4~r"},
        {"field": "share", "title": "% no longer", "format": ".6~r"},
    ]
    both: Spec = {"x": x, "y": y, "color": color}
    line = {"type": "line", "strokeWidth": 1.75, "interpolate": "linear"}
    course = both | {"strokeDash": dash, "detail": {"field": "run"}, "order": {"field": "share"}}
    layers = [layer(line, course | {"tooltip": tooltip})]
    if marks:
        point = {"type": "point", "filled": True, "size": 40, "opacity": 1}
        layers.append(layer(point, both | {"tooltip": tooltip}, values=marks))
    if limit_s is not None and min(values) < limit_s * 1000 < max(values):
        limit = [{"ms": limit_s * 1000, "text": "SLO"}]
        rule = {"type": "rule", "strokeWidth": 1.5, "strokeDash": list(palette.DASHED)}
        text = {"type": "text", "align": "left", "dx": 4, "y": 8, "fontSize": 11, "fontWeight": "bold"}
        layers.append(layer(rule, {"x": x}, values=limit))
        layers.append(layer(text, {"x": x, "text": {"field": "text"}}, values=limit))
    return frame(rows) | {"layer": layers}
