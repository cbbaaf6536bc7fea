"""The measured window: which stretch of a run, and which of its requests, the figures speak of.

Imports load and engine. docs/method.md gives the rule and its reasons in full; in short:

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

from loadgen.engine.record import MISSING, Bool, Int64, Outcome, Records
from loadgen.load.spec import ClosedLoop, OpenLoop, RunSpec

WindowRule = Literal["steady_state", "whole_run"]

# The range of eight samples holds the true median with probability 1 − 2·2⁻⁸ = 99.2 %; fewer say little of anything.
FEWEST_REQUESTS = 8


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch (start_ns, end_ns] on the run's clock and its requests. Both edges are None when nothing arrived."""

    rule: WindowRule
    start_ns: int | None
    end_ns: int | None
    requests: Bool  # one entry a row of the records: it belongs to the window, whatever its outcome

    @property
    def length_s(self) -> float | None:
        """Seconds from edge to edge; None when there is no window."""
        if self.start_ns is None or self.end_ns is None or self.end_ns <= self.start_ns:
            return None
        return (self.end_ns - self.start_ns) / 1e9

    def holds(self, moments_ns: Int64) -> Bool:
        """For each moment: does it lie in the window? A whole run holds all that ever happened in it."""
        inside: Bool = moments_ns != MISSING
        if self.rule == "steady_state" and self.start_ns is not None and self.end_ns is not None:
            inside &= (moments_ns > self.start_ns) & (moments_ns <= self.end_ns)
        return inside


def measured_window(spec: RunSpec, records: Records) -> Window:
    """The window of a run of `spec`, by the rule of its load shape."""
    if isinstance(spec.shape, ClosedLoop):
        steady = _steady_state(records, spec.shape.concurrency, spec.workload.turns)
        if steady is not None:
            return steady
    return _whole_run(spec, records)


def _steady_state(records: Records, concurrency: int, turns: int) -> Window | None:
    """The steady state of a closed loop, or None: a slot that got no request, or fewer than `concurrency` ok requests in it."""
    carried = np.flatnonzero((records.slot >= 0) & (records.sent_ns != MISSING) & (records.end_ns != MISSING))
    if len(carried) == 0:
        return None
    by_slot = carried[np.lexsort((records.sent_ns[carried], records.slot[carried]))]
    slots, first = np.unique(records.slot[by_slot], return_index=True)
    if len(slots) < concurrency:
        return None
    last = np.append(first[1:], len(by_slot)) - 1

    # A slot's first request is the first that ended ok: one refused at once says nothing of a server that has warmed to
    # its load. A slot in which none ended ok counts with its very first. A conversation has ended ok with its last turn.
    first_end_ns = records.end_ns[by_slot[first]]
    ok, last_turn = records.outcome == Outcome.OK, (records.index + 1) % turns == 0
    ok_by_slot = by_slot[(ok & last_turn)[by_slot]]
    ok_slots, ok_first = np.unique(records.slot[ok_by_slot], return_index=True)
    first_end_ns[np.searchsorted(slots, ok_slots)] = records.end_ns[ok_by_slot[ok_first]]

    start_ns = int(first_end_ns.max())
    end_ns = int(records.sent_ns[carried].max())
    idle = (~ok | last_turn)[by_slot[last]]  # in the midst of a conversation a user thinks to the end
    if idle.any():
        end_ns = min(end_ns, int(records.end_ns[by_slot[last][idle]].min()))  # one worker may run dry before another
    inside = np.zeros(len(records), np.bool_)
    inside[carried] = (records.end_ns[carried] > start_ns) & (records.end_ns[carried] <= end_ns)
    if np.count_nonzero(inside & (records.outcome == Outcome.OK)) < max(concurrency, FEWEST_REQUESTS):
        return None
    return Window("steady_state", start_ns, end_ns, inside)


def _whole_run(spec: RunSpec, records: Records) -> Window:
    """From the first intended arrival (open loop) or the first send (otherwise) to the last arrival of content.

    An open loop's lasts at least one mean interval beyond its last intended arrival.
    """
    begin_ns = records.due_ns if isinstance(spec.shape, OpenLoop) else records.sent_ns
    begin_ns = begin_ns[begin_ns != MISSING]
    every = np.ones(len(records), np.bool_)
    if len(begin_ns) == 0 or len(records.arrival_ns) == 0:
        return Window("whole_run", None, None, every)
    start_ns, end_ns = int(begin_ns.min()), int(records.arrival_ns.max())
    if isinstance(spec.shape, OpenLoop) and len(begin_ns) > 1:
        # n arrivals span n − 1 intervals. Counted over those alone, a quick server would complete more than it was offered.
        intended_ns = int(begin_ns.max()) - start_ns
        end_ns = max(end_ns, start_ns + round(intended_ns * len(begin_ns) / (len(begin_ns) - 1)))
    return Window("whole_run", start_ns, end_ns, every)
