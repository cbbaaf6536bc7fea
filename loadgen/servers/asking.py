"""One question asked again while the server is busy or starting, within a stated time.

503, 429 and the like, a timeout, and a connection lost without a response are asked again. Everything else is a response.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

from loadgen.servers.http_client import Fetched, Headers, fetch, reason_of

ASK_AGAIN_LIMIT_S = 60.0
"""How long in all a busy or silent server is asked again; no longer than the timeout of a request."""

MAX_TIMEOUTS = 3
"""How often in all the question may go unanswered; a lost connection counts as well."""

_ASK_AGAIN = (408, 425, 429, 502, 503, 504)
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.5, 8.0
MAX_SHORT_REPLY_BYTES = 1 << 20  # a thousand times what a few tokens need


class UnansweredError(Exception):
    """The question went unanswered; the text says why."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a question is asked again, and by which clock. `on_wait` is called with why and how long before each pause."""

    limit_s: float = ASK_AGAIN_LIMIT_S  # of all questions together
    on_wait: Callable[[str, float], None] = lambda why, wait_s: None
    clock_s: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


@dataclass(slots=True)
class Asker:
    """Posts bodies, all of them within the time of one policy."""

    client: httpx2.Client
    headers: Headers  # whose values are not repeated
    timeout_s: float  # of one question
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    _until_s: float | None = field(default=None, init=False)
    _unanswered: int = field(default=0, init=False)

    def ask(self, url: str, body: bytes) -> Fetched:
        """The response to `body`. Raise UnansweredError once the limits are used up."""
        pause_s = _FIRST_PAUSE_S
        while True:
            if self._until_s is None:
                self._until_s = self.retries.clock_s() + self.retries.limit_s
            left_s = self._until_s - self.retries.clock_s()
            wanted_s: float | None = None
            try:
                fetched = fetch(
                    self.client,
                    url,
                    body,
                    limit_s=min(self.timeout_s, max(1.0, left_s)),
                    max_bytes=MAX_SHORT_REPLY_BYTES,
                )
                if fetched.status not in _ASK_AGAIN:
                    return fetched
                why, wanted_s = f"HTTP {fetched.status}", _seconds(fetched.retry_after)
            except (httpx2.ConnectError, httpx2.UnsupportedProtocol) as error:
                raise UnansweredError(reason_of(error, self.headers)) from error
            except httpx2.TimeoutException:
                why, self._unanswered = f"no response in {self.timeout_s:g} s", self._unanswered + 1
            except httpx2.HTTPError as error:
                why, self._unanswered = reason_of(error, self.headers), self._unanswered + 1
            wait_s = pause_s if wanted_s is None else wanted_s
            if self.retries.clock_s() + wait_s >= self._until_s or self._unanswered >= MAX_TIMEOUTS:
                raise UnansweredError(why)
            self.retries.on_wait(why, wait_s)
            self.retries.pause(wait_s)
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After in seconds, or as a date; None where it is neither."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.1, seconds) if seconds == seconds else None
