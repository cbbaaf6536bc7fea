"""Speculative decoding: how much faster than the same server without drafts, against the share of drafted tokens accepted.

A mark is one load point of one draft. The server without drafts is found among the runs: the same model under the same load.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from typing_extensions import TypedDict

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.server import ServerDocument
from loadgen.report.charts import palette
from loadgen.report.charts.chart import Chart, Spec, frame, nominal, points_by_verdict, shape_of
from loadgen.report.figures import ACCEPTANCE_RATIO, THROUGHPUT, TOKENS_PER_DRAFT
from loadgen.report.format import MISSING_FIGURE, number, percent
from loadgen.report.points import LoadPoint, Table, axes, points
from loadgen.report.words.server import speculative_config
from loadgen.study.estimate import Estimate, estimate

MAX_LABELS = 8  # more would cover each other
FARTHEST_RATIO = 1.5  # a bar that goes farther from its mark would press the marks together


class SpeedupRow(TypedDict):
    """A load point of a draft: output throughput over that without drafts, with its 95 % interval."""

    series: str
    load: str
    dataset: str  # empty: prompts made up by loadgen
    acceptance: float  # 0 to 1
    tokens_per_draft: float | None
    speedup: float
    low: float
    high: float
    runs: int
    status: str


def speedup_chart(runs: Sequence[RunDocument], names: Mapping[str, str] | None = None) -> Chart | None:
    """None where no load was measured on the same model both with and without drafts."""
    drawn = points(runs, axes(runs, names))
    plain: dict[str, list[RunDocument]] = {}
    for point in drawn:
        if not _is_speculative(point.runs[0]):
            plain.setdefault(_load(point.runs[0]), []).extend(point.runs)
    several = len({_load_in_words(point.runs[0]) for point in drawn}) > 1
    rows = [row for point in drawn if (row := _row(point, plain, is_one_of_several_loads=several)) is not None]
    if not rows:
        return None
    rows.sort(key=lambda row: (row["series"], row["acceptance"]))
    assumed = any(row["runs"] == 1 for row in rows)
    words = ["Output throughput over that of the same model without drafts under the same load; above 1 is faster."]
    words += ["Bars: the 95 % interval of the ratio" + (", assumed as 5 % a side for single runs." if assumed else ".")]
    if any(row["high"] > row["speedup"] * FARTHEST_RATIO for row in rows):
        words += ["A bar that ends at the edge goes on beyond it."]
    words += ["Hollow marks are doubtful."] if any(row["status"] == "doubtful" for row in rows) else []
    table = Table(
        ("draft", "load", "dataset", "accepted", "tokens per draft", "speed-up", "from", "to", "runs"),
        tuple(
            (
                row["series"],
                row["load"],
                row["dataset"] or MISSING_FIGURE,
                percent(row["acceptance"]),
                number(row["tokens_per_draft"]),
                *(f"{row[key]:.3g}" for key in ("speedup", "low", "high")),
                str(row["runs"]),
            )
            for row in rows
        ),
    )
    return Chart("speedup", "Speed-up by drafts against acceptance", "ratio", " ".join(words), _spec(rows), table)


def draft_label(server: ServerDocument) -> str | None:
    """Return `trained-draft-small, 3 tokens` for a server that drafts; None for one that does not or whose arguments are unknown."""
    config = speculative_config(server)
    if config is None:
        return None
    name = str(config.get("model") or config.get("method") or "draft").rstrip("/").rpartition("/")[2]
    stated = config.get("synthetic_acceptance_length")
    words = [name, f"{config.get('num_speculative_tokens', '?')} tokens", *(["synthetic"] if stated else [])]
    return ", ".join(words)


def _is_speculative(run: RunDocument) -> bool:
    return TOKENS_PER_DRAFT.read(run) is not None or speculative_config(run["server"]) is not None


def _load(run: RunDocument) -> str:
    """What the run's model was asked and how, without where."""
    spec = run["spec"]
    asked = (spec["model"], spec["endpoint"], spec["load_label"], spec["input_tokens"], spec["output_tokens"])
    return json.dumps([*asked, spec.get("workload")], sort_keys=True)


