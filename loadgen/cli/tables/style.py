"""The look that the tables share: symbols and colours of verdicts, a table with a heading, a list of facts."""

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.table import Column, Table
from rich.text import Text

VERDICTS = {"valid": ("✓", "green"), "doubtful": ("?", "yellow"), "invalid": ("✗", "red")}


def words(*headers: str) -> list[Column]:
    """Return columns of words that are not broken."""
    return [Column(header, no_wrap=True) for header in headers]


def numbers(*headers: str) -> list[Column]:
    return [Column(header, justify="right", no_wrap=True) for header in headers]


def plain_table(*columns: Column | str, padding: tuple[int, int, int, int] = (0, 0, 0, 1), **style: Any) -> Table:
    """Return an empty table with a rule under its heading; `padding` of a cell: top, right, bottom, left."""
    return Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, padding=padding, header_style="bold", **style)


def facts_table(facts: Iterable[tuple[str, str | Text]]) -> Table:
    """Return one fact per row: what it is, dimmed, and what it says."""
    table = Table.grid(Column(style="dim", no_wrap=True), "", padding=(0, 2))
    for name, text in facts:
        table.add_row(name, text)
    return table
