"""Records in files: written piece by piece by the process that measured, mapped by the one that reads them.

A column is one file of its raw values, or of its texts as `Texts` packs them, which costs neither process a copy. Who goes
through all rows lets go of them from time to time: a mapped page that was looked at counts as memory of the process until then.
What a full disk does not take stays in memory, so that no record is lost: the end of a column, as `unwritten`.
"""

import itertools
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.records.ragged import Texts
from loadgen.engine.records.record import NUMBERS, OF_ARRIVALS, OF_ROWS, TEXTS, Records
from loadgen.engine.records.record_parts import joined, part, records_of, release_pages, take
from loadgen.load.bulk import chunks_of
from loadgen.load.disk import write_all

_ARRIVAL_START = "arrival_start"
_START_OF = {name: f"{name}_start" for name in TEXTS}  # the file with the start of each text of a column
_STARTS = (_ARRIVAL_START, *_START_OF.values())
_ROWS_AT_ONCE = 1_024  # with a thousand arrivals each, some 60 MB; more at once was not faster

Unwritten = Mapping[str, bytes]
"""The end of each column that the disk did not take, by the name of its file."""

ALL_WRITTEN: Unwritten = MappingProxyType({})


class ColumnFile:
    """One column, written piece by piece: in its file as far as the disk takes it, the end of it in `kept`."""

    def __init__(self, path: Path) -> None:
        self.kept = bytearray()
        self._size = 0
        self._file: FileIO | None = None
        try:
            self._file = path.open("wb", buffering=0)
        except OSError:
            return

    def write(self, piece: bytes) -> None:
        if self._file is None:
            self.kept += piece
            return
        try:
            write_all(self._file, piece)
        except OSError:
            if self._file.seek(0, os.SEEK_END) > self._size:
                self._file.truncate(self._size)
            self.close()
            self.kept += piece
            return
        self._size += len(piece)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class ColumnFiles:
    """Writes pieces of one set of records into `folder`. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, ColumnFile] = {}
        self._ends = dict.fromkeys(_STARTS, 0)

    def __enter__(self) -> "ColumnFiles":
        self._files = {name: ColumnFile(self._folder / name) for name in (*NUMBERS, *TEXTS, *_STARTS)}
        for name in _STARTS:
            self._files[name].write(np.zeros(1, np.int64).tobytes())
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    @property
    def unwritten(self) -> Unwritten:
        """What the disk did not take of the columns."""
        return {name: bytes(file.kept) for name, file in self._files.items() if file.kept}

    def append(self, piece: Records) -> None:
        """Write the rows of `piece` after those before."""
        for name in NUMBERS:
            self._files[name].write(getattr(piece, name).tobytes())
        self._append_starts(_ARRIVAL_START, piece.arrival_start)
        for name in TEXTS:
            texts = Texts.of(getattr(piece, name))
            self._files[name].write(texts.content.tobytes())
            self._append_starts(_START_OF[name], texts.start)

    def _append_starts(self, name: str, start: NDArray[np.int64]) -> None:
        self._files[name].write((start[1:] + self._ends[name]).tobytes())
        self._ends[name] += int(start[-1])


def read_columns(folder: Path, unwritten: Unwritten = ALL_WRITTEN) -> Records:
    """The records in `folder`, mapped and read-only: the files may be removed, not changed, while they are used.

    `unwritten` is what the disk did not take of them. Raises OSError.
    """

    def column(name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        if name not in unwritten:
            return _mapped(folder / name, dtype)
        kept = np.frombuffer(unwritten[name], dtype)
        return np.concatenate([_mapped(folder / name, dtype), kept])

    def numbers(name: str) -> NDArray[Any]:
        return column(name, NUMBERS[name])

    def starts(name: str) -> NDArray[np.int64]:
        return column(name, np.dtype(np.int64))

    return records_of(
        rows=numbers,
        arrivals=numbers,
        texts=lambda name: Texts(starts(_START_OF[name]), column(name, np.dtype(np.uint8))),
        arrival_start=starts(_ARRIVAL_START),
    )


def whole_rows(folder: Path) -> Records:
    """The rows that are complete in `folder`, whose process was killed; its last piece may lack some columns."""
    records = read_columns(folder)
    texts: list[Texts] = [getattr(records, name) for name in TEXTS]
    arrivals = min(len(getattr(records, name)) for name in OF_ARRIVALS)
    content = [(records.arrival_start, arrivals), *((text.start, len(text.content)) for text in texts)]
    rows = min(
        *(len(getattr(records, name)) for name in OF_ROWS),
        *(int(np.searchsorted(start, entries, side="right")) - 1 for start, entries in content),
    )
    return part(records, 0, rows) if rows > 0 else Records.from_rows([])


def in_schedule_order(parts: Sequence[Records], folder: Path) -> Records:
    """All rows of all `parts` as one, in the order of the schedule, in files in `folder` as far as the disk takes them."""
    bounds = np.cumsum([0, *(len(part) for part in parts)])
    with ColumnFiles(folder) as files:
        for wanted in _next_rows(parts):
            shares = np.split(wanted, np.searchsorted(wanted, bounds[1:-1]))
            zipped = zip(parts, shares, bounds[:-1], strict=True)
            piece = joined([take(part, share - before) for part, share, before in zipped])
            files.append(take(piece, np.argsort(piece.index, kind="stable")))
            for part in parts:
                release_pages(part)
    return read_columns(folder, files.unwritten)


def _next_rows(parts: Sequence[Records]) -> Iterator[NDArray[np.int64]]:
    """Where in all parts the next rows of the schedule lie, a few at a time; as they lie, so that each file is read forwards."""
    row_of = np.zeros(1 + max((int(index.max()) for index in _indexes(parts)), default=-1), np.int32)
    rows = 0
    for index in _indexes(parts):
        row_of[index] = np.arange(rows + 1, rows + 1 + len(index), dtype=np.int32)  # 0 stands for none
        rows += len(index)
    for begin in range(0, len(row_of), _ROWS_AT_ONCE):
        found = row_of[begin : begin + _ROWS_AT_ONCE]
        yield np.sort(found[found > 0]).astype(np.int64) - 1


def _indexes(parts: Sequence[Records]) -> Iterator[NDArray[np.int32]]:
    return itertools.chain.from_iterable(chunks_of(part.index) for part in parts)


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    if not path.exists() or path.stat().st_size == 0:
        return np.empty(0, dtype)  # nothing cannot be mapped, and a column of nothing may have no file on a full disk
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # Not np.memmap, whose slices cost ten times as much.
    return np.ndarray(len(mapped) // dtype.itemsize, dtype, mapped)
