"""`loadgen plot`: one chart as a file for a paper, a slide or a chat."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from loadgen.cli.commands.ids import full_id
from loadgen.cli.console.output_file import write_file
from loadgen.cli.console.terminal import Terminal, show, show_json
from loadgen.cli.flags import options
from loadgen.cli.flags.options import argument
from loadgen.cli.flags.signature import Flag, command
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from loadgen.report.charts.drawing import DrawingFormat

_FLAGS = (
    Flag("output", "FILE", "What to write: .svg, .pdf or .png. Default CHART.svg.", type=Path | None, short="-o"),
    Flag("metric", "KEY", "Which figure, for charts that draw any; see --list."),
    Flag("statistic", "NAME", "p50, p90, p95, p99, mean, min or max of it."),
    Flag("width_px", "N", "How wide it is drawn, in pixels.", type=int, default=720),
    Flag("list", "", "List the charts, and draw none.", type=bool, default=False),
)


@command(_FLAGS)
def plot(
    terminal: Terminal,
    chart: Annotated[str | None, argument("CHART", "Which chart; --list names them.")] = None,
    ids: Annotated[
        list[str] | None, argument("ID…", "Sweeps, groups or runs: ids, names, or 'latest' (the default).")
    ] = None,
    *,
    output: Path | None,
    width_px: int,
    list: bool,
    as_json: options.Json = False,
    **flags: Any,
) -> None:
    """Draw one chart as SVG, PDF or PNG, without a network.

    For example: loadgen plot pareto latest -o pareto.pdf
    """
    from loadgen.report.charts import plots

    if list:
        _list(as_json)
        return
    if chart is None:
        raise UsageError("name a chart; 'loadgen plot --list' tells which there are")
    if as_json:
        raise UsageError("--json goes with --list: a drawing is written to a file")
    kind = plots.plot(chart)
    path = output or Path(f"{chart}.svg")
    form = drawing_format(path)

    from loadgen.report.charts.drawing import draw
    from loadgen.report.run_selection import about, gather

    with terminal.open() as store:
        selection = gather(store, [full_id(store, each) for each in ids or ["latest"]])
        drawn = kind.draw(selection, flags.get("metric"), flags.get("statistic"))
    content = draw(drawn, form, about(selection, kind.has_bars), width_px)
    write_file(path, content)
    terminal.note(f"wrote {path}")


def drawing_format(path: Path) -> "DrawingFormat":
    """The form that a file's ending asks for. Raises UsageError."""
    from loadgen.report.charts.drawing import FORMATS

    ending = path.suffix.lower().removeprefix(".")
    form = next((each for each in FORMATS if each == ending), None)
    if form is None:
        raise UsageError(f"{path} must end in .{', .'.join(FORMATS[:-1])} or .{FORMATS[-1]}, which says what to draw")
    return form


def _list(as_json: bool) -> None:
    from rich.table import Table

    from loadgen.analysis.figure_table import DRAWN
    from loadgen.report.charts.plots import PLOTS

    if as_json:
        charts = [{"name": each.name, "of": each.of, "tells": each.tells, "metric": each.metric} for each in PLOTS]
        show_json({"schema_version": 1, "charts": charts, "metrics": list(DRAWN)})
        return
    table = Table("chart", "of", "tells", "--metric", box=None, pad_edge=False)
    for each in PLOTS:
        of = "runs, sweeps" if each.of == "runs" else "one run"
        table.add_row(each.name, of, each.tells, f"default {each.metric}" if each.metric else "")
    show(table)
    show(f"\nmetrics: {', '.join(DRAWN)}")
