"""Some requests of a run, to be drawn one by one: all of a short run; of a long one whole callers, or the failed, the slowest and an
even pick of the rest.

Goes through the run piece by piece.
"""

from collections.abc import Iterator

import numpy as np
from typing_extensions import TypedDict

from loadgen.analysis.figures.provider_time import reported_span_s
from loadgen.analysis.measured import Measured
from loadgen.engine.records.record import MISSING, Int64, Outcome

REQUESTS = 1_000
SLOWEST = 10


class RequestsOutline(TypedDict):
    """Some requests of a run: columns of equal length, in order of start. A time that never came is null."""

    sent: int  # over the whole run, as the next
    never_sent: int
    index: list[int]
    slot: list[int]
    outcome: list[str]
    due_ns: list[int | None]
    start_ns: list[int | None]
    sent_ns: list[int | None]
    first_content_ns: list[int | None]
    last_content_ns: list[int | None]
    end_ns: list[int | None]
    limit_wait_ns: list[int]
    server_queue_s: list[float | None]  # by the server's own account, as the next
    server_prefill_s: list[float | None]


def requests_outline(measured: Measured) -> RequestsOutline:
    sent, rows = _chosen(measured)
    requests = [measured.records[row] for row in rows]
    arrivals_ns = [request.arrival_ns for request in requests]
    return {
        "sent": sent,
        "never_sent": len(measured.records) - sent,
        "index": [request.index for request in requests],
        "slot": [request.slot for request in requests],
        "outcome": [request.outcome.label for request in requests],
        "due_ns": [request.due_ns for request in requests],
        "start_ns": [request.start_ns for request in requests],
        "sent_ns": [request.sent_ns for request in requests],
        "first_content_ns": [int(stamps[0]) if len(stamps) else None for stamps in arrivals_ns],
        "last_content_ns": [int(stamps[-1]) if len(stamps) else None for stamps in arrivals_ns],
        "end_ns": [request.end_ns for request in requests],
        "limit_wait_ns": [request.limit_wait_ns for request in requests],
        "server_queue_s": [reported_span_s(request.server_timing, "queue_time") for request in requests],
        "server_prefill_s": [reported_span_s(request.server_timing, "prompt_time") for request in requests],
    }


def _chosen(measured: Measured) -> tuple[int, list[int]]:
    """How many requests were sent, and the rows to draw in order of start."""
    if measured.spec.shape.has_steady_state:
        sent, rows = _whole_callers(measured)
    else:
        sent, rows = _remarkable(measured)
    start_ns = measured.records.start_ns[rows]
    return sent, [int(row) for row in rows[np.argsort(start_ns, kind="stable")][:REQUESTS]]


def _sent_rows(measured: Measured) -> Iterator[tuple[Measured, Int64, int]]:
    """(a piece, the places in it of requests that were sent, the row at which it begins)."""
    begin = 0
    for piece in measured.pieces():
        yield piece, np.flatnonzero(piece.records.start_ns != MISSING), begin
        begin += len(piece.records)


def _whole_callers(measured: Measured) -> tuple[int, Int64]:
    counts: dict[int, int] = {}
    for piece, places, _ in _sent_rows(measured):
        for slot, count in zip(*np.unique(piece.records.slot[places], return_counts=True), strict=True):
            counts[int(slot)] = counts.get(int(slot), 0) + int(count)
    sent = sum(counts.values())
    slots = np.array(sorted(counts), np.int64)
    if sent > REQUESTS:
        room = max(1, int(REQUESTS * len(slots) / sent))
        slots = slots[np.unique(np.linspace(0, len(slots) - 1, room).round().astype(np.int64))]
    kept, room_left = [np.empty(0, np.int64)], REQUESTS
    for piece, places, begin in _sent_rows(measured):
        rows = begin + places[np.isin(piece.records.slot[places], slots)][:room_left]
        room_left -= len(rows)
        kept.append(rows)
    return sent, np.concatenate(kept)


def _remarkable(measured: Measured) -> tuple[int, Int64]:
    sent = 0
    failed, slowest, slowest_ns = [np.empty(0, np.int64)], np.empty(0, np.int64), np.empty(0, np.int64)
    for piece, places, begin in _sent_rows(measured):
        records = piece.records
        sent += len(places)
        room = REQUESTS // 2 - sum(map(len, failed))
        failed.append(begin + places[records.outcome[places] != Outcome.OK][:room])
        ended_ns = np.where(records.end_ns[places] == MISSING, records.start_ns[places], records.end_ns[places])
        lasted_ns = np.concatenate([slowest_ns, ended_ns - records.start_ns[places]])
        rows = np.concatenate([slowest, begin + places])
        longest = np.argsort(lasted_ns, kind="stable")[-SLOWEST:]
        slowest, slowest_ns = rows[longest], lasted_ns[longest]
    special = np.union1d(np.concatenate(failed), slowest)
    room = REQUESTS - len(special)
    ranks = np.arange(sent) if sent <= REQUESTS else np.linspace(0, sent - 1, room).round().astype(np.int64)
    even, seen = [np.empty(0, np.int64)], 0
    for _, places, begin in _sent_rows(measured):
        within = ranks[(ranks >= seen) & (ranks < seen + len(places))] - seen
        even.append(begin + places[within])
        seen += len(places)
    return sent, np.union1d(special, np.concatenate(even))
