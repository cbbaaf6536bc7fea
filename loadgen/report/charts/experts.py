"""How often each expert of each layer was chosen, as a heat map, and distinct experts of a step against the formula of the roofline.

A cell's colour is its count over the mean of its layer: 1 is an even share. All maps of one drawing have one scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import TypedDict

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.experts import counts_of_run
from loadgen.moe.expert_counts import ExpertCounts
from loadgen.report.charts import palette
from loadgen.report.charts.chart import (
    HEIGHT_PX,
    LOG_LOADS_FROM_RATIO,
    SCHEMA,
    Chart,
    Spec,
    frame,
    layer,
    load_axis,
    nominal,
    quantity,
)
from loadgen.report.format import MISSING_FIGURE, number
from loadgen.report.points import Table

MAX_MAPS = 4  # next to each other
_MAX_WRITTEN_EXPERTS = 16  # of a layer, whose cells have room for a figure
_CELL_PX, _THIN_CELL_PX, _BESIDE_PX = 26, 12, 60
_MAX_STEP_SIZES = 200
_MIN_DARKEST = 2.0  # times an even share: what is nearly even is to look so
_FORMULA_PLACES = 40


@dataclass(frozen=True, slots=True)
class NamedCounts:
    """Counts and what to call them among others."""

    name: str
    counts: ExpertCounts

    @property
    def title(self) -> str:
        """`before: mixtral-8x7b, 4,032 tokens`; the name once if it is the model's."""
        model = self.counts.model
        whose = model if self.name == model else f"{self.name}: {model}"
        return f"{whose}, {self.counts.tokens:,} tokens"


class _Cell(TypedDict):
    layer: str
    expert: int
    chosen: int
    ratio: float


def counts_of_runs(runs: Sequence[RunDocument], names: Mapping[str, str] | None = None) -> list[NamedCounts]:
    """Return the counts of each sweep and model among `runs`, summed over its runs; nothing of runs without counts."""
    found: dict[tuple[str, str, tuple[int, ...]], NamedCounts] = {}
    for run in runs:
        counts = counts_of_run(run)
        if counts is None:
            continue
        key = (run["sweep_id"], counts.model, (*counts.layers, counts.experts, counts.experts_per_token))
        known = found.get(key)
        name = (names or {}).get(run["sweep_id"]) or counts.model
        found[key] = NamedCounts(name, counts if known is None else known.counts + counts)
    return list(found.values())


def expert_map(named: Sequence[NamedCounts]) -> Chart | None:
    """Return the heat map of each of `named`, of four at most, next to each other. None without any."""
    shown = [each for each in named if each.counts.tokens][:MAX_MAPS]
    if not shown:
        return None
    cells = [_cells(each.counts) for each in shown]
    darkest = max(_MIN_DARKEST, *(cell["ratio"] for each in cells for cell in each))
    if len(shown) == 1:
        (one,) = shown
        spec = frame(cells[0], _height_px(one.counts)) | {"layer": _layers(one.counts, darkest)}
    else:
        panels = [_panel(each, rows, darkest) for each, rows in zip(shown, cells, strict=True)]
        spec = {"$schema": SCHEMA, "usermeta": {"beside_px": _BESIDE_PX}, "spacing": 14, "hconcat": panels}
    words = "Darker is chosen more often: a cell is its count over the mean of its layer, 1 an even share."
    if len(named) > MAX_MAPS:
        words += f" The first {MAX_MAPS} of {len(named)}."
    whose = shown[0].title if len(shown) == 1 else ""
    return Chart("experts", "How often each expert is chosen", whose, words, spec, _table(shown))


def distinct_experts_chart(named: Sequence[NamedCounts]) -> Chart | None:
    """Return distinct experts of a layer against the tokens of a step, with the formula's line. None if no steps were seen."""
    shown = [each for each in named if each.counts.step_sizes][:MAX_MAPS]
    if not shown:
        return None
    rows = [row for each in shown for row in _step_rows(each)]
    sizes = sorted({row["x"] for row in rows})
    is_log = sizes[-1] / max(1, sizes[0]) >= LOG_LOADS_FROM_RATIO
    names = [each.name for each in shown]
    color = nominal("name", names, palette.SERIES, has_legend=len(names) > 1)
    x = load_axis("tokens in the step", sizes, is_log)
    if len(sizes) > 8:
        x |= {"axis": {"format": ",~r", "grid": False, "tickCount": 8}}
    y = quantity("measured", None, {"zero": True}, tickCount=5)
    tooltip = [
        {"field": "x", "title": "tokens in the step"},
        {"field": "measured", "title": "distinct experts", "format": ".2f"},
        {"field": "expected", "title": "of uniform routing", "format": ".2f"},
        {"field": "steps", "title": "steps"},
    ]
    line = layer(
        {"type": "line", "strokeDash": list(palette.DASHED), "strokeWidth": 1.5},
        {"x": x, "y": y | {"field": "expected"}, "color": color},
        values=[row for each in shown for row in _formula_rows(each, sizes[0], sizes[-1])],
    )
    points = layer(
        {"type": "point", "filled": True, "size": 40},
        {"x": x, "y": y, "color": color, "tooltip": tooltip},
    )
    words = "Points: mean over layers and steps of that size. Dashed: E·(1 − (1 − k/E)^tokens), uniform routing as the roofline has it."
    return Chart(
        "distinct_experts",
        "Distinct experts in one step",
        "experts of a layer",
        words,
        frame(rows) | {"layer": [line, points]},
        _step_table(shown),
    )


