"""What is known of each request after a run: facts in columns, no ratios.

Stamps are integer nanoseconds on the monotonic clock, relative to the run's origin (t = 0). `MISSING` stands for a timestamp
that is not known; no figure is ever made from it. Token counts of -1 are unknown.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

MISSING = int(np.iinfo(np.int64).min)
UNKNOWN_TOKENS = -1

Priority = Literal["realtime", "raised", "normal"]
StampSource = Literal["kernel", "read"]
ReadsBy = Literal["io_uring", "epoll", "asyncio"]
Int8 = NDArray[np.int8]
Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


class Outcome(IntEnum):
    """Everything planned ends in exactly one of these; they sum to the number planned."""

    OK = 0
    HTTP_ERROR = 1  # a status other than 200
    CONNECT_ERROR = 2  # no connection, or it was lost before the first byte of the answer
    TIMEOUT = 3  # request_timeout_s passed
    TRUNCATED = 4  # the stream ended without a finish_reason, or was lost before its end
    STREAM_ERROR = 5  # an error event inside a 200
    BAD_RESPONSE = 6  # not HTTP, not SSE, not the JSON that was promised, or without any token
    CANCELLED = 7  # the user stopped it in flight
    DROPPED = 8  # planned and never sent: no place among those in flight, or the run was stopped before

    @property
    def label(self) -> str:
        """The name in JSON, tables and pages."""
        return self.name.lower()


class CountedBy(IntEnum):
    """Where the token count of each chunk comes from, best source first."""

    TOKEN_IDS = 0  # the chunk listed its token ids
    USAGE = 1  # the server's usage agrees with what each chunk was taken to carry
    TOKENIZER = 2  # the client's own tokenizer
    ASSUMED = 3  # one token a chunk, when there is no better source

    @property
    def label(self) -> str:
        """The name in JSON, tables and pages."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One row of `Records`. Units as there; None for what is not known."""

    index: int
    slot: int = -1
    outcome: Outcome
    http_status: int | None = None
    detail: str | None = None
    finish_reason: str | None = None
    due_ns: int | None = None
    start_ns: int | None = None
    sent_ns: int | None = None
    first_byte_ns: int | None = None
    end_ns: int | None = None
    connect_ns: int | None = None
    limit_wait_ns: int = 0
    prompt_tokens_asked: int | None
    output_tokens_asked: int
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    hidden_tokens: int = 0  # -1: unknown
    counted_by: CountedBy = CountedBy.ASSUMED
    server_timing: dict[str, Any] | None = None
    arrival_ns: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
    arrival_tokens: Int32 = field(default_factory=lambda: np.empty(0, np.int32))
    arrival_choice: Int16 = field(default_factory=lambda: np.empty(0, np.int16))
    arrival_coalesced: Bool = field(default_factory=lambda: np.empty(0, np.bool_))


@dataclass(slots=True)
class Records:
    """The requests of a run in columns of n rows, in the order of the schedule, and their arrivals end to end.

    Arrivals are the chunks that carried generated content. Those of row i are `arrival_ns[s[i]:s[i + 1]]`, with
    s = `arrival_start` of n + 1 entries; `arrival_tokens`, `arrival_choice` and `arrival_coalesced` run alongside. A request
    may ask for several answers side by side, its choices: `arrival_choice` says to which one a chunk belongs, 0 where there
    is but one. An arrival is coalesced when it shares its stamp with the one before it in the same choice: the kernel had
    joined them, or one read fetched both.
    """

    index: Int32  # position in the schedule
    slot: Int32  # the closed loop's caller, the connection that carried it; -1 when it was never sent
    outcome: Int8  # an `Outcome`
    http_status: Int16  # 0: no status line was read
    due_ns: Int64  # when it should have gone out: intended arrival (open loop), 0 (wave), slot free (closed loop)
    start_ns: Int64  # what its latencies count from: due_ns in the open loop, sent_ns otherwise
    sent_ns: Int64  # just before the first byte was handed to the kernel
    first_byte_ns: Int64  # first byte of the answer, headers included
    end_ns: Int64  # last byte of the answer, or when it was given up
    # Duration of opening its connection, TLS included, on the first request over it; MISSING on the others.
    connect_ns: Int64
    limit_wait_ns: Int64  # how long a limit or a Retry-After held it back before it could be sent; 0: not at all
    prompt_tokens_asked: Int32  # -1: only the server knows
    output_tokens_asked: Int32
    prompt_tokens: Int32  # as the server counted; -1 unknown
    output_tokens: Int32  # as counted by `counted_by`; -1 unknown
    hidden_tokens: Int32  # of output_tokens, those that did not arrive; -1: unknown
    counted_by: Int8  # a `CountedBy`
    finish_reason: Sequence[str | None]
    detail: Sequence[str | None]  # of a failure: one sentence
    server_timing: Sequence[dict[str, Any] | None]  # what the server reports about its own times, verbatim
    arrival_start: Int64
    arrival_ns: Int64
    arrival_tokens: Int32
    arrival_choice: Int16
    arrival_coalesced: Bool

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, row: int) -> RequestRecord:
        begin, end = int(self.arrival_start[row]), int(self.arrival_start[row + 1])
        values: dict[str, Any] = {name: int(getattr(self, name)[row]) for name in OF_ROWS}
        values |= {name: None for name, unknown in _UNKNOWN.items() if values[name] == unknown}
        values |= {"outcome": Outcome(values["outcome"]), "counted_by": CountedBy(values["counted_by"])}
        values |= {name: getattr(self, name)[begin:end] for name in OF_ARRIVALS}
        return RequestRecord(**values, **{name: getattr(self, name)[row] for name in TEXTS})

    @classmethod
    def from_rows(cls, rows: list[RequestRecord]) -> "Records":
        """Columns from single rows, as given; the inverse of indexing."""
        columns: dict[str, Any] = {}
        for name in OF_ROWS:
            values = (getattr(row, name) for row in rows)
            columns[name] = np.array([_UNKNOWN[name] if value is None else value for value in values], NUMBERS[name])
        for name in OF_ARRIVALS:
            parts = [np.empty(0, NUMBERS[name]), *(getattr(row, name) for row in rows)]
            columns[name] = np.concatenate(parts).astype(NUMBERS[name], copy=False)
        columns |= {name: [getattr(row, name) for row in rows] for name in TEXTS}
        arrival_start = np.cumsum([0, *(len(row.arrival_ns) for row in rows)], dtype=np.int64)
        return cls(**columns, arrival_start=arrival_start)


