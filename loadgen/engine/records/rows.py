"""Rows of records: some of them picked, and several sets put end to end.

Columns are found by their names and kinds: those of arrivals begin with `arrival_`, and a list stands for a column of texts.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.records.ragged import positions, starts
from loadgen.engine.records.record import Records
from loadgen.engine.records.texts import Texts

_EMPTY = Records.from_rows([])
NUMBERS = {
    field.name: getattr(_EMPTY, field.name).dtype
    for field in fields(Records)
    if isinstance(getattr(_EMPTY, field.name), np.ndarray) and field.name != "arrival_start"
}
OF_ARRIVALS = [name for name in NUMBERS if name.startswith("arrival_")]
OF_ROWS = [name for name in NUMBERS if name not in OF_ARRIVALS]
TEXTS = [field.name for field in fields(Records) if isinstance(getattr(_EMPTY, field.name), list)]


def take(records: Records, rows: NDArray[np.int64]) -> Records:
    """The rows at those positions, in that order, with their arrivals."""
    begin = records.arrival_start[rows]
    counts = records.arrival_start[rows + 1] - begin
    theirs = positions(begin, counts)
    columns: dict[str, Any] = {name: getattr(records, name)[rows] for name in OF_ROWS}
    columns |= {name: getattr(records, name)[theirs] for name in OF_ARRIVALS}
    columns |= {name: Texts.of(getattr(records, name)).take(rows) for name in TEXTS}
    return Records(**columns, arrival_start=starts(counts))


def joined(parts: Sequence[Records]) -> Records:
    """All rows of all `parts`, end to end."""
    columns: dict[str, Any] = {
        name: np.concatenate([np.empty(0, dtype), *(getattr(part, name) for part in parts)])
        for name, dtype in NUMBERS.items()
    }
    for name in TEXTS:
        texts = [Texts.of(getattr(part, name)) for part in parts]
        content = np.concatenate([np.empty(0, np.uint8), *(each.content for each in texts)])
        columns[name] = Texts(_one_after_the_other([each.start for each in texts]), content)
    return Records(**columns, arrival_start=_one_after_the_other([part.arrival_start for part in parts]))


def _one_after_the_other(several: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return starts(np.concatenate([np.empty(0, np.int64), *(np.diff(start) for start in several)]))
