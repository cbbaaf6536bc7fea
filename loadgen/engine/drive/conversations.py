"""The conversations of a closed loop: what each has said so far, and when its next turn is due.

A turn is due when the one before has ended and its user has thought. In between its body is made: the answer is read a little
at a time, between the reads of other streams, the most urgent first, so that nothing is encoded when the turn is due unless
there was no time to think. The driver sends; this tells it what and when.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Generator, Iterator

from loadgen.engine.capture.reply_text import reply_text
from loadgen.engine.drive.in_flight import SENDS_AT_ONCE
from loadgen.engine.eventloop.timer import Clock, Timer
from loadgen.engine.records.exchange import Exchange, unpack_stamps
from loadgen.load.arrivals import NS_PER_S
from loadgen.load.body import history_after, with_history
from loadgen.load.schedule import Schedule

ReplySteps = Generator[None, None, str | None]
EARLIER_TURN_FAILED = "an earlier turn of its conversation failed"


class Conversations:
    """Conversations between two turns; `len()` is their number.

    `ask` is called with each later turn when it is due, `drop` with each that will never be, and `leave` with a
    caller whose conversation broke off after `goes_on` had said otherwise. `on_fault` hears of a fault of ours.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        ask: Callable[[Exchange], None],
        drop: Callable[[Exchange, str], None],
        leave: Callable[[int], None],
        on_fault: Callable[[Exception], None],
        clock: Clock,
    ) -> None:
        self._schedule = schedule
        self._turns = schedule.turns
        self._ask = ask
        self._drop = drop
        self._leave = leave
        self._on_fault = on_fault
        self._clock = clock
        self._now_ns = clock.now_ns
        self._bodies: dict[int, bytes] = {}  # of later turns, from when they are known until they have been answered
        self._reading: list[tuple[int, int, int, ReplySteps]] = []  # a heap: when due, index, caller
        self._thinking: list[tuple[int, int, int]] = []  # a heap of the same
        self._next: dict[int, int] = {}  # by session, of those begun and not over: the turn that follows
        self._timer: Timer | None = None
        self._reads_soon = False
        self._over = False

    def __len__(self) -> int:
        return len(self._reading) + len(self._thinking)

    def body(self, index: int) -> bytes:
        return self._bodies.get(index) or self._schedule.bodies[index]

    def goes_on(self, exchange: Exchange, failed: bool, until_ns: int) -> bool:
        """Whether the caller of a request that has ended is kept by its conversation, which then goes on by itself.

        A turn that would be due at `until_ns` or later is left unsent, and its caller thinks to the end; 0: never.
        """
        index = exchange.index
        session = index // self._turns
        body = self._bodies.pop(index, None) or self._schedule.bodies[index]
        if (index + 1) % self._turns == 0:
            self._next.pop(session, None)
            return False
        self._next[session] = index + 1
        if self._over:
            return False
        if failed:
            self._break_off(index)
            return False
        due_ns = self._ended_ns(exchange)
        if self._schedule.think_ns is not None:
            due_ns += int(self._schedule.think_ns[index + 1])
        if until_ns and due_ns >= until_ns:
            return True
        self._bodies[index + 1] = body  # the history of the turn to come, until that is known in full
        heapq.heappush(self._reading, (due_ns, index + 1, exchange.slot, reply_text(exchange.reads)))
        self._read_soon()
        return True

    def cancel_all(self) -> None:
        """Let no conversation go on; what is left of them is `unsent`."""
        self._over = True
        self._reading.clear()
        self._thinking.clear()
        self._set_timer()

    def unsent(self) -> Iterator[int]:
        """Yield the turns left of every conversation that was begun and is not over; for when the run is."""
        for following in self._next.values():
            yield from range(following, self._end(following))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _read_soon(self) -> None:
        if self._reading and not self._reads_soon:
            self._reads_soon = True
            asyncio.get_running_loop().call_soon(self._read_some)

    def _read_some(self) -> None:
        """Take one step of the most urgent reply."""
        self._reads_soon = False
        if not self._reading:
            return
        try:
            due_ns, index, caller, steps = self._reading[0]
            try:
                next(steps)
            except StopIteration as whole:
                heapq.heappop(self._reading)
                self._has_been_read(due_ns, index, caller, whole.value)
        except Exception as error:
            self._on_fault(error)
            return
        self._read_soon()

    def _has_been_read(self, due_ns: int, index: int, caller: int, reply: str | None) -> None:
        before = self._bodies.pop(index)
        if reply is None:
            self._break_off(index - 1)
            self._leave(caller)
            return
        self._bodies[index] = with_history(self._schedule.bodies[index], history_after(before, reply))
        heapq.heappush(self._thinking, (due_ns, index, caller))
        self._on_timer()

    def _on_timer(self) -> None:
        try:
            for _ in range(SENDS_AT_ONCE):
                if not self._thinking or self._thinking[0][0] > self._now_ns():
                    break
                _, index, caller = heapq.heappop(self._thinking)
                self._ask(Exchange(index, caller))
            self._set_timer()
        except Exception as error:
            self._on_fault(error)

    def _set_timer(self) -> None:
        if self._timer is None:
            if not self._thinking:
                return
            self._timer = self._clock.make_timer(self._on_timer)
        if self._thinking:
            self._timer.set(self._thinking[0][0])
        else:
            self._timer.cancel()

    def _break_off(self, index: int) -> None:
        """Drop the turns after `index`."""
        self._next.pop(index // self._turns, None)
        for later in range(index + 1, self._end(index)):
            self._drop(Exchange(later), EARLIER_TURN_FAILED)

    def _end(self, index: int) -> int:
        return (index // self._turns + 1) * self._turns

    def _ended_ns(self, exchange: Exchange) -> int:
        """When the last byte came, on the monotonic clock: now where there is no stamp, and never more than a second ago."""
        if exchange.gave_up_ns is not None or not exchange.stamps:
            return exchange.gave_up_ns or self._now_ns()
        wall_ns, _ = unpack_stamps(exchange.stamps[-1:])
        ago_ns = min(max(0, time.time_ns() - int(wall_ns[0])), NS_PER_S)
        # In this order: what passes between the two clocks makes it late and never early.
        return self._now_ns() - ago_ns
