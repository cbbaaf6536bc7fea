"""The driver of due times: every request is sent when it is due, whatever is in flight, unless that is as much as may be."""

from collections import deque

from loadgen.engine.drive.driver import Driver
from loadgen.engine.eventloop.timer import Timer
from loadgen.engine.records.exchange import Exchange


class OpenLoopDriver(Driver):
    """A run of requests that are due at times set in advance. The slot of an exchange is its connection."""

    _free: deque[int]
    _timer: Timer

    @property
    def _sent_together(self) -> int:
        return 1

    @property
    def _is_idle(self) -> bool:
        return self._draining or self._next == len(self._schedule)

    def _begin(self) -> None:
        self._free = deque(range(self._in_flight.connections))
        self._timer = self._clock.make_timer(self._send_what_is_due)
        self._send_what_is_due()

    def _end(self) -> None:
        self._timer.close()

    def _send_what_is_due(self) -> None:
        offsets_ns = self._schedule.offsets_ns
        assert offsets_ns is not None
        now_ns = self._now_ns() - self.origin_ns
        while self._next < len(self._schedule) and offsets_ns[self._next] <= now_ns and not self._draining:
            index, self._next = self._next, self._next + 1
            self._ask(Exchange(index, due_ns=self.origin_ns + int(offsets_ns[index])))
        if self._is_idle:
            self._timer.cancel()
            self._perhaps_over()
        else:
            self._timer.set(self.origin_ns + int(offsets_ns[self._next]))

    def _send(self, exchange: Exchange) -> None:
        """Send it over a free connection or a new one, if it may have one."""
        if len(self._in_flight) == self._shape.max_in_flight:
            self._drop(exchange, "as many were in flight as --max-in-flight allows")
            return
        exchange.slot = self._free.pop() if self._free else self._in_flight.add_connection()
        self._start(exchange)

    def _follow(self, exchange: Exchange, failed: bool) -> None:
        self._free.append(exchange.slot)

    def _send_no_more(self) -> None:
        """`_send_what_is_due` finds that the run drains."""

    def _not_sent(self, exchange: Exchange, why: str) -> None:
        """It was due."""
        self._drop(exchange, why)
