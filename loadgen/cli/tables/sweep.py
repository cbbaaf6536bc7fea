"""A sweep, or those of a group, for a terminal of 80 columns and more: title, table and findings."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.sweep import StartFailureDocument
from loadgen.analysis.point_findings import findings_of
from loadgen.analysis.verdict import usable_runs
from loadgen.cli.tables.accuracy import show_accuracy
from loadgen.cli.tables.style import VERDICTS, numbers, plain_table, words
from loadgen.load.shapes import shape_class
from loadgen.report.figures import THROUGHPUT, gap_figure, highest
from loadgen.report.format import MISSING_FIGURE, dollars, number, plural
from loadgen.report.points import load_value, pool, spread_label
from loadgen.report.words.remote import is_unverified, paid_usd
from loadgen.report.words.run_facts import import_line
from loadgen.report.words.search_result import search_sentences
from loadgen.report.words.server import DUMMY_WEIGHTS, failure_kind, has_dummy_weights, server_name
from loadgen.report.words.sweep_columns import Column, columns
from loadgen.report.words.sweep_tables import ok_of_planned, worst_status
from loadgen.store.rows import SweepRow

Cell = Callable[[Sequence[RunDocument]], Text]

_SEVERITIES = {"invalid": VERDICTS["invalid"], "doubtful": VERDICTS["doubtful"], "note": ("·", "dim")}
WIDE = 100  # columns from which the table shows everything


def show_sweep(console: Console, sweep: SweepRow, documents: Sequence[RunDocument]) -> None:
    """Title, where it came from if it was imported, what a search found, table, findings."""
    console.print(sweep_title(sweep, documents))
    if imported := import_line(documents[0].get("imported")):
        console.print(f"imported {imported}", style="dim")
    if sweep.search is not None:
        console.print(search_sentences(sweep.search), style="bold")
    console.print(sweep_table(documents, console.width))
    show_accuracy(console, sweep.accuracy, sweep.sweep_id)
    print_findings(console, documents)


def show_group(console: Console, sweeps: Sequence[tuple[SweepRow, Sequence[RunDocument]]]) -> None:
    """Each sweep under the name of its variant; of a server that did not start, why."""
    for sweep, documents in sweeps:
        console.rule(sweep.name, align="left", style="dim")
        if documents:
            show_sweep(console, sweep, documents)
        else:
            console.print(
                failure_line(sweep) or f"{sweep.status}, without a run of {sweep.planned_runs}", soft_wrap=True
            )
            console.print()


def sweep_table(documents: Sequence[RunDocument], width: int) -> RenderableType:
    """One row per load point: its figures as means over its repeats that are not invalid, its worst verdict."""
    points = _points(documents)
    repeated = any(len(runs) > 1 for runs in points)
    wide = width >= WIDE
    shapes = {shape_class(runs[0]["spec"]["shape"]) for runs in points}
    load_header = next(iter(shapes)).column_label if len(shapes) == 1 else "load"
    shown = [column for column in columns(documents) if (column.terminal if wide else column.narrow)]
    cells: list[tuple[str, Cell]] = [
        (f"\n{load_header}", lambda runs: _load(runs, spelled=len(shapes) > 1)),
        ("tokens\nin", lambda runs: Text(number(runs[0]["spec"]["input_tokens"]))),
        ("\nout", lambda runs: Text(f"{runs[0]['spec']['output_tokens']:,}")),
    ]
    for column in shown:
        cells.append((column.terminal if wide else column.narrow, _pooled(column)))
        if column.high:
            cells += _high(column, points, wide)
        if column.figure is THROUGHPUT and wide and repeated:
            cells.append(("\n±", _half_spread(column)))
    cells.append(("\nok", _ok))
    cells.append(("", lambda runs: _worst_verdict(runs, spelled=wide)))
    legend = f"milliseconds; gap: {gap_figure(documents).label.lower()}"
    if any(header.endswith("\nhigh") for header, _ in cells):
        legend += "; high: the highest percentile that is given"
    legend += "".join(f"; {column.note}" for column in reversed(shown) if column.note)
    if paid := paid_usd(documents):
        legend += f"; cost: {dollars(paid)} in all, warm-ups included"
    if repeated:
        spread = spread_label(len(usable_runs(runs)) for runs in points).removesuffix(" of repeats")
        legend += "; means over repeats" + (f", ± half their {spread}" if wide else "")
    headings = numbers(*(header for header, _ in cells[:-1]))
    table = plain_table(*headings, *words(""), caption=legend, caption_justify="left", caption_style="dim")
    previous: object = None
    for runs in points:
        lengths = (runs[0]["spec"]["input_tokens"], runs[0]["spec"]["output_tokens"])
        if previous not in (None, lengths):
            table.add_row()
        previous = lengths
        table.add_row(*(cell(runs) for _, cell in cells))
    return table


def sweep_title(sweep: SweepRow | None, documents: Sequence[RunDocument]) -> Text:
    """What was measured: SIMULATED and IMPORTED first where it was, then model, server and how many runs."""
    first = documents[0]
    server, text = first["server"], Text()
    if first["simulated"]:
        text.append(" SIMULATED ", style="reverse bold yellow")
        text.append(" ")
    if first.get("imported"):
        text.append(" FOREIGN " if first.get("foreign") else " IMPORTED ", style="reverse bold")
        text.append(" ")
    if any(map(is_unverified, documents)):
        text.append(" CERTIFICATE NOT VERIFIED ", style="reverse bold red")
        text.append(" ")
    text.append(server["model"], style="bold")
    text.append(f" · {server_name(server).removesuffix(f', {DUMMY_WEIGHTS}')}")
    if has_dummy_weights(server):
        text.append(f", {DUMMY_WEIGHTS}", style="bold yellow")
    text.append(f" · {first['spec']['endpoint']}")
    if server.get("profile"):
        text.append(f" · {server['profile']}")
    text.append(f" · {plural(len(documents), 'run')}")
    if sweep is not None:
        if len(documents) < sweep.planned_runs:
            text.append(f" of {sweep.planned_runs}", style="yellow")
        text.append(f" · {sweep.sweep_id}", style="dim")
    return text


def failure_line(sweep: SweepRow) -> Text | None:
    """Why the sweep's server did not start, and where its log is; None where it did."""
    failure: StartFailureDocument | None = sweep.start_failure
    if failure is None:
        return None
    log = f"; its log: {failure['log']}" if failure["log"] else ""
    return Text(f"✗ {failure_kind(sweep)}: ", style="red").append(f"{failure['sentence']}{log}", style="default")


