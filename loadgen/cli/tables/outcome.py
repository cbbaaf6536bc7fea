"""What a sweep or a run came to, as it is shown at its end and by `show`."""

from collections.abc import Sequence

from rich.console import Console

from loadgen.analysis.document.run import RunDocument
from loadgen.cli.tables.run import by_turn, replies, run_facts, run_table, server_account, verdict_line
from loadgen.cli.tables.sweep import failure_line, findings, sweep_table, sweep_title
from loadgen.report.words.run_facts import import_line
from loadgen.report.words.search_result import search_sentences
from loadgen.store.rows import SweepRow


def show_sweep(console: Console, sweep: SweepRow, documents: Sequence[RunDocument]) -> None:
    """Title, where it came from if it was imported, what a search found, table, findings."""
    console.print(sweep_title(sweep, documents))
    if imported := import_line(documents[0].get("imported")):
        console.print(f"imported {imported}", style="dim")
    if sweep.search is not None:
        console.print(search_sentences(sweep.search), style="bold")
    console.print(sweep_table(documents, console.width))
    _print_findings(console, documents)


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


def show_run(console: Console, document: RunDocument) -> None:
    """Title and verdict, facts, every figure, the server's own account of it, findings."""
    title = sweep_title(None, [document])
    title.append(" · ")
    console.print(title.append_text(verdict_line(document)))
    console.print()
    console.print(run_facts(document))
    console.print(run_table(document))
    if (turns := by_turn(document)) is not None:
        console.print(turns)
    if (kept := replies(document)) is not None:
        console.print(kept)
        console.print()
    if (account := server_account(document)) is not None:
        console.print(account)
    console.print()
    _print_findings(console, [document])


def _print_findings(console: Console, documents: Sequence[RunDocument]) -> None:
    found = findings(documents)
    if found is not None:
        console.print(found)
        console.print()