def _formula_rows(named: NamedCounts, first: int, last: int) -> list[dict[str, object]]:
    """Places of the formula's line, evenly spaced on a logarithmic axis."""
    places = np.geomspace(max(1, first), max(1, last), _FORMULA_PLACES)
    return [
        {"name": named.name, "x": round(float(x), 3), "expected": round(named.counts.expected_distinct(float(x)), 4)}
        for x in places
    ]


class _StepRow(TypedDict):
    name: str
    x: int
    measured: float
    expected: float
    steps: int


def _step_rows(named: NamedCounts) -> list[_StepRow]:
    """A row for each number of tokens, of the most frequent ones where there are very many."""
    counts = named.counts
    sizes = sorted(counts.step_sizes or (), key=lambda size: -size.steps)[:_MAX_STEP_SIZES]
    return [
        {
            "name": named.name,
            "x": size.tokens,
            "measured": round(counts.mean_distinct(size), 4),
            "expected": round(counts.expected_distinct(size.tokens), 4),
            "steps": size.steps,
        }
        for size in sorted(sizes, key=lambda size: size.tokens)
    ]


def _step_table(shown: Sequence[NamedCounts]) -> Table:
    rows = [row for each in shown for row in _step_rows(each)]
    return Table(
        ("of", "tokens in the step", "steps", "distinct experts", "of uniform routing"),
        tuple(
            (row["name"], number(row["x"]), number(row["steps"]), f"{row['measured']:.2f}", f"{row['expected']:.2f}")
            for row in rows
        ),
    )


def _cells(counts: ExpertCounts) -> list[_Cell]:
    means = counts.counts.mean(axis=1)
    return [
        {"layer": str(layer), "expert": expert, "chosen": int(count), "ratio": round(float(count / mean), 4)}
        for layer, row, mean in zip(counts.layers, counts.counts, means, strict=True)
        for expert, count in enumerate(row)
    ]


def _height_px(counts: ExpertCounts) -> int:
    cell_px = _CELL_PX if len(counts.layers) <= _MAX_WRITTEN_EXPERTS else _THIN_CELL_PX
    return max(HEIGHT_PX, len(counts.layers) * cell_px)


def _panel(named: NamedCounts, rows: Sequence[_Cell], darkest: float) -> Spec:
    title = {"text": named.title, "fontSize": 11, "fontWeight": "normal", "anchor": "start", "offset": 6}
    return {
        "title": title,
        "width": 300,
        "height": _height_px(named.counts),
        "data": {"values": rows},
        "layer": _layers(named.counts, darkest),
    }


def _layers(counts: ExpertCounts, darkest: float) -> list[Spec]:
    """The cells, and their figures where they have room for them."""
    is_written = counts.experts <= _MAX_WRITTEN_EXPERTS
    x: Spec = {"field": "expert", "type": "ordinal", "title": "expert"}
    x |= {"scale": {"paddingInner": 0.04 if is_written else 0}}
    x |= {"axis": {"labelAngle": 0, "domain": False, "ticks": False, "grid": False, "labelOverlap": True}}
    y: Spec = {"field": "layer", "type": "ordinal", "title": "layer", "scale": {"paddingInner": 0.06}}
    y |= {"sort": [str(layer) for layer in counts.layers], "axis": {"grid": False, "labelOverlap": True}}
    color: Spec = {"field": "ratio", "type": "quantitative", "legend": None}
    color |= {"scale": {"domain": [0, darkest], "range": list(palette.SEQUENCE)}}
    tooltip = [
        {"field": "layer", "type": "nominal"},
        {"field": "expert", "type": "nominal"},
        {"field": "chosen", "title": "times chosen", "format": ","},
        {"field": "ratio", "title": "of an even share", "format": ".2f"},
    ]
    both: Spec = {"x": x, "y": y, "tooltip": tooltip}
    cells = [layer({"type": "rect", "cornerRadius": 2 if is_written else 0}, both | {"color": color})]
    if is_written:
        is_dark = {"test": f"datum.ratio > {palette.WHITE_FROM * darkest:.4f}", "value": "#ffffff"}
        ink: Spec = {"condition": is_dark, "value": palette.CELL_INK}
        text: Spec = {"field": "ratio", "type": "quantitative", "format": ".1f"}
        cells.append(layer({"type": "text", "fontSize": 10}, both | {"text": text, "color": ink}))
    return cells


def _table(shown: Sequence[NamedCounts]) -> Table:
    """The figures of each layer, which say more than thousands of counts."""
    rows = []
    for each in shown:
        for figures in each.counts.figures():
            row = each.counts.of_layer(figures.layer)
            rows.append(
                (
                    each.name,
                    str(figures.layer),
                    _figure(figures.max_over_mean),
                    _figure(figures.entropy_ratio),
                    _figure(figures.gini),
                    str(int(row.argmax())),
                    str(figures.unused_experts),
                )
            )
    return Table(("of", "layer", "max/mean", "entropy", "Gini", "most chosen", "never chosen"), tuple(rows))


def _figure(value: float | None) -> str:
    return MISSING_FIGURE if value is None else f"{value:.3f}"
