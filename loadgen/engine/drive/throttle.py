"""When the next request may go out: by a provider's limits per minute, and by the Retry-After of a 429.

A throttle outlives the runs of a sweep, as the provider's minute does. Pure: every time is passed in, on the monotonic clock.
"""

from collections.abc import Iterable
from contextlib import suppress
from email.utils import parsedate_to_datetime

import httptools

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
    """Tells from when on a request may be sent. `engaged` is False until something could hold one back."""

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
        """Send nothing before that time."""
        self._paused_until_ns = max(self._paused_until_ns, time_ns)
        self.engaged = True


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
