"""The facts of one run laid out for the formulas: its records, its window, and the edges of each answer.

Computes nothing that a person would read; `metrics` does. All of a run's rows at once would take as
much memory as the run was long, so figures are made piece by piece: `Measured.pieces`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from loadgen.analysis.stats import FloatArray
from loadgen.analysis.window import Window, measured_window
from loadgen.engine.records.record import MISSING, Bool, CountedBy, Int32, Int64, Outcome, Records
from loadgen.engine.records.record_parts import pieces
from loadgen.load.spec import RunSpec


def totalled(records: Records) -> Bool:
    """Of each row: whether its number of output tokens is known, and not a guess of one a chunk."""
    # An assumed count that is not one a chunk is the server's own sum, which the chunks did not add up to.
    told, assumed = records.output_tokens, records.counted_by == CountedBy.ASSUMED
    known: Bool = (told >= 0) & (~assumed | (told != np.diff(records.arrival_start)))
    return known


@dataclass(frozen=True)
class MeasuredRows:
    """Rows of a run, and what follows from each of them alone. Arrays have one entry a row of `records`."""

    records: Records
    window: Window

    @cached_property
    def ok(self) -> Bool:
        """It ended ok, anywhere in the run."""
        ok: Bool = self.records.outcome == Outcome.OK
        return ok

    @cached_property
    def in_window(self) -> Bool:
        """It belongs to the window, whatever its outcome."""
        return self.window.requests_of(self.records)

    @cached_property
    def answered(self) -> Bool:
        """Ok, in the window, and carried content: the requests whose latencies are reported."""
        return self.ok & self.in_window & (self.arrivals > 0)

    @cached_property
    def arrivals(self) -> Int64:
        """How many chunks of content it got."""
        return np.diff(self.records.arrival_start)

    @cached_property
    def first_ns(self) -> Int64:
        """Stamp of its first content; MISSING without any."""
        return self._stamps_ns(self.records.arrival_start[:-1])

    @cached_property
    def last_ns(self) -> Int64:
        """Stamp of its last content; MISSING without any."""
        return self._stamps_ns(self.records.arrival_start[1:] - 1)

    @cached_property
    def choices(self) -> Int64:
        """How many answers it got side by side; 1 without any content."""
        choices = np.ones(len(self.records), np.int64)
        if self.records.arrival_choice.any():
            some = self.arrivals > 0
            begin = self.records.arrival_start[:-1][some]
            choices[some] = np.maximum.reduceat(self.records.arrival_choice, begin) + 1
        return choices

    @cached_property
    def counted(self) -> Bool:
        """We know how many tokens each of its chunks carried."""
        counted: Bool = self.records.counted_by != CountedBy.ASSUMED
        return counted

    @cached_property
    def totalled(self) -> Bool:
        """We know how many tokens it got in all: usage may tell the sum and leave the chunks to guess."""
        return totalled(self.records)

    @cached_property
    def seen_tokens(self) -> Int32:
        """How many of its output tokens arrived; -1 where nobody can tell, as where usage contradicts what came."""
        records = self.records
        known = self.totalled & (records.hidden_tokens >= 0)
        return np.where(known, records.output_tokens - records.hidden_tokens, np.int32(-1))

    def _stamps_ns(self, places: Int64) -> Int64:
        some = self.arrivals > 0
        stamps_ns = np.full(len(self.records), MISSING, np.int64)
        stamps_ns[some] = self.records.arrival_ns[places[some]]
        return stamps_ns


@dataclass(frozen=True)
class Measured(MeasuredRows):
    """One run, ready to be measured, or a piece of it. The facts that stand here are of the whole run in either case."""

    spec: RunSpec
    chunks_known: bool  # the tokens of every chunk are known, for all requests whose latencies are reported
    totals_known: bool  # how many output tokens arrived is known of every ok request of the run
    # Whether in each ok request's prompt the server counted exactly the tokens asked; there is one to tell by.
    prompts_as_asked: bool
    some_waited: bool  # a limit held back some request

    def pieces(self) -> Iterator["Measured"]:
        """All rows in order, some at a time; what was looked at of a piece is let go of before the next."""
        return (replace(self, records=records) for records in pieces(self.records))

    def count(self, chosen: Callable[["Measured"], Bool]) -> int:
        """How many rows there are that `chosen` says yes to, asked piece by piece."""
        return sum(int(np.count_nonzero(chosen(piece))) for piece in self.pieces())

    def sum(self, of: Callable[["Measured"], Bool | Int32 | Int64]) -> int:
        """Return the sum of the whole numbers that `of` makes of each piece."""
        return sum(int(of(piece).sum(dtype=np.int64)) for piece in self.pieces())

    def samples(self, of: Callable[["Measured"], FloatArray]) -> Iterator[FloatArray]:
        """Return the values that `of` makes of each piece, a piece at a time."""
        return map(of, self.pieces())


def measured_of(spec: RunSpec, records: Records) -> Measured:
    window = measured_window(spec, records)
    some_ok, chunks_known, totals_known, as_asked, some_waited = False, True, True, True, False
    for piece in pieces(records):
        rows = MeasuredRows(piece, window)
        some_ok |= bool(rows.ok.any())
        chunks_known &= bool(rows.counted[rows.answered].all())
        totals_known &= bool((rows.seen_tokens >= 0)[rows.ok].all())
        as_asked &= bool((piece.prompt_tokens == piece.prompt_tokens_asked)[rows.ok].all())
        some_waited |= bool(piece.limit_wait_ns.any())
    return Measured(records, window, spec, chunks_known, totals_known, some_ok and as_asked, some_waited)
