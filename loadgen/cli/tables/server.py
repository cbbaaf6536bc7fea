"""What the server says of a run itself, and its GPUs, as tables for a terminal."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from loadgen.cli.tables.sweep import plain_table
from loadgen.report.words.server_facts import account_facts, account_table, gpu_facts


def server_account(document: dict[str, Any]) -> RenderableType | None:
    """The server's figures beside ours, what only it knows, and what its GPUs took; None where nothing was told."""
    parts: list[RenderableType] = []
    figures = account_table(document)
    if figures is not None:
        table = plain_table()
        for header, side in zip(figures.columns, ("left", "right", "right"), strict=True):
            table.add_column(header, justify="left" if side == "left" else "right", no_wrap=True)
        for row in figures.rows:
            table.add_row(*row)
        parts.append(table)
    facts = (*account_facts(document), *gpu_facts(document))
    if facts:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column()
        for key, text in facts:
            grid.add_row(key, text)
        parts.append(grid)
    return Group(*parts) if parts else None
