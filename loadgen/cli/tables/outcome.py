"""What a sweep or a run came to, as it is shown at its end and by `show`."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from loadgen.cli.tables import sweep as tables
from loadgen.cli.tables.server import server_account
from loadgen.report.words.facts import import_line
from loadgen.report.words.search_result import search_sentences
from loadgen.store.rows import SweepRow


def show_sweep(console: Console, sweep: SweepRow, documents: Sequence[dict[str, Any]]) -> None:
    """Title, where it came from if it was imported, what a search found, table, findings."""
    console.print(tables.sweep_title(sweep, documents))
    if imported := import_line(documents[0].get("imported")):
        console.print(f"imported {imported}", style="dim")
    if sweep.search is not None:
        console.print(search_sentences(sweep.search), style="bold")
    console.print(tables.sweep_table(documents, console.width))
    _print_findings(console, documents)


def show_group(console: Console, sweeps: Sequence[tuple[SweepRow, Sequence[dict[str, Any]]]]) -> None:
    """Each sweep under the name of its variant; of a server that did not start, why."""
    for sweep, documents in sweeps:
        console.rule(sweep.name, align="left", style="dim")
        if documents:
            show_sweep(console, sweep, documents)
        else:
            console.print(
                tables.failure_line(sweep) or f"{sweep.status}, without a run of {sweep.planned_runs}", soft_wrap=True
            )
            console.print()


def show_run(console: Console, document: dict[str, Any]) -> None:
    """Title and verdict, facts, every figure, the server's own account of it, findings."""
    title = tables.sweep_title(None, [document])
    title.append(" · ")
    console.print(title.append_text(tables.verdict_line(document)))
    console.print()
    console.print(tables.run_facts(document))
    console.print(tables.run_table(document))
    if (turns := tables.by_turn(document)) is not None:
        console.print(turns)
    if (kept := tables.replies(document)) is not None:
        console.print(kept)
        console.print()
    if (account := server_account(document)) is not None:
        console.print(account)
    console.print()
    _print_findings(console, [document])


def _print_findings(console: Console, documents: Sequence[dict[str, Any]]) -> None:
    found = tables.findings(documents)
    if found is not None:
        console.print(found)
        console.print()
