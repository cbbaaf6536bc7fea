"""Times to first token while a run goes on, of a few requests at a time and at no cost to the others.

Reads that go to the log of all connections are known by request only when the response has ended. So a few requests keep their
own reads, which are looked at between the reads of others, a few times a second. The figures of a run come from all of its
requests, after it.
"""

import time
from collections.abc import Container

from loadgen.engine.eventloop.timer import SYSTEM_CLOCK, Clock
from loadgen.engine.records.exchange import Exchange, unpack_stamps

MAX_WATCHED = 4  # in flight at once: every event of theirs costs what one did before there was a log for all
_BLANK_LINE = b"\r\n\r\n"


class LiveTtft:
    """Watches at most `MAX_WATCHED` requests in flight, the next one as one of them ends."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now_ns = clock.now_ns
        self._watched: list[Exchange] = []
        self._told: set[int] = set()  # by index, of those whose first token was seen

    def offer(self, exchange: Exchange) -> None:
        """Watch a request that is about to be sent, if not enough are watched."""
        if len(self._watched) < MAX_WATCHED:
            exchange.read_at_once = True
            self._watched.append(exchange)

    def take(self, in_flight: Container[int]) -> tuple[float, ...]:
        """Seconds to the first event of each answer that has brought one since the last look; `in_flight` are indices."""
        if not self._watched:
            return ()
        wall_less_monotonic_ns = time.time_ns() - self._now_ns()
        seen: list[float] = []
        for exchange in self._watched:
            if exchange.index not in self._told and (first_ns := _first_event_ns(exchange)) is not None:
                self._told.add(exchange.index)
                began_ns = exchange.sent_ns if exchange.due_ns is None else exchange.due_ns
                if began_ns is not None:
                    seen.append(max(0, first_ns - wall_less_monotonic_ns - began_ns) / 1e9)
        self._watched = [each for each in self._watched if each.index in in_flight]
        self._told.intersection_update(each.index for each in self._watched)
        return tuple(seen)


def _first_event_ns(exchange: Exchange) -> int | None:
    """When the first bytes after the head came, on the wall clock; None before, and for an answer that is no 200."""
    if not exchange.has_status_200:
        return None
    first = exchange.reads[0]
    at = 1 if first.find(_BLANK_LINE) == len(first) - len(_BLANK_LINE) else 0  # the head may come by itself
    if at >= len(exchange.stamps):
        return None
    wall_ns, _ = unpack_stamps(exchange.stamps[at : at + 1])
    return int(wall_ns[0])
