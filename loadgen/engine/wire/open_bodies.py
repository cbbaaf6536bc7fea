"""Replies that are complete although their body never ends: `[DONE]` came, and what the framing promises after it did not.

`[DONE]` ends the stream by the protocol, so nothing of the reply is missing. The end of the body is still waited for, since
the connection can only be used again after it.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Protocol

from loadgen.engine.eventloop.clock import monotonic_ns

FIRST_WAIT_NS = 1_000_000_000
"""How long the end of a body is waited for until a server has left one open: longer than an overloaded server takes to write it."""

_MIN_WAIT_NS = 10_000_000
_WAITS = 4  # times the longest that a body of this server took to end

DONE_TAIL_BYTES = 64
_SAYS_DONE = re.compile(rb"[\r\n]data:[ \t]*\[DONE\][ \t]*(?:[\r\n]|$)")


def says_done(tail: bytes) -> bool:
    """Whether the stream has ended by its own word, by the last bytes of it. No JSON holds them: a line starts there."""
    return _SAYS_DONE.search(tail) is not None


class OpenBody(Protocol):
    """A connection whose reply is complete but for the end of its body."""

    def leave(self) -> None:
        """Take the reply as it is, and give up the connection."""

    def look_again(self) -> None:
        """See whether the stream has said `[DONE]` unnoticed: this server leaves bodies open."""


class OpenBodies:
    """The connections to one server that wait for the end of a body. `left_open` is how many waited in vain.

    Once a server has left a body open the others are waited for four times the longest that one took to end, and not at all
    if none has ended. One timer serves all; it is not stopped when a body ends, which most do at once.
    """

    def __init__(self, clock_ns: Callable[[], int] = monotonic_ns, first_wait_ns: int = FIRST_WAIT_NS) -> None:
        self._clock_ns = clock_ns
        self._first_wait_ns = first_wait_ns
        self._connections: set[OpenBody] = set()
        self._waiting: dict[OpenBody, int] = {}  # since when
        self._longest_ns: int | None = None  # that a body took to end after [DONE]
        self._timer: asyncio.TimerHandle | None = None
        self.left_open = 0

    @property
    def wait_ns(self) -> int:
        """How long the end of a body is waited for."""
        if not self.left_open:
            return self._first_wait_ns
        if self._longest_ns is None:
            return 0
        return min(self._first_wait_ns, max(_MIN_WAIT_NS, _WAITS * self._longest_ns))

    def connected(self, body: OpenBody) -> None:
        """Know of a connection until it is `gone`."""
        self._connections.add(body)

    def gone(self, body: OpenBody) -> None:
        self._connections.discard(body)
        self._waiting.pop(body, None)

    def add(self, body: OpenBody) -> None:
        """Wait for the end of a body whose stream has said `[DONE]`."""
        if body in self._waiting:
            return
        self._waiting[body] = self._clock_ns()
        if not self.wait_ns:
            self._leave_overdue()
        elif self._timer is None:
            self._set_timer(self.wait_ns)

    def ended(self, body: OpenBody) -> None:
        """The body has ended as its framing promised."""
        since_ns = self._waiting.pop(body, None)
        took_ns = 0 if since_ns is None else self._clock_ns() - since_ns
        self._longest_ns = max(self._longest_ns or 0, took_ns)

    def close(self) -> None:
        """Stop the timer. What was learned of the server is kept for its next run."""
        self._connections.clear()
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, wait_ns: int) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_ns / 1e9, self._leave_overdue)

    def _leave_overdue(self) -> None:
        """Leave every body that was waited for long enough; look again when the next one will have been."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_ns = self._clock_ns()
        is_first = not self.left_open
        while overdue := [body for body, since_ns in self._waiting.items() if now_ns - since_ns >= self.wait_ns]:
            for body in overdue:
                if self._waiting.pop(body, None) is not None:
                    self.left_open += 1
                    body.leave()
            for body in list(self._connections) if is_first else ():
                body.look_again()
            is_first = False
        if self._waiting and self._timer is None:
            self._set_timer(max(0, min(self._waiting.values()) + self.wait_ns - now_ns))
