"""The queue before the throttle: requests leave it in the order in which they came, by a timer, as soon as they may."""

from collections import deque
from collections.abc import Callable

from loadgen.engine.drive.in_flight import SENDS_AT_ONCE
from loadgen.engine.drive.throttle import Throttle
from loadgen.engine.eventloop.timer import SYSTEM_CLOCK, Clock, Timer
from loadgen.engine.records.exchange import Exchange


class ThrottleQueue:
    """The queue before the throttle. `send` is called for each request when it may go, with the moment taken there.

    `limit_wait_ns` of a request is then how long the throttle held it back. What the client lost beyond that, by a late timer,
    is not in it: that is send delay. `on_time_up` is called once `until_ns` has come while requests wait; 0: never.
    """

    def __init__(
        self,
        throttle: Throttle,
        tokens_of: Callable[[int], int],
        *,
        send: Callable[[Exchange], None],
        on_time_up: Callable[[], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._throttle = throttle
        self._tokens_of = tokens_of
        self._send = send
        self._on_time_up = on_time_up
        self._clock = clock
        self._now_ns = clock.now_ns
        self._queue: deque[tuple[Exchange, int]] = deque()  # and since when each waits
        self._free_ns = 0  # when the last one that was let go could go: those behind it wait at least as long
        self._timer: Timer | None = None
        self.until_ns = 0

    def __len__(self) -> int:
        return len(self._queue)

    def ask(self, exchange: Exchange) -> None:
        """Send `exchange` now if the throttle allows it and none waits, otherwise in its turn."""
        now_ns = self._now_ns()
        if not self._queue and self._throttle.free_at_ns(self._tokens_of(exchange.index)) <= now_ns:
            self._send(exchange)
            return
        self._queue.append((exchange, now_ns))
        if len(self._queue) == 1:
            self._set_timer()

    def take_all(self) -> list[Exchange]:
        """Remove and return all queued requests in order."""
        now_ns = self._now_ns()
        found = []
        for exchange, since_ns in self._queue:
            exchange.limit_wait_ns = now_ns - since_ns
            found.append(exchange)
        self._queue.clear()
        return found

    def close(self) -> None:
        """Release the timer."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _on_timer(self) -> None:
        for _ in range(SENDS_AT_ONCE):
            if not self._queue:
                break
            now_ns = self._now_ns()
            exchange, since_ns = self._queue[0]
            free_ns = self._free_at_ns(exchange)
            if self.until_ns and self.until_ns <= min(now_ns, free_ns):
                self._on_time_up()
                break
            if free_ns > now_ns:
                break
            self._queue.popleft()
            self._free_ns = free_ns
            exchange.limit_wait_ns = max(0, free_ns - since_ns)
            self._send(exchange)
        self._set_timer()

    def _free_at_ns(self, exchange: Exchange) -> int:
        return max(self._free_ns, self._throttle.free_at_ns(self._tokens_of(exchange.index)))

    def _set_timer(self) -> None:
        if not self._queue:
            if self._timer is not None:
                self._timer.cancel()
            return
        if self._timer is None:
            self._timer = self._clock.make_timer(self._on_timer)
        due_ns = self._free_at_ns(self._queue[0][0])
        self._timer.set(min(due_ns, self.until_ns) if self.until_ns else due_ns)
