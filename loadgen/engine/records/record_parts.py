"""Rows of records: some of them picked, several sets put end to end, and all of them a few at a time.

To go through a run a piece at a time takes the same memory however long it was.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.records.ragged import Texts, positions, starts
from loadgen.engine.records.record import NUMBERS, OF_ARRIVALS, OF_ROWS, TEXTS, Records
from loadgen.load import bulk

_ROWS_AT_ONCE = 16_384
_ARRIVALS_AT_ONCE = 131_072  # 2 MB, and a few times that in what figures are made of


def records_of(
    *,
    rows: Callable[[str], NDArray[Any]],
    arrivals: Callable[[str], NDArray[Any]],
    texts: Callable[[str], Sequence[Any]],
    arrival_start: NDArray[np.int64],
) -> Records:
    """Records from what makes a column of each kind by its name."""
    columns: dict[str, Any] = {name: rows(name) for name in OF_ROWS}
    columns |= {name: arrivals(name) for name in OF_ARRIVALS}
    columns |= {name: texts(name) for name in TEXTS}
    return Records(**columns, arrival_start=arrival_start)


def take(records: Records, rows: NDArray[np.int64]) -> Records:
    """The rows at those positions, in that order, with their arrivals."""
    begin = records.arrival_start[rows]
    counts = records.arrival_start[rows + 1] - begin
    theirs = positions(begin, counts)
    return records_of(
        rows=lambda name: getattr(records, name)[rows],
        arrivals=lambda name: getattr(records, name)[theirs],
        texts=lambda name: Texts.of(getattr(records, name)).take(rows),
        arrival_start=starts(counts),
    )


def joined(parts: Sequence[Records]) -> Records:
    """All rows of all `parts`, end to end."""

    def numbers(name: str) -> NDArray[Any]:
        return np.concatenate([np.empty(0, NUMBERS[name]), *(getattr(part, name) for part in parts)])

    def texts(name: str) -> Texts:
        columns = [Texts.of(getattr(part, name)) for part in parts]
        content = np.concatenate([np.empty(0, np.uint8), *(each.content for each in columns)])
        return Texts(_one_after_the_other([each.start for each in columns]), content)

    arrival_start = _one_after_the_other([part.arrival_start for part in parts])
    return records_of(rows=numbers, arrivals=numbers, texts=texts, arrival_start=arrival_start)


def _one_after_the_other(several: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return starts(np.concatenate([np.empty(0, np.int64), *(np.diff(start) for start in several)]))


def spans(records: Records) -> Iterator[tuple[int, int]]:
    """Yield `(begin, end)` ranges of rows that cover `records`, each of at least one row.

    Pages of a piece are released before the next.
    """
    begin = 0
    while begin < len(records):
        start = records.arrival_start[begin : begin + _ROWS_AT_ONCE + 1]
        fitting = int(np.searchsorted(start, start[0] + _ARRIVALS_AT_ONCE, side="right")) - 1
        end = begin + max(1, fitting)
        yield begin, end
        release_pages(records)
        begin = end


def part(records: Records, begin: int, end: int) -> Records:
    """The rows from `begin` to before `end`, none of them copied."""
    first, last = int(records.arrival_start[begin]), int(records.arrival_start[end])

    def texts(name: str) -> Sequence[Any]:
        column: Sequence[Any] = getattr(records, name)
        return column.part(begin, end) if isinstance(column, Texts) else column[begin:end]

    return records_of(
        rows=lambda name: getattr(records, name)[begin:end],
        arrivals=lambda name: getattr(records, name)[first:last],
        texts=texts,
        arrival_start=records.arrival_start[begin : end + 1] - first,
    )


def pieces(records: Records) -> Iterator[Records]:
    """All rows, in order, as `spans` has them."""
    for begin, end in spans(records):
        yield part(records, begin, end)


def release_pages(records: Records) -> None:
    """Release the resident pages of memory-mapped columns; a no-op for other columns."""
    texts = [column for name in TEXTS if isinstance(column := getattr(records, name), Texts)]
    columns = [records.arrival_start, *(getattr(records, name) for name in NUMBERS)]
    for column in (*columns, *(part for each in texts for part in (each.start, each.content))):
        bulk.release_pages(column)
