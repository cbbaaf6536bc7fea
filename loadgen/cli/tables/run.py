"""One run, for a terminal: its facts, every figure, turns, kept replies, and the server's own account of it."""

from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.experts import EXPERT_FIGURES
from loadgen.analysis.figures.metrics import METRICS
from loadgen.analysis.utilisation import UTILISATION_FIGURES
from loadgen.cli.tables.style import VERDICTS, facts_table, numbers, plain_table, words
from loadgen.cli.tables.sweep import print_findings, sweep_title
from loadgen.report.figures import TTFT, metric_label
from loadgen.report.format import cell, figure, milliseconds, number, shown_unit
from loadgen.report.words.remote import is_unverified
from loadgen.report.words.run_facts import reply_texts, turn_table
from loadgen.report.words.run_summary import run_summary
from loadgen.report.words.server import account_facts, account_table, gpu_facts
from loadgen.store import plain


def show_run(console: Console, document: RunDocument) -> None:
    """Title and verdict, facts, every figure, the server's own account of it, findings."""
    title = sweep_title(None, [document])
    status = document["verdict"]["status"]
    symbol, style = VERDICTS[status]
    console.print(title.append(" · ").append(f"{symbol} {status}", style=f"bold {style}"))
    console.print()
    console.print(run_facts(document))
    console.print(run_table(document))
    if (turns := _by_turn(document)) is not None:
        console.print(turns)
    if (kept := _replies(document)) is not None:
        console.print(kept)
        console.print()
    if (account := _server_account(document)) is not None:
        console.print(account)
    console.print()
    print_findings(console, [document])


def run_line(document: RunDocument) -> Text:
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


def run_facts(document: RunDocument) -> RenderableType:
    """What a run was, in a few lines: load, lengths, outcomes, and what the client says of itself."""
    way_style = "red" if is_unverified(document) else ""
    return facts_table(
        (name, Text(text, style=way_style if name == "way" else "")) for name, text in run_summary(document)
    )


def run_table(document: RunDocument) -> RenderableType:
    distributions = plain_table("ms", *numbers("n", "mean", "p50", "p90", "p95", "p99", "max"))
    scalars = Table.grid("", Column(justify="right"), Column(style="dim"), padding=(0, 2))
    for metric in (*METRICS, *UTILISATION_FIGURES, *EXPERT_FIGURES):
        if metric.is_distribution:
            figures = metric.of(document) or {}
            if metric.better is None and not figures.get("n"):
                continue  # it describes what this run had none of
            cells = (figure(figures.get(name), metric.unit) for name in ("mean", "p50", "p90", "p95", "p99", "max"))
            unit = "" if metric.unit == "s" else f", {metric.unit}"
            distributions.add_row(metric.label + unit, number(figures.get("n")), *cells)
        elif (value := metric.read(document)) is not None:
            scalars.add_row(metric_label(metric, document), cell(value, metric.unit), shown_unit(metric.unit))
    return Group(distributions, scalars)


def _by_turn(document: RunDocument) -> RenderableType | None:
    """Figures by turn of the conversations; None where each request stands by itself."""
    figures = turn_table(document)
    if figures is None:
        return None
    table = plain_table(*(Column(header, justify="right") for header in figures.columns))
    for row in figures.rows:
        table.add_row(*row)
    return table


def _replies(document: RunDocument) -> RenderableType | None:
    """The replies kept with their text; None if none was."""
    kept = reply_texts(document)
    return facts_table((label, Text(plain.printable(text))) for label, text in kept) if kept else None


def _server_account(document: RunDocument) -> RenderableType | None:
    """The server's figures beside ours, what only it knows, and what its GPUs took; None if it reported nothing."""
    parts: list[RenderableType] = []
    figures = account_table(document)
    if figures is not None:
        what, *whose = figures.columns
        table = plain_table(*words(what), *numbers(*whose))
        for row in figures.rows:
            table.add_row(*row)
        parts.append(table)
    facts = (*account_facts(document), *gpu_facts(document))
    if facts:
        parts.append(facts_table(facts))
    return Group(*parts) if parts else None