# The types are looked up, not taken apart: what `NDArray[np.int8]` is at run time differs between releases of NumPy.
_NUMBER_TYPES: dict[object, type[np.generic]] = {
    Int8: np.int8,
    Int16: np.int16,
    Int32: np.int32,
    Int64: np.int64,
    Bool: np.bool_,
}
_COLUMNS = {column.name: column.type for column in fields(Records) if column.name != "arrival_start"}
NUMBERS: dict[str, np.dtype[Any]] = {
    name: np.dtype(_NUMBER_TYPES[kind]) for name, kind in _COLUMNS.items() if kind in _NUMBER_TYPES
}
"""The type of each column of numbers."""

OF_ARRIVALS = [name for name in NUMBERS if name.startswith("arrival_")]
OF_ROWS = [name for name in NUMBERS if name not in OF_ARRIVALS]
TEXTS = [name for name in _COLUMNS if name not in NUMBERS]

_TIMESTAMPS = ("due_ns", "start_ns", "sent_ns", "first_byte_ns", "end_ns", "connect_ns")
_COUNTS = ("prompt_tokens_asked", "prompt_tokens", "output_tokens")
_UNKNOWN = dict.fromkeys(_TIMESTAMPS, MISSING) | dict.fromkeys(_COUNTS, UNKNOWN_TOKENS) | {"http_status": 0}


@dataclass(slots=True)
class ReplyFacts:
    """What was odd in the replies of a run, counted: it costs no request its outcome, and the result names it."""

    skipped_events: Counter[str] = field(default_factory=Counter)  # by kind: events that carried no reply
    content_types: Counter[str] = field(default_factory=Counter)  # requests, of event streams that call themselves so
    finish_reasons: Counter[str] = field(default_factory=Counter)  # ok requests
    cut_at_length: int = 0  # ok requests that ended with `length` before the length asked
    left_open: int = 0  # ok requests whose body did not end

    def add(self, other: "ReplyFacts") -> None:
        """Count those of another worker too."""
        self.skipped_events.update(other.skipped_events)
        self.content_types.update(other.content_types)
        self.finish_reasons.update(other.finish_reasons)
        self.cut_at_length += other.cut_at_length
        self.left_open += other.left_open


@dataclass(slots=True)
class ClientFacts:
    """What the client knows of itself over a run: the material of its own verdict."""

    stamp_source: StampSource
    workers: int
    # User and system time of the workers together, from t = 0 to the last answer; None: one was killed.
    cpu_s: float | None
    wall_s: float
    reads: int  # receive calls that returned bytes
    reads_by: ReadsBy = "epoll"  # what brought the bytes; of several workers, the costliest
    priority: Priority = "normal"  # how readily the scheduler woke the workers
    loop_lag_ns: Int64 = field(default_factory=lambda: np.empty(0, np.int64))  # lateness of a periodic timer
    network_rtt_ns: Int64 = field(default_factory=lambda: np.empty(0, np.int64))  # least round trip of each connection
    clock_step_ns: int = 0  # largest jump of wall clock against monotonic clock between two samples
    connections_opened: int = 0
    connections_reopened: int = 0  # because the server had closed one
    peak_in_flight: int = 0
    peak_rss_bytes: int | None = 0  # of the workers together; None: one was killed
    busiest_cpu_s: float | None = None  # of the worker that used most; None: there was but one, or one was killed
    replies: ReplyFacts = field(default_factory=ReplyFacts)
    schedule_exhausted: bool = False  # a run for a duration ran out of prepared requests before its time


@dataclass(slots=True)
class Recording:
    """All that the engine brings home from one run."""

    records: Records
    client: ClientFacts
    origin_at: str  # UTC time of t = 0, ISO 8601
    interrupted: bool = False  # it was stopped before its end
    failure: str | None = None  # what stopped it, where that was the client's own trouble: one sentence
    refusal: str | None = None  # what stopped it, where that was the server: one sentence
    replies: tuple[Any, ...] = ()  # a few with their text (`sample.SampledReply`)
