"""The callers of a closed loop: when each had warmed up and when it had no more to do, found piece by piece."""

import numpy as np

from loadgen.engine.records.record import Bool, Int32, Int64

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
