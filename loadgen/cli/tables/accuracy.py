"""Results of evaluations for a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from loadgen.analysis.document.server import ServerDocument
from loadgen.cli.tables.style import plain_table
from loadgen.report.words.accuracy import accuracy_note, accuracy_table
from loadgen.report.words.server import server_name
from loadgen.store.rows import AccuracyRow, Evaluation


def show_evaluation(console: Console, evaluation: Evaluation) -> None:
    first = evaluation.rows[0]
    server: ServerDocument = evaluation.server
    text = Text()
    if first.provenance == "simulated":
        text.append(" SIMULATED ", style="reverse bold yellow")
        text.append(" ")
    text.append(first.model, style="bold")
    text.append(f" · {server_name(server)}")
    if server.get("profile"):
        text.append(f" · {server['profile']}")
    if first.provenance not in ("measured", "simulated"):
        text.append(f" · {first.provenance}", style="bold yellow")
    text.append(f" · {first.evaluation_id}", style="dim")
    console.print(text)
    show_accuracy(console, evaluation.rows, first.sweep_id)


def show_accuracy(console: Console, rows: Sequence[AccuracyRow], sweep_id: str | None) -> None:
    """A table of results with its note; nothing without results."""
    table = accuracy_table(rows)
    if table is None:
        return
    shown = plain_table(
        *table.columns, caption=accuracy_note(rows, sweep_id) or None, caption_justify="left", caption_style="dim"
    )
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)
