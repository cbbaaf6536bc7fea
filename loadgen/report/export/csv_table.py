"""Rows as CSV with a heading, safe to open in a spreadsheet. Pure."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def columns_of(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """All keys, in the order in which they first come."""
    return list(dict.fromkeys(key for row in rows for key in row))


def csv_text(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """The rows as CSV; null is empty, a list its items with spaces between. Texts get a quote before what begins a formula."""
    written = io.StringIO(newline="")
    table = csv.writer(written, lineterminator="\n")
    table.writerow([plain(name) for name in columns])
    for row in rows:
        table.writerow([plain(row.get(name)) for name in columns])
    return written.getvalue()


def plain(value: object) -> object:
    """The value as a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, list):
        joined = " ".join(map(str, value))
        return f"'{joined}" if value and isinstance(value[0], str) and joined.startswith(_BEGINS_A_FORMULA) else joined
    return f"'{value}" if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA) else value