def findings(documents: Sequence[RunDocument]) -> RenderableType | None:
    """Each kind of finding of runs and load points once, worst first, with how many runs have it and its hint."""
    merged = findings_of(documents)
    if not merged:
        return None
    table = Table.grid(*words(""), "", padding=(0, 1))
    for finding in merged:
        symbol, style = _SEVERITIES[finding.severity]
        text = Text(finding.message)
        text.append(f" ({finding.extent})" if finding.extent else "", style="dim")
        if finding.hint:
            text.append(f"\n{finding.hint}", style="dim")
        table.add_row(Text(symbol, style=style), text)
    return table


def print_findings(console: Console, documents: Sequence[RunDocument]) -> None:
    """Print the findings of these runs, and a blank line after any."""
    found = findings(documents)
    if found is not None:
        console.print(found)
        console.print()


def _load(runs: Sequence[RunDocument], *, spelled: bool) -> Text:
    return Text(runs[0]["spec"]["load_label"] if spelled else number(load_value(runs[0])))


def _points(documents: Sequence[RunDocument]) -> list[list[RunDocument]]:
    """Runs by load point, points in the order of lengths and load."""
    groups: dict[str, list[RunDocument]] = {}
    for document in documents:
        groups.setdefault(document["spec"]["point_hash"], []).append(document)

    def rank(runs: list[RunDocument]) -> tuple[int, int, float]:
        spec = runs[0]["spec"]
        return spec["input_tokens"] or 0, spec["output_tokens"], load_value(runs[0])

    return sorted(groups.values(), key=rank)


def _pooled(column: Column) -> Cell:
    """A cell: the mean over the usable repeats; where all are invalid their mean is struck out."""

    def cell(runs: Sequence[RunDocument]) -> Text:
        pooled = column.pooled(runs)
        text = column.text(None if pooled is None else pooled.mean)
        return Text(text, style="" if usable_runs(runs) or pooled is None else "strike dim")

    return cell


def _high(column: Column, points: Sequence[Sequence[RunDocument]], wide: bool) -> list[tuple[str, Cell]]:
    """The column of the highest percentile that all usable repeats of a point have; none where no point has any.

    Its heading names the percentile. Where the points differ, each cell names its own, or, for want of width, all show the
    one that every point has which has any: with a p95 there is a p90.
    """

    def found(runs: Sequence[RunDocument]) -> str | None:
        return highest(column.figure, usable_runs(runs) or runs)

    given = {percentile for runs in points if (percentile := found(runs)) is not None}
    if not given:
        return []
    shared = None if wide and len(given) > 1 else min(given)

    def cell(runs: Sequence[RunDocument]) -> Text:
        percentile = found(runs)
        if percentile is None:
            return Text(MISSING_FIGURE)
        text = _pooled(replace(column, statistic=shared or percentile))(runs)
        return text if shared else text.append(f" {percentile}", style="dim")

    return [(f"{column.high}\n{shared or 'high'}", cell)]


def _half_spread(column: Column) -> Cell:
    """Half of what `spread_label` names: of the mean's interval, or under three repeats of their range."""

    def cell(runs: Sequence[RunDocument]) -> Text:
        pooled = pool([column.read(run) for run in usable_runs(runs)])
        return Text(column.text(None if pooled is None else pooled.half_spread), style="dim")

    return cell


def _ok(runs: Sequence[RunDocument]) -> Text:
    ok, planned = ok_of_planned(runs)
    return Text(f"{ok:,}" if ok == planned else f"{ok:,}/{planned:,}", style="" if ok == planned else "red")


def _worst_verdict(runs: Sequence[RunDocument], spelled: bool) -> Text:
    status = worst_status(runs)
    symbol, style = VERDICTS[status]
    return Text(f"{symbol} {status}" if spelled and status != "valid" else symbol, style=style)
