"""How far predictions are from measured runs, by kind of run."""

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from loadgen.cli.tables.style import plain_table
from loadgen.report.format import MISSING_FIGURE
from loadgen.report.study.prediction_errors import FIGURE_NAMES, FIGURES_COMPARED, ErrorRow, ErrorTable

_LOADS: Mapping[str, str] = {"wave": "waves", "closed_loop": "closed loops", "open_loop": "open loops"}


def error_tables(table: ErrorTable) -> Iterator[RenderableType]:
    """The table of kinds of runs with its totals, the outliers by name, and the runs that were left out."""
    shown = plain_table(title="|predicted − measured|/measured: median, largest", title_justify="left")
    for heading in ("model", "load"):
        shown.add_column(heading)
    for heading in ("tokens in", "runs"):
        shown.add_column(heading, justify="right")
    shown.add_column("")
    for name in FIGURES_COMPARED:
        shown.add_column(FIGURE_NAMES[name], justify="right", no_wrap=True)
    for row in table.rows:
        assert row.kind is not None
        kind = row.kind
        shown.add_row(
            f"{kind.model} {kind.precision}",
            _LOADS[kind.load],
            f"{kind.input_tokens:,}",
            str(row.runs),
            Text("fitted", style="dim") if row.is_fitted else "held out",
            *_errors(row),
        )
    shown.add_section()
    for name, row in table.totals:
        shown.add_row(Text(f"all {name}", style="bold"), "", "", str(row.runs), "", *_errors(row))
    yield shown
    for each in table.outliers:
        spec = each.run["spec"]
        yield Text(
            f"outlier: {each.kind.model}, {spec['load_label']}, {spec['input_tokens']} tokens in: {each.outlier}"
        )
    for what, why in table.left_out:
        yield Text(f"left out: {what}: {why}")


def _errors(row: ErrorRow) -> Iterator[str]:
    for name in FIGURES_COMPARED:
        median, largest = row.median[name], row.largest[name]
        yield MISSING_FIGURE if median is None or largest is None else f"{median:.1%}, {largest:.0%}"
