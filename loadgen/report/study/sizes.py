"""Studies of models' sizes: parameters by kind of layer, drawn, and the paper's table next to the real configurations."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.moe.models import Model, model
from loadgen.moe.parameters import Parameters, active_parameters, parameters
from loadgen.moe.table1 import BILLION, TABLE_1, PaperComparison, compare_with_paper
from loadgen.report.charts import palette
from loadgen.report.charts.chart import Chart, Spec, frame, nominal
from loadgen.report.format import number
from loadgen.report.points import Table

_KINDS = ("routed experts", "shared experts", "router", "attention", "dense FFN", "embedding", "head", "norms")
_FIELDS = {"dense FFN": "dense_ffn"}
_ROW_PX, _AXIS_PX = 34, 50


@dataclass(frozen=True, slots=True)
class SizeCell:
    """One figure of the paper and the real one; `counted` says how that was counted, if not as a whole."""

    paper: str
    real: str
    verdict: str  # agrees, differs or other
    counted: str = ""


@dataclass(frozen=True, slots=True)
class SizesTable:
    """The models of the paper's Table 1, one a row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[SizeCell, ...]], ...]


def sizes_charts(names: Sequence[str]) -> tuple[Chart, ...]:
    """Parameters in all and for one token, by kind of layer, of these models."""
    models = [model(name) for name in names]
    return (
        _chart("total", "Parameters in all", models, [parameters(each.architecture) for each in models]),
        _chart(
            "active", "Parameters that a token uses", models, [active_parameters(each.architecture) for each in models]
        ),
    )


def sizes_table(names: Sequence[str]) -> SizesTable | None:
    """What the paper's Table 1 says of these models next to what they are; None if it has none of them."""
    rows = [row for row in TABLE_1 if row.name in names]
    if not rows:
        return None
    compared = [compare_with_paper(row) for row in rows]
    return SizesTable(
        tuple(each.label for each in compared[0]),
        tuple((row.title, tuple(map(_cell, cells))) for row, cells in zip(rows, compared, strict=True)),
    )


def agreements(names: Sequence[str]) -> list[list[bool | None]]:
    """Of each model and figure of Table 1 whether the paper has it right; None where that cannot be said."""
    return [[cell.agrees for cell in compare_with_paper(row)] for row in TABLE_1 if row.name in names]


def experts_share(name: str) -> tuple[float, float]:
    """The share of routed and shared experts in all parameters of a model, and in those that a token uses."""
    architecture = model(name).architecture
    in_all, active = parameters(architecture), active_parameters(architecture)
    shares = [(each.routed_experts + each.shared_experts) / each.total for each in (in_all, active)]
    return shares[0], shares[1]


def _cell(cell: PaperComparison) -> SizeCell:
    verdict = "other" if cell.agrees is None else "agrees" if cell.agrees else "differs"
    if cell.decimals is None:
        return SizeCell(f"{cell.paper:,.0f}", f"{cell.real:,.0f}", verdict)
    return SizeCell(f"{cell.paper:.{cell.decimals}f} B", f"{cell.real:.2f} B", verdict, cell.counted)


def _count(of: Parameters, kind: str) -> int:
    return int(getattr(of, _FIELDS.get(kind, kind.replace(" ", "_"))))


def _chart(key: str, title: str, models: Sequence[Model], counts: Sequence[Parameters]) -> Chart:
    rows = [
        {"model": each.name, "kind": kind, "at": at, "value": _count(count, kind) / BILLION}
        for each, count in zip(models, counts, strict=True)
        for at, kind in enumerate(_KINDS)
        if _count(count, kind)
    ]
    there = [kind for kind in _KINDS if any(row["kind"] == kind for row in rows)]
    colours = [palette.SERIES[_KINDS.index(kind) % len(palette.SERIES)] for kind in there]
    spec: Spec = frame(rows, _ROW_PX * len(models) + _AXIS_PX)
    spec |= {
        "mark": {"type": "bar", "stroke": "white", "strokeWidth": 0.4},  # parts them on grey paper
        "encoding": {
            "y": {
                "field": "model",
                "type": "nominal",
                "title": None,
                "sort": [each.name for each in models],
                "axis": {"labelLimit": 150, "ticks": False, "domain": False},
            },
            "x": {
                "field": "value",
                "type": "quantitative",
                "title": None,
                "axis": {"tickCount": 4, "format": ",~r"},
                "stack": "zero",
            },
            "order": {"field": "at", "type": "quantitative"},
            "color": nominal("kind", there, colours, has_legend=True),
            "tooltip": [
                {"field": "model", "title": "model"},
                {"field": "kind", "title": "kind of layer"},
                {"field": "value", "title": "billion", "format": ",.3~r"},
            ],
        },
    }
    table = Table(
        ("model", *there, "total"),
        tuple(
            (each.name, *(number(_count(count, kind) / BILLION) for kind in there), number(count.total / BILLION))
            for each, count in zip(models, counts, strict=True)
        ),
    )
    return Chart(key, title, "billion, by kind of layer", "", spec, table)