def _row(
    point: LoadPoint, plain: Mapping[str, list[RunDocument]], *, is_one_of_several_loads: bool
) -> SpeedupRow | None:
    run = point.runs[0]
    acceptance = point.pooled(ACCEPTANCE_RATIO.read)
    with_drafts, without = (_throughput(runs) for runs in (point.runs, plain.get(_load(run), ())))
    if acceptance is None or with_drafts is None or without is None:
        return None
    ratio, tokens, load = with_drafts.over(without), point.pooled(TOKENS_PER_DRAFT.read), _load_in_words(run)
    draft = draft_label(run["server"]) or point.series or "drafts"
    return {
        "series": f"{draft} · {load}" if is_one_of_several_loads else draft,
        "load": load,
        "dataset": _dataset(run),
        "acceptance": acceptance.mean,
        "tokens_per_draft": None if tokens is None else tokens.mean,
        "speedup": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "runs": ratio.runs,
        "status": point.status,
    }


def _load_in_words(run: RunDocument) -> str:
    spec = run["spec"]
    lengths = "" if spec["input_tokens"] is None else f", {spec['input_tokens']} in, {spec['output_tokens']} out"
    return spec["load_label"] + lengths


def _dataset(run: RunDocument) -> str:
    dataset = (run["spec"].get("workload") or {}).get("dataset")
    return "" if dataset is None else PurePath(dataset["name"]).stem


def _throughput(runs: Sequence[RunDocument]) -> Estimate | None:
    values = [value for run in runs if (value := THROUGHPUT.read(run)) is not None]
    return estimate(values, is_simulated=any(run["simulated"] for run in runs))


def _spec(rows: list[SpeedupRow]) -> Spec:
    series = list(dict.fromkeys(row["series"] for row in rows))
    least = min(row["acceptance"] for row in rows)
    x: Spec = {
        "field": "acceptance",
        "type": "quantitative",
        "title": "Drafted tokens accepted",
        "scale": {"domain": [max(0.0, least - 0.05), 1], "nice": False, "padding": 12},
        "axis": {"grid": False, "tickCount": 5, "format": ".0%"},
    }
    y: Spec = {
        "field": "speedup",
        "type": "quantitative",
        "title": None,
        "scale": {"domain": _domain(rows), "nice": True},
        "axis": {"tickCount": 5, "format": ",~r"},
    }
    color = nominal("series", series, palette.SERIES, has_legend=len(series) > 1)
    both: Spec = {"x": x, "y": y}
    tooltip = [
        {"field": "series", "type": "nominal", "title": "draft"},
        {"field": "load", "type": "nominal", "title": "load"},
        {"field": "dataset", "type": "nominal", "title": "dataset"},
        {"field": "acceptance", "title": "accepted", "format": ".1%"},
        {"field": "tokens_per_draft", "title": "tokens per draft", "format": ",.3~r"},
        {"field": "speedup", "title": "speed-up", "format": ",.3~r"},
        {"field": "low", "title": "from", "format": ",.3~r"},
        {"field": "high", "title": "to", "format": ",.3~r"},
        {"field": "status", "type": "nominal", "title": "verdict"},
    ]
    bar = {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": color}
    one = {"type": "rule", "strokeDash": list(palette.DASHED), "color": palette.NEUTRAL}
    layers: list[Spec] = [
        {"data": {"values": [{"one": 1}]}, "mark": one, "encoding": {"y": {"field": "one", "type": "quantitative"}}},
        {"mark": {"type": "line", "strokeWidth": 1.5, "opacity": 0.55}, "encoding": both | {"color": color}},
        {"mark": {"type": "rule", "strokeWidth": 1.5, "clip": True}, "encoding": bar},
    ]
    encoding = both | {"color": color, "shape": shape_of(color), "tooltip": tooltip}
    layers += points_by_verdict({row["status"] for row in rows}, {"size": 70, "strokeWidth": 2, "opacity": 1}, encoding)
    if not 1 < len({row["dataset"] for row in rows}) <= len(rows) <= MAX_LABELS:
        return frame(rows, 300) | {"layer": layers}
    text = {"type": "text", "align": "left", "dx": 8, "dy": -6, "fontSize": 11}
    layers.append({"mark": text, "encoding": both | {"text": {"field": "dataset", "type": "nominal"}}})
    return frame(rows, 300) | {"layer": layers}


def _domain(rows: Sequence[SpeedupRow]) -> list[float]:
    """The ends of the axis: every mark and 1, and of each bar as much as is near its mark."""
    return [
        min(1.0, *(max(row["low"], row["speedup"] / FARTHEST_RATIO) for row in rows)),
        max(1.0, *(min(row["high"], row["speedup"] * FARTHEST_RATIO) for row in rows)),
    ]
