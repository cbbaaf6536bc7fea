"""Correcting text prompts by the server's tokenizer, for a bounded time, or by what is known of its template. Imports no room.

A prompt takes about three questions to `/tokenize`: a millisecond each on a free server, a hundred on a distant one.
"""

import time
from collections.abc import Callable

FITTING_LIMIT_S = 60.0


class BoundedCounter:
    """Counts tokens by `count` until this has taken `FITTING_LIMIT_S` in all; from then on it counts no more.

    Callable: text -> tokens, None once the time is up. `on_limit` is told once, when the limit is passed; the texts after
    it are of about the length asked, and the server's counts say how long they were.
    """

    def __init__(
        self,
        count: Callable[[str], int],
        on_limit: Callable[[], None],
        clock_s: Callable[[], float] = time.monotonic,
    ):
        self._count = count
        self._on_limit = on_limit
        self._clock_s = clock_s
        self._spent_s = 0.0

    def __call__(self, text: str) -> int | None:
        """The tokens of `text`, or None once the time is up."""
        if self._spent_s >= FITTING_LIMIT_S:
            return None
        began_s = self._clock_s()
        tokens = self._count(text)
        self._spent_s += self._clock_s() - began_s
        if self._spent_s >= FITTING_LIMIT_S:
            self._on_limit()
        return tokens


class WordCounter:
    """Counts a token for each word, and the `template_tokens` that the server adds to every prompt: for one without `/tokenize`.

    The words of our prompts are common ones, a token each in the vocabularies in use; the server's own usage says how long each
    prompt was in the end.
    """

    def __init__(self, template_tokens: int):
        self._template_tokens = template_tokens

    def __call__(self, text: str) -> int:
        """About the tokens of `text`."""
        return self._template_tokens + len(text.split())
