"""When the next request may go out: by a provider's limits per minute, and by the Retry-After of a 429.

A throttle outlives the runs of a sweep, as the provider's minute does.
"""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from email.utils import parsedate_to_datetime

import httptools

from loadgen.engine.drive.in_flight import SENDS_AT_ONCE
from loadgen.engine.eventloop.timer import SYSTEM_CLOCK, Clock, Timer
from loadgen.engine.records.exchange import Exchange, unpack_stamps
from loadgen.engine.wire.framing import ResponseParser
from loadgen.load.arrivals import NS_PER_S
from loadgen.load.rate_limits import UNLIMITED, RateLimits, SlidingWindow

MAX_RETRY_AFTER_S = 300.0
"""Longer than any limit per minute asks for: a provider that asks for more will not serve this run. Chosen."""

# What one request may take longer to the provider than another: two that were sent a minute apart may arrive in less. Chosen.
_MARGIN_NS = 100_000_000
_TOO_MANY_REQUESTS = 429


class Throttle:
    """Tells from when on a request may be sent. `engaged` is False until something could hold one back.

    Pure: every time is passed in, on the monotonic clock.
    """

    def __init__(self, limits: RateLimits = UNLIMITED) -> None:
        self.limits = limits
        length_ns = round(limits.minute_s * NS_PER_S) + _MARGIN_NS
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests = None if requests is None else SlidingWindow(requests, length_ns)
        self._tokens = None if tokens is None else SlidingWindow(tokens, length_ns)
        self._paused_until_ns = 0
        self.engaged = limits != UNLIMITED

    def free_at_ns(self, tokens: int, requests: int = 1) -> int:
        """Return from when on `requests` with `tokens` in all may be sent together; 0 if they always could."""
        return max(
            self._paused_until_ns,
            0 if self._requests is None else self._requests.free_at_ns(requests),
            0 if self._tokens is None else self._tokens.free_at_ns(tokens),
        )

    def note_sent(self, tokens: int, now_ns: int) -> None:
        """Note that a request of `tokens` is sent now."""
        if self._requests is not None:
            self._requests.note(1, now_ns)
        if self._tokens is not None:
            self._tokens.note(tokens, now_ns)

    def pause_until(self, time_ns: int) -> None:
        self._paused_until_ns = max(self._paused_until_ns, time_ns)
        self.engaged = True


class ThrottleQueue:
    """The queue before the throttle, which requests leave in the order in which they came, by a timer, as soon as they may.

    `send` is called for each; its `limit_wait_ns` is then how long the throttle held it back. What the client lost beyond that, by a late timer,
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


def wait_asked_s(exchange: Exchange) -> float | None:
    """Return for how long the response of `exchange` asks to send nothing, if it does."""
    if exchange.has_status_200 or not exchange.reads:
        return None
    wall_ns, _ = unpack_stamps(exchange.stamps[-1:])
    return retry_after_s(exchange.reads, int(wall_ns[0]) / NS_PER_S if len(wall_ns) else None)


def retry_after_s(reads: Iterable[bytes], arrived_at_s: float | None) -> float | None:
    """Return how long a 429 asks to wait from now on; None for any other response, and for one that does not say.

    `arrived_at_s` is the wall clock, in seconds since 1970, for a date without the server's own `Date` beside it.
    """
    parser = ResponseParser()
    with suppress(httptools.HttpParserError):  # the head is what counts, if it was one
        for read in reads:
            parser.feed(read)
    if parser.status != _TOO_MANY_REQUESTS:
        return None
    asked = parser.header(b"retry-after").decode("latin-1").strip()
    if asked.replace(".", "", 1).isdecimal():
        return float(asked)
    until_s = _http_date_s(asked)
    told_s = _http_date_s(parser.header(b"date").decode("latin-1"))
    now_s = arrived_at_s if told_s is None else told_s
    return None if until_s is None or now_s is None else max(0.0, until_s - now_s)


def _http_date_s(text: str) -> float | None:
    """Seconds since 1970; None for what is no date."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
