"""Results as tables for a terminal of 80 columns and more."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadgen.analysis.point_findings import findings_of
from loadgen.load.shapes import shape_class
from loadgen.load.workload import Workload
from loadgen.report.figures import (
    THROUGHPUT,
    TTFT,
    gap_figure,
    highest,
)
from loadgen.report.format import (
    MISSING_FIGURE,
    ago,
    dollars,
    figure,
    milliseconds,
    number,
    percent,
    plural,
    shown_unit,
)
from loadgen.report.labels import metric_label
from loadgen.report.pages.list_lines import FigureCells, figure_cells
from loadgen.report.pages.sweep_figures import sweep_figures
from loadgen.report.points import load_value, pool, spread_label, usable_runs
from loadgen.report.words.columns import Column, columns
from loadgen.report.words.facts import doctor_line, import_line, limits_line, reply_label, turn_table
from loadgen.report.words.remote import (
    cost_line,
    is_unverified,
    paid_usd,
    round_trip_line,
    way_line,
)
from loadgen.report.words.served import DUMMY_WEIGHTS, failure_kind, has_dummy_weights, served_line, server_name
from loadgen.report.words.sweep_tables import ok_of_planned, worst_status
from loadgen.store import plain
from loadgen.store.rows import RunFigures, SweepRow

Document = dict[str, Any]
Cell = Callable[[Sequence[Document]], Text]

VERDICTS = {"valid": ("✓", "green"), "doubtful": ("?", "yellow"), "invalid": ("✗", "red")}
_SEVERITIES = {"invalid": VERDICTS["invalid"], "doubtful": VERDICTS["doubtful"], "note": ("·", "dim")}
WIDE = 100  # columns from which the table shows everything
_LIST_WITH_FIGURES, _LIST_WITH_GPUS = 120, 150  # columns from which the list of sweeps shows these

_STATUS_STYLE = {"finished": "", "running": "cyan", "interrupted": "yellow", "stopped": "yellow", "failed": "red"}


def sweep_table(documents: Sequence[Document], width: int) -> RenderableType:
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
    table = plain_table(caption=legend, caption_justify="left", caption_style="dim")
    for header, _ in cells:
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    previous: object = None
    for runs in points:
        lengths = (runs[0]["spec"]["input_tokens"], runs[0]["spec"]["output_tokens"])
        if previous not in (None, lengths):
            table.add_row()
        previous = lengths
        table.add_row(*(cell(runs) for _, cell in cells))
    return table


def sweep_title(sweep: SweepRow | None, documents: Sequence[Document]) -> Text:
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
    failure = sweep.start_failure
    if failure is None:
        return None
    log = f"; its log: {failure['log']}" if failure["log"] else ""
    return Text(f"✗ {failure_kind(sweep)}: ", style="red").append(f"{failure['sentence']}{log}", style="default")


def findings(documents: Sequence[Document]) -> RenderableType | None:
    """Each kind of finding of runs and load points once, worst first, with how many runs have it and its hint."""
    merged = findings_of(documents)
    if not merged:
        return None
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column()
    for finding in merged:
        symbol, style = _SEVERITIES[finding.severity]
        text = Text(finding.message)
        text.append(f" ({finding.extent})" if finding.extent else "", style="dim")
        if finding.hint:
            text.append(f"\n{finding.hint}", style="dim")
        table.add_row(Text(symbol, style=style), text)
    return table


def run_table(document: Document) -> RenderableType:
    """Every figure of one run."""
    from loadgen.analysis.figures.metrics import METRICS

    distributions = plain_table()
    distributions.add_column("ms")
    for header in ("n", "mean", "p50", "p90", "p95", "p99", "max"):
        distributions.add_column(header, justify="right", no_wrap=True)
    scalars = Table.grid(padding=(0, 2))
    scalars.add_column()
    scalars.add_column(justify="right")
    scalars.add_column(style="dim")
    for metric in METRICS:
        entry = metric.of(document)
        if metric.kind == "distribution":
            figures = entry or {}
            if metric.better is None and not figures.get("n"):
                continue  # it describes what this run had none of
            cells = (figure(figures.get(name), metric.unit) for name in ("mean", "p50", "p90", "p95", "p99", "max"))
            unit = "" if metric.unit == "s" else f", {metric.unit}"
            distributions.add_row(metric.label + unit, number(figures.get("n")), *cells)
        elif entry is not None:
            scalars.add_row(metric_label(metric, document), figure(entry, metric.unit), shown_unit(metric.unit))
    return Group(distributions, scalars)


def replies(document: Document) -> RenderableType | None:
    """The replies kept with their text; None where none was."""
    kept = document.get("replies")
    if not kept:
        return None
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for reply in kept:
        table.add_row(reply_label(reply), Text(plain.printable(reply["text"]) or "(no text)"))
    return table


def by_turn(document: Document) -> RenderableType | None:
    """Figures by turn of the conversations; None where each request stands by itself."""
    figures = turn_table(document)
    if figures is None:
        return None
    table = plain_table()
    for header in figures.columns:
        table.add_column(header, justify="right")
    for row in figures.rows:
        table.add_row(*row)
    return table


def run_facts(document: Document) -> RenderableType:
    """What a run was, in a few lines: load, lengths, outcomes, and what the client says of itself."""
    spec, outcomes, client = document["spec"], document["outcomes"], document["client"]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    table.add_row(
        "load",
        f"{spec['load_label']}, {number(spec['input_tokens'])} → {spec['output_tokens']:,} tokens, seed {spec['seed']}",
    )
    if served := served_line(document["server"]):
        table.add_row("server", served + (f"; {DUMMY_WEIGHTS}" if has_dummy_weights(document["server"]) else ""))
    if made_of := Workload.from_json(spec.get("workload", {})).label:
        table.add_row("prompts", made_of)
    others = ", ".join(
        f"{count:,} {label.replace('_', ' ')}"
        for label, count in outcomes.items()
        if count and label not in ("planned", "ok")
    )
    table.add_row("requests", f"{outcomes['ok']:,} of {outcomes['planned']:,} ok" + (f"; {others}" if others else ""))
    tokens = document["tokens"]
    counted = f"{number(tokens['output'])} output, {number(tokens['prompt'])} prompt"
    table.add_row("tokens", f"{counted}; counted by {(tokens['counted_by'] or 'nobody').replace('_', ' ')}")
    for name, key in (("prompt lengths", "prompt_tokens"), ("answer lengths", "output_tokens")):
        lengths = (document.get("lengths") or {}).get(key) or {}
        if lengths.get("requests_off"):
            table.add_row(
                name,
                f"{number(lengths['mean'])} tokens on average ({number(lengths['min'])} to {number(lengths['max'])}) "
                f"of {number(lengths['asked'])} asked",
            )
    window = document["window"]
    if window["start_s"] is not None and window["end_s"] is not None:
        rule = window["rule"].replace("_", " ")
        held = "" if window["requests"] is None else f", {plural(window['requests'], 'request')}"
        table.add_row("window", f"{rule}, {window['start_s']:.2f} to {window['end_s']:.2f} s{held}")
    if waits := limits_line(document):
        table.add_row("limits", waits)
    if client["reads"]:
        table.add_row("stamps", f"by {client['stamp_source']}, {percent(client['coalesced_ratio'])} coalesced")
    if way := way_line(document):
        table.add_row("way", Text(way, style="red" if is_unverified(document) else ""))
    if client.get("network_rtt_s"):
        table.add_row("network", f"round trip {round_trip_line(document)}")
    if cost := cost_line(document):
        table.add_row("cost", cost)
    if doctor := doctor_line(document):
        table.add_row("doctor", doctor)
    if imported := import_line(document.get("imported")):
        table.add_row("imported", imported)
    return table


def verdict_line(document: Document) -> Text:
    """`✓ valid`, in its colour."""
    status = document["verdict"]["status"]
    symbol, style = VERDICTS[status]
    return Text(f"{symbol} {status}", style=f"bold {style}")


def sweeps_table(
    sweeps: Sequence[SweepRow], now: datetime, runs: Iterable[RunFigures] = (), width: int = 0
) -> RenderableType:
    """The list of sweeps, newest first; if there is room, with the figures of each sweep's best load point and its GPUs."""
    figures = sweep_figures(sweeps, runs)
    table = plain_table()
    table.add_column("sweep", no_wrap=True)
    table.add_column("when", no_wrap=True)
    table.add_column("name")
    table.add_column("runs", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("verdicts", no_wrap=True)
    if width >= _LIST_WITH_FIGURES:
        table.add_column("best output\ntokens/s", justify="right", no_wrap=True)
        table.add_column("TTFT\np50, ms", justify="right", no_wrap=True)
    if width >= _LIST_WITH_GPUS:
        table.add_column("at load")
        table.add_column("GPUs")
    for sweep in sweeps:
        name = Text(sweep.name)
        if sweep.simulated:
            name.append(" SIMULATED", style="yellow")
        if sweep.imported is not None:
            name.append(" IMPORTED" if sweep.imported.tool is None else " FOREIGN", style="dim")
        if has_dummy_weights(sweep.server):
            name.append(f" {DUMMY_WEIGHTS}", style="yellow")
        if sweep.group_id is not None:
            name.append(f" of {sweep.group_id}", style="dim")
        verdicts = Text()
        for status, count in (("valid", sweep.valid), ("doubtful", sweep.doubtful), ("invalid", sweep.invalid)):
            if count:
                symbol, style = VERDICTS[status]
                verdicts.append(f"{symbol}{count} ", style=style)
        table.add_row(
            sweep.sweep_id,
            ago(sweep.created_at, now),
            name,
            f"{sweep.runs}/{sweep.planned_runs}",
            Text(failure_kind(sweep), style="red")
            if sweep.start_failure
            else Text(sweep.status, style=_STATUS_STYLE[sweep.status]),
            verdicts,
            *_figure_texts(figure_cells([figures[sweep.sweep_id]]), width),
        )
    return table


def _figure_texts(cells: FigureCells, width: int) -> list[Text]:
    output = Text(cells.output)
    if cells.doubtful:
        symbol, style = VERDICTS["doubtful"]
        output.append(f" {symbol}", style=style)
    figures = [output, Text(cells.ttft)] if width >= _LIST_WITH_FIGURES else []
    return figures + ([Text(cells.load), Text(cells.gpus)] if width >= _LIST_WITH_GPUS else [])


def run_line(document: Document) -> Text:
    """One finished run in one line, for the progress on stderr."""
    spec = document["spec"]
    symbol, style = VERDICTS[document["verdict"]["status"]]
    text = Text(f"{symbol} ", style=style)
    text.append(f"{spec['load_label']}, {number(spec['input_tokens'])} → {spec['output_tokens']:,}", style="default")
    figures = [f"TTFT {milliseconds(TTFT.read(document))} ms"]
    figures.append(f"{number(document['output_tokens_per_s'])} tokens/s")
    failed = document["outcomes"]["planned"] - document["outcomes"]["ok"]
    if failed:
        figures.append(f"{failed:,} not ok")
    text.append("  " + " · ".join(figures), style="dim")
    return text


def plain_table(**style: Any) -> Table:
    """An empty table in the one look: a rule under the heading, two spaces between columns."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), header_style="bold", **style)


def _load(runs: Sequence[Document], *, spelled: bool) -> Text:
    return Text(runs[0]["spec"]["load_label"] if spelled else number(load_value(runs[0])))


def _points(documents: Sequence[Document]) -> list[list[Document]]:
    """Runs by load point, points in the order of lengths and load."""
    groups: dict[str, list[Document]] = {}
    for document in documents:
        groups.setdefault(document["spec"]["point_hash"], []).append(document)

    def rank(runs: list[Document]) -> tuple[int, int, float]:
        spec = runs[0]["spec"]
        return spec["input_tokens"] or 0, spec["output_tokens"], load_value(runs[0])

    return sorted(groups.values(), key=rank)


def _pooled(column: Column) -> Cell:
    """A cell: the mean over the usable repeats; where all are invalid their mean is struck out."""

    def cell(runs: Sequence[Document]) -> Text:
        pooled = column.pooled(runs)
        text = column.text(None if pooled is None else pooled.mean)
        return Text(text, style="" if usable_runs(runs) or pooled is None else "strike dim")

    return cell


def _high(column: Column, points: Sequence[Sequence[Document]], wide: bool) -> list[tuple[str, Cell]]:
    """The column of the highest percentile that all usable repeats of a point have; none where no point has any.

    Its heading names the percentile. Where the points differ, each cell names its own, or, for want of width, all show the
    one that every point has which has any: with a p95 there is a p90.
    """

    def found(runs: Sequence[Document]) -> str | None:
        return highest(column.figure, usable_runs(runs) or runs)

    given = {percentile for runs in points if (percentile := found(runs)) is not None}
    if not given:
        return []
    shared = None if wide and len(given) > 1 else min(given)

    def cell(runs: Sequence[Document]) -> Text:
        percentile = found(runs)
        if percentile is None:
            return Text(MISSING_FIGURE)
        text = _pooled(replace(column, statistic=shared or percentile))(runs)
        return text if shared else text.append(f" {percentile}", style="dim")

    return [(f"{column.high}\n{shared or 'high'}", cell)]


def _half_spread(column: Column) -> Cell:
    """Half of what `spread_label` names: of the mean's interval, or under three repeats of their range."""

    def cell(runs: Sequence[Document]) -> Text:
        pooled = pool([column.read(run) for run in usable_runs(runs)])
        return Text(column.text(None if pooled is None else pooled.half_spread), style="dim")

    return cell


def _ok(runs: Sequence[Document]) -> Text:
    ok, planned = ok_of_planned(runs)
    return Text(f"{ok:,}" if ok == planned else f"{ok:,}/{planned:,}", style="" if ok == planned else "red")


def _worst_verdict(runs: Sequence[Document], spelled: bool) -> Text:
    status = worst_status(runs)
    symbol, style = VERDICTS[status]
    return Text(f"{symbol} {status}" if spelled and status != "valid" else symbol, style=style)
