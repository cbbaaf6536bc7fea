"""Records in files: written piece by piece by the process that measured, mapped by the one that reads them.

A column of numbers is one file of its raw values, which costs neither process a copy; the columns of texts, of which most
rows share a few, are pickled by the piece. Columns are found by their names: those of arrivals begin with `arrival_`.
"""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.record import Records

_EMPTY = Records.from_rows([])
_NUMBERS = {
    field.name: getattr(_EMPTY, field.name).dtype
    for field in fields(Records)
    if isinstance(getattr(_EMPTY, field.name), np.ndarray) and field.name != "arrival_start"
}
_OF_ARRIVALS = [name for name in _NUMBERS if name.startswith("arrival_")]
_OF_ROWS = [name for name in _NUMBERS if name not in _OF_ARRIVALS]
_TEXTS = [field.name for field in fields(Records) if isinstance(getattr(_EMPTY, field.name), list)]
_COUNTS, _TEXT_FILE = "arrivals_per_row", "texts"
_ROWS_AT_ONCE = 65_536


class ColumnFiles:
    """Writes pieces of one set of records into `folder`, which must exist. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> "ColumnFiles":
        for name in (*_NUMBERS, _COUNTS, _TEXT_FILE):
            self._files[name] = self._stack.enter_context((self._folder / name).open("wb"))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def append(self, piece: Records) -> None:
        """Write the rows of `piece` after those before. Raises OSError."""
        for name in _NUMBERS:
            self._files[name].write(getattr(piece, name).tobytes())
        self._files[_COUNTS].write(np.diff(piece.arrival_start).astype(np.int32).tobytes())
        pickle.dump([getattr(piece, name) for name in _TEXTS], self._files[_TEXT_FILE])


def read_columns(folder: Path) -> Records:
    """The records in `folder`, their numbers mapped and read-only: the files may be removed, not changed, while they are used."""
    counts = _mapped(folder / _COUNTS, np.dtype(np.int32))
    texts: list[list[Any]] = [[] for _ in _TEXTS]
    with (folder / _TEXT_FILE).open("rb") as file:
        for piece in _pickled(file):
            for column, part in zip(texts, piece, strict=True):
                column.extend(part)
    columns: dict[str, Any] = {name: _mapped(folder / name, dtype) for name, dtype in _NUMBERS.items()}
    columns |= zip(_TEXTS, texts, strict=True)
    return Records(**columns, arrival_start=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]))


def in_schedule_order(parts: Sequence[Records]) -> Records:
    """All rows of all `parts` as one, in the order of the schedule."""
    lengths = [len(part) for part in parts]
    order = np.argsort(np.concatenate([part.index for part in parts]), kind="stable")
    part_of = np.repeat(np.arange(len(parts)), lengths)[order]
    row_in_part = np.concatenate([np.arange(length) for length in lengths])[order]
    counts = np.concatenate([np.diff(part.arrival_start) for part in parts])[order]
    start = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])[order] for name in _OF_ROWS
    }
    for name in _TEXTS:
        values = [getattr(part, name) for part in parts]
        columns[name] = [values[part][row] for part, row in zip(part_of.tolist(), row_in_part.tolist(), strict=True)]
    for name in _OF_ARRIVALS:
        columns[name] = np.empty(int(start[-1]), _NUMBERS[name])
    for begin in range(0, len(order), _ROWS_AT_ONCE):  # so that the positions never take much memory
        for number, part in enumerate(parts):
            rows = begin + np.flatnonzero(part_of[begin : begin + _ROWS_AT_ONCE] == number)
            theirs = _positions(part.arrival_start[row_in_part[rows]], counts[rows])
            ours = _positions(start[rows], counts[rows])
            for name in _OF_ARRIVALS:
                columns[name][ours] = getattr(part, name)[theirs]
    return Records(**columns, arrival_start=start)


def _positions(start: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """`start[i]`, `start[i] + 1`, … `counts[i]` of them, for each i, end to end."""
    before = np.cumsum(counts) - counts
    positions: NDArray[np.int64] = np.repeat(start - before, counts) + np.arange(int(counts.sum()))
    return positions


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)  # nothing cannot be mapped


def _pickled(file: BinaryIO) -> Iterator[list[list[Any]]]:
    while True:
        try:
            yield pickle.load(file)
        except EOFError:
            return
