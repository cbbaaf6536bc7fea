"""`Records` as rows of the `request` table, and back, exactly.

MISSING moments, unknown counts, a slot never given and a status never read are NULL.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.records.ragged import Texts, starts
from loadgen.engine.records.record import MISSING, CountedBy, Outcome, Records
from loadgen.engine.records.record_parts import release_pages
from loadgen.store import blobs, plain

# Column by column: type, and the value which stands for NULL (None: there is none, the column is never NULL).
_NUMBERS: dict[str, tuple[type[np.signedinteger[Any]], int | None]] = {
    "index": (np.int32, None),
    "slot": (np.int32, -1),
    "http_status": (np.int16, 0),
    "due_ns": (np.int64, MISSING),
    "start_ns": (np.int64, MISSING),
    "sent_ns": (np.int64, MISSING),
    "first_byte_ns": (np.int64, MISSING),
    "end_ns": (np.int64, MISSING),
    "connect_ns": (np.int64, MISSING),
    "limit_wait_ns": (np.int64, 0),
    "prompt_tokens_asked": (np.int32, -1),
    "output_tokens_asked": (np.int32, None),
    "prompt_tokens": (np.int32, -1),
    "output_tokens": (np.int32, -1),
    "hidden_tokens": (np.int32, 0),
}
COLUMNS = (*_NUMBERS, "outcome", "counted_by", "finish_reason", "detail", "server_timing", "arrivals")

ROWS_AT_ONCE = 5_000  # bounds the memory of a large run; larger batches were not faster

_OUTCOMES = {int(outcome): outcome.label for outcome in Outcome}
_OUTCOME_OF = {label: number for number, label in _OUTCOMES.items()}
_COUNTED_BY = {int(source): source.label for source in CountedBy}
_COUNTED_BY_OF = {label: number for number, label in _COUNTED_BY.items()}


def to_rows(records: Records, run_number: int) -> Iterator[dict[str, object]]:
    """One mapping of column to value per request, in the order of `records`, made as they are asked for."""
    for begin in range(0, len(records), ROWS_AT_ONCE):  # the whole as Python objects would be several times its size
        yield from _rows_within(records, run_number, begin, min(begin + ROWS_AT_ONCE, len(records)))
        release_pages(records)


def _rows_within(records: Records, run_number: int, first: int, last: int) -> Iterator[dict[str, object]]:
    rows = slice(first, last)
    columns: dict[str, list[Any]] = {}
    for name, (_, null) in _NUMBERS.items():
        values: list[int] = getattr(records, name)[rows].tolist()
        columns[name] = values if null is None else [None if value == null else value for value in values]
    columns["outcome"] = [_OUTCOMES[number] for number in records.outcome[rows].tolist()]
    columns["counted_by"] = [_COUNTED_BY[number] for number in records.counted_by[rows].tolist()]
    columns["finish_reason"] = [None if value is None else plain.text(value) for value in records.finish_reason[rows]]
    columns["detail"] = [None if value is None else plain.text(value) for value in records.detail[rows]]
    columns["server_timing"] = [plain.storable(value)[0] for value in records.server_timing[rows]]
    names = tuple(columns)
    spans = pairwise(records.arrival_start[first : last + 1].tolist())
    for row_number, (row, (begin, end)) in enumerate(
        zip(zip(*columns.values(), strict=True), spans, strict=True), start=first
    ):
        blob = blobs.encode_arrivals(
            records.arrival_ns[begin:end],
            records.arrival_tokens[begin:end],
            records.arrival_coalesced[begin:end],
            records.arrival_choice[begin:end],
        )
        yield {
            "run_number": run_number,
            "row_number": row_number,
            "arrivals": blob,
            **dict(zip(names, row, strict=True)),
        }


def from_rows(rows: Sequence[Sequence[Any]]) -> Records:
    """The inverse of `to_rows`: `rows` hold the values of `COLUMNS`, in that order, sorted by `row_number`."""
    columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(COLUMNS, ())
    numbers: dict[str, NDArray[Any]] = {
        name: np.array([null if value is None else value for value in columns[name]], dtype)
        for name, (dtype, null) in _NUMBERS.items()
    }
    parts = [blobs.decode_arrivals(blob) for blob in columns["arrivals"]]
    return Records(
        **numbers,
        outcome=np.array([_OUTCOME_OF[label] for label in columns["outcome"]], np.int8),
        counted_by=np.array([_COUNTED_BY_OF[label] for label in columns["counted_by"]], np.int8),
        finish_reason=Texts.of(columns["finish_reason"]),
        detail=Texts.of(columns["detail"]),
        server_timing=Texts.of(columns["server_timing"]),
        arrival_start=starts([len(stamps) for stamps, *_ in parts]),
        arrival_ns=np.concatenate([np.empty(0, np.int64), *(stamps for stamps, *_ in parts)]),
        arrival_tokens=np.concatenate([np.empty(0, np.int32), *(tokens for _, tokens, *_ in parts)]),
        arrival_coalesced=np.concatenate([np.empty(0, np.bool_), *(coalesced for _, _, coalesced, _ in parts)]),
        arrival_choice=np.concatenate([np.empty(0, np.int16), *(choices for *_, choices in parts)]),
    )
