"""The measured window: which stretch of a run, and which of its requests, the figures speak of.

docs/method.md gives the rule and its reasons in full; in short:

- closed loop: the steady state, from the moment when every slot has finished its first request to the moment when the
  last request was sent. Both edges are moments at which a request ended, so that completions are counted fairly even when
  all slots run in lockstep. A request belongs to it by its end alone: asking for its start as well would prefer short ones.
- of conversations, the steady state opens when every slot has finished its first one: histories are then of every length.
- wave and open loop, and a closed loop too short for a steady state: the whole run; an open loop's with a whole interval
  for each of its arrivals.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from loadgen.analysis.timestamps import Extent
from loadgen.engine.records.record import MISSING, Bool, Int32, Int64, Outcome, Records
from loadgen.engine.records.record_parts import pieces
from loadgen.load.spec import RunSpec

WindowRule = Literal["steady_state", "whole_run"]

# The range of eight samples holds the true median with probability 1 − 2·2⁻⁸ = 99.2 %; fewer say little of anything.
MIN_REQUESTS = 8


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch (start_ns, end_ns] on the run's clock. Both edges are None when nothing arrived."""

    rule: WindowRule
    start_ns: int | None
    end_ns: int | None

    @property
    def length_s(self) -> float | None:
        """Seconds from edge to edge; None when there is no window."""
        if self.start_ns is None or self.end_ns is None or self.end_ns <= self.start_ns:
            return None
        return (self.end_ns - self.start_ns) / 1e9

    def holds(self, timestamps_ns: Int64) -> Bool:
        """For each moment: does it lie in the window? A whole run holds all that ever happened in it."""
        inside: Bool = timestamps_ns != MISSING
        if self.rule == "steady_state" and self.start_ns is not None and self.end_ns is not None:
            inside &= (timestamps_ns > self.start_ns) & (timestamps_ns <= self.end_ns)
        return inside

    def requests_of(self, records: Records) -> Bool:
        """For each row: does it belong to the window, whatever its outcome?"""
        if self.rule == "whole_run":
            return np.ones(len(records), np.bool_)
        return self.holds(records.end_ns) & _carried(records)


def measured_window(spec: RunSpec, records: Records) -> Window:
    """The window of a run of `spec`, by the rule of its load shape."""
    if spec.shape.has_steady_state and spec.shape.callers is not None:
        steady = _steady_state(records, spec.shape.callers, spec.workload.turns)
        if steady is not None:
            return steady
    return _whole_run(spec, records)


def _steady_state(records: Records, concurrency: int, turns: int) -> Window | None:
    """The steady state of a closed loop, or None: a slot that got no request, or fewer than `concurrency` ok requests in it."""
    callers = Callers(max((int(piece.slot.max()) for piece in pieces(records)), default=-1) + 1)
    for piece in pieces(records):
        carried = _carried(piece)
        last_turn = (piece.index[carried] + 1) % turns == 0
        ok = piece.outcome[carried] == Outcome.OK
        callers.add(piece.slot[carried], piece.sent_ns[carried], piece.end_ns[carried], ok, last_turn)
    if callers.used == 0 or callers.used < concurrency:
        return None
    window = Window("steady_state", callers.warm_ns, callers.dry_ns)
    inside = sum(
        int(np.count_nonzero(window.requests_of(piece) & (piece.outcome == Outcome.OK))) for piece in pieces(records)
    )
    return window if inside >= max(concurrency, MIN_REQUESTS) else None


def _carried(records: Records) -> Bool:
    """Which rows were sent by some slot and ended."""
    carried: Bool = (records.slot >= 0) & (records.sent_ns != MISSING) & (records.end_ns != MISSING)
    return carried


def _whole_run(spec: RunSpec, records: Records) -> Window:
    """From the first intended arrival (open loop) or the first send (otherwise) to the last arrival of content.

    An open loop's lasts at least one mean interval beyond its last intended arrival.
    """
    from_due = spec.shape.latency_start == "due"
    begun = Extent.of((piece.due_ns if from_due else piece.sent_ns) for piece in pieces(records))
    arrived = Extent.of(piece.arrival_ns for piece in pieces(records))
    if begun is None or arrived is None:
        return Window("whole_run", None, None)
    end_ns = arrived.last_ns
    if from_due and begun.count > 1:
        # n arrivals span n − 1 intervals. Counted over those alone, a quick server would complete more than it was offered.
        end_ns = max(end_ns, begun.first_ns + round(begun.length_ns * begun.count / (begun.count - 1)))
    return Window("whole_run", begun.first_ns, end_ns)


_NEVER = int(np.iinfo(np.int64).max)


class Callers:
    """`count` callers, and of each the earliest requests and the latest that were added."""

    def __init__(self, count: int) -> None:
        self._first = _Earliest(count)
        self._first_ok = _Earliest(count)
        self._last_sent_ns = np.full(count, -_NEVER, np.int64)
        self._last_end_ns = np.zeros(count, np.int64)
        self._idle = np.zeros(count, np.bool_)

    def add(self, slot: Int32, sent_ns: Int64, end_ns: Int64, ok: Bool, last_turn: Bool) -> None:
        """Take some requests that were sent and ended, in the order of the schedule; `last_turn`: nothing follows in a conversation."""
        if len(slot) == 0:
            return
        order = np.lexsort((sent_ns, slot))
        slot, sent_ns, end_ns = slot[order], sent_ns[order], end_ns[order]
        ok, last_turn = ok[order], last_turn[order]
        self._first.add(slot, sent_ns, end_ns)
        well = ok & last_turn
        self._first_ok.add(slot[well], sent_ns[well], end_ns[well])
        last = np.append(np.flatnonzero(slot[1:] != slot[:-1]), len(slot) - 1)
        last = last[sent_ns[last] >= self._last_sent_ns[slot[last]]]
        self._last_sent_ns[slot[last]] = sent_ns[last]
        self._last_end_ns[slot[last]] = end_ns[last]
        self._idle[slot[last]] = (~ok | last_turn)[last]  # in the midst of a conversation a user thinks to the end

    @property
    def used(self) -> int:
        """How many slots had a request."""
        return int(np.count_nonzero(self._first.sent_ns != _NEVER))

    @property
    def warm_ns(self) -> int:
        """When every slot that was used had finished its first request.

        That is the first that ended ok: one refused at once says nothing of a server that has warmed to its load. A slot in
        which none ended ok counts with its very first. A conversation has ended ok with its last turn.
        """
        used = self._first.sent_ns != _NEVER
        ends_ns = np.where(self._first_ok.sent_ns != _NEVER, self._first_ok.end_ns, self._first.end_ns)
        return int(ends_ns[used].max())

    @property
    def dry_ns(self) -> int:
        """When the first of the slots had no more to do, or the last request was sent: one worker may run dry before another."""
        last_sent_ns = int(self._last_sent_ns.max())
        return min(last_sent_ns, int(self._last_end_ns[self._idle].min(initial=_NEVER)))


class _Earliest:
    """Of each slot the request that was sent first: when it was sent and when it ended."""

    def __init__(self, count: int) -> None:
        self.sent_ns = np.full(count, _NEVER, np.int64)
        self.end_ns = np.zeros(count, np.int64)

    def add(self, slot: Int32, sent_ns: Int64, end_ns: Int64) -> None:
        """Take some requests, by slot and then by when they were sent."""
        slots, first = np.unique(slot, return_index=True)
        earlier = sent_ns[first] < self.sent_ns[slots]
        self.sent_ns[slots[earlier]] = sent_ns[first][earlier]
        self.end_ns[slots[earlier]] = end_ns[first][earlier]
