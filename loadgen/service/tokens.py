"""Who may ask for something: the token, the sessions of those who logged in with it, and a limit on guesses.

Of the token only a digest is kept, of a session only a digest too, and neither is ever shown.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping

from loadgen.errors import UsageError

MIN_TOKEN_CHARACTERS = 16
SESSION_S = 12 * 3600.0
MAX_SESSIONS = 1_000
MAX_FAILURES, FAILURES_WITHIN_S = 10, 60.0
_MAX_ADDRESSES = 1_024


class Token:
    """The secret which whoever may submit has."""

    def __init__(self, secret: str) -> None:
        self._digest = _digest(secret)

    @classmethod
    def from_environment(cls, name: str, environ: Mapping[str, str]) -> "Token":
        """The token in the environment variable of that name. Raises UsageError when there is none that is good enough."""
        secret = environ.get(name, "").strip()
        if not secret:
            raise UsageError(
                f"the environment variable {name}, named by --token-env, is not set; make a token with `openssl rand -hex 32`"
            )
        if len(secret) < MIN_TOKEN_CHARACTERS or not secret.isascii() or not secret.isprintable() or " " in secret:
            raise UsageError(
                f"the environment variable {name} holds no token of at least {MIN_TOKEN_CHARACTERS} plain characters; "
                "make one with `openssl rand -hex 32`"
            )
        return cls(secret)

    def matches(self, given: str) -> bool:
        """Whether this is it; how long the comparison takes tells nothing."""
        return hmac.compare_digest(self._digest, _digest(given))


class LoginSessions:
    """Those who logged in with a browser, in this process's memory: a restart logs everybody out."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._until_s: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self) -> str:
        """A new session's name, for a cookie."""
        name = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._until_s) >= MAX_SESSIONS:
                self._until_s.popitem(last=False)
            self._until_s[_digest(name)] = self._clock_s() + SESSION_S
        return name

    def has(self, name: str | None) -> bool:
        if name is None:
            return False
        with self._lock:
            return self._until_s.get(_digest(name), 0.0) > self._clock_s()

    def end(self, name: str | None) -> None:
        if name is not None:
            with self._lock:
                self._until_s.pop(_digest(name), None)


class Failures:
    """Counts wrong tokens by the address that they came from, and says when one has to wait."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._at_s: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, address: str) -> None:
        with self._lock:
            while len(self._at_s) >= _MAX_ADDRESSES and address not in self._at_s:
                self._at_s.popitem(last=False)
            self._at_s.setdefault(address, deque(maxlen=MAX_FAILURES)).append(self._clock_s())
            self._at_s.move_to_end(address)

    def wait_s(self, address: str) -> float:
        """How long this address has to wait before its next token is looked at; 0 when it need not."""
        with self._lock:
            at_s = self._at_s.get(address)
            if at_s is None or len(at_s) < MAX_FAILURES:
                return 0.0
            return max(0.0, at_s[0] + FAILURES_WITHIN_S - self._clock_s())


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
