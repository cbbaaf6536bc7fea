"""The driver of callers: each sends its next request over its own connection when its last one has ended.

A wave is a closed loop whose callers have one request each.
"""

import asyncio
from collections import deque
from collections.abc import Iterator

from loadgen.engine.drive.conversations import Conversations
from loadgen.engine.drive.driver import Driver, DriverPlan, Wiring
from loadgen.engine.drive.in_flight import SENDS_AT_ONCE
from loadgen.engine.records.exchange import Exchange
from loadgen.load.arrivals import NS_PER_S

_SENDS_APART_NS = 1_000_000


class ClosedLoopDriver(Driver):
    """A run of callers, which may hold conversations. The slot of an exchange is its caller."""

    def __init__(self, plan: DriverPlan, wiring: Wiring) -> None:
        super().__init__(plan, wiring)
        self._turns = plan.schedule.turns
        self._is_unplanned = plan.shape.is_unplanned(plan.duration_s)
        self._waiting: deque[int] = deque()  # callers whose next request follows shortly
        self._last_send_ns = 0
        self._conversations = Conversations(
            plan.schedule,
            ask=self._ask,
            drop=self._drop,
            leave=self._conversation_over,
            on_fault=self._break_off,
            clock=wiring.clock,
        )

    def close(self) -> None:
        super().close()
        self._conversations.close()

    @property
    def _sent_together(self) -> int:
        return self.connections

    @property
    def _thinking(self) -> int:
        return len(self._conversations)

    @property
    def _is_idle(self) -> bool:
        return not self._waiting and not self._conversations

    @property
    def _time_is_up(self) -> bool:
        return self._duration_s is not None and self._now_ns() - self.origin_ns >= self._duration_s * NS_PER_S

    def _begin(self) -> None:
        for caller in range(self._in_flight.connections):
            self._next_of_caller(caller)
        self._perhaps_over()

    def _end(self) -> None:
        """Nothing was set up."""

    def _send(self, exchange: Exchange) -> None:
        self._start(exchange, read_at_once=self._turns > 1)  # the next turn repeats this one's reply

    def _follow(self, exchange: Exchange, failed: bool) -> None:
        if self._turns == 1 or not self._conversations.goes_on(exchange, failed, self._queue.until_ns):
            self._next_when_others_were_read(exchange.slot)

    def _not_sent(self, exchange: Exchange, why: str) -> None:
        """The caller has not asked for it yet."""
        if exchange.index % self._turns == 0:
            self._next -= self._turns

    def _send_no_more(self) -> None:
        self._conversations.cancel_all()

    def _unsent(self) -> Iterator[int]:
        """The planned requests that were never sent; none where the number of requests is found out by running."""
        if not self._is_unplanned:
            yield from self._conversations.unsent()
            yield from super()._unsent()

    def _body(self, index: int) -> bytes:
        return self._conversations.body(index)

    def _next_of_caller(self, caller: int) -> None:
        if self._draining:
            return
        if self._next == len(self._schedule):
            self.schedule_exhausted |= self._is_unplanned and not self._time_is_up
        elif not (self._is_unplanned and self._time_is_up):
            index, self._next = self._next, self._next + self._turns
            self._ask(Exchange(index, caller))

    def _conversation_over(self, caller: int) -> None:
        """A conversation broke off: its caller begins another."""
        self._next_when_others_were_read(caller)
        if not self._in_flight:
            self._perhaps_over()

    def _next_when_others_were_read(self, caller: int) -> None:
        """The caller's next request, at once where few end together; otherwise a few at a time, between the reads of others.

        A thousand responses that end together take a tenth of a second to be followed by as many requests. The first tokens
        of those that went out first come in the midst of it, and must be read before the second ones join them.
        """
        now_ns = self._now_ns()
        if not self._waiting and now_ns - self._last_send_ns > _SENDS_APART_NS:
            self._last_send_ns = now_ns
            self._next_of_caller(caller)
            return
        self._waiting.append(caller)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._send_some)

    def _send_some(self) -> None:
        for _ in range(min(SENDS_AT_ONCE, len(self._waiting))):
            self._next_of_caller(self._waiting.popleft())
        self._last_send_ns = self._now_ns()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._send_some)
        elif not self._in_flight:
            self._perhaps_over()
