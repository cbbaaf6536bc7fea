"""Records a few rows at a time: to go through a run takes the same memory however long it was."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from loadgen.engine.records.record import Records
from loadgen.engine.records.rows import NUMBERS, OF_ARRIVALS, OF_ROWS, TEXTS
from loadgen.engine.records.texts import Texts
from loadgen.load import bulk

_ROWS_AT_ONCE = 16_384
_ARRIVALS_AT_ONCE = 131_072  # 2 MB, and a few times that in what figures are made of


def spans(records: Records) -> Iterator[tuple[int, int]]:
    """(its first row, the row after its last) of one piece after the other, each of at least one row.

    What was looked at of a piece is let go of before the next.
    """
    begin = 0
    while begin < len(records):
        start = records.arrival_start[begin : begin + _ROWS_AT_ONCE + 1]
        fitting = int(np.searchsorted(start, start[0] + _ARRIVALS_AT_ONCE, side="right")) - 1
        end = begin + max(1, fitting)
        yield begin, end
        let_go(records)
        begin = end


def part(records: Records, begin: int, end: int) -> Records:
    """The rows from `begin` to before `end`, none of them copied."""
    first, last = int(records.arrival_start[begin]), int(records.arrival_start[end])
    columns: dict[str, Any] = {name: getattr(records, name)[begin:end] for name in OF_ROWS}
    columns |= {name: getattr(records, name)[first:last] for name in OF_ARRIVALS}
    for name in TEXTS:
        column = getattr(records, name)
        columns[name] = column.part(begin, end) if isinstance(column, Texts) else column[begin:end]
    return Records(**columns, arrival_start=records.arrival_start[begin : end + 1] - first)


def pieces(records: Records) -> Iterator[Records]:
    """All rows, in order, as `spans` has them."""
    for begin, end in spans(records):
        yield part(records, begin, end)


def let_go(records: Records) -> None:
    """Give back the pages of mapped columns. They come again from their files when they are looked at; other columns stay."""
    texts = [column for name in TEXTS if isinstance(column := getattr(records, name), Texts)]
    columns = [records.arrival_start, *(getattr(records, name) for name in NUMBERS)]
    for column in (*columns, *(part for each in texts for part in (each.start, each.content))):
        bulk.let_go(column)
