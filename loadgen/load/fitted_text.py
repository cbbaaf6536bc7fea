"""Texts of about the lengths asked, by a line through what the server reported, and of just those lengths on average."""

import numpy as np

from loadgen.load.length_fit import LengthFit

_SPACE = " "


class FittedTexts:
    """Makes texts by `fit`, each unlike the others.

    What one text is too long or too short by, the next one makes up for. The words are drawn as from a deck of cards, so
    that all are used equally often: a run costs what the vocabulary costs on average.
    """

    def __init__(self, fit: LengthFit, rng: np.random.Generator):
        self._fit = fit
        self._rng = rng
        self._deck: list[int] = []
        self._owed_tokens = 0.0

    def text(self, length: int, prefix: str | None = None) -> str:
        """A text of about `length` tokens, of one word at least after `prefix`, which stands first and counts."""
        wanted = self._fit.size_of_tokens(length + self._owed_tokens)
        before = [] if prefix is None else prefix.split()
        words = self._of_words(wanted, before) if self._fit.unit == "words" else self._of_characters(wanted, before)
        text = _SPACE.join([*before, *words])
        owed = self._owed_tokens + length - self._fit.tokens_of_size(self._fit.size_of(text))
        # Where the template alone is too long, nothing can be made up for.
        limit = max(1.0, self._fit.tokens_per_word)
        self._owed_tokens = min(limit, max(-limit, owed))
        return text

    def _of_words(self, wanted: float, before: list[str]) -> list[str]:
        return [self._draw() for _ in range(max(1, round(wanted) - len(before)))]

    def _of_characters(self, wanted: float, before: list[str]) -> list[str]:
        """Drawn words, and last those of the vocabulary that come closest to `wanted` characters."""
        lengths = sorted({len(word) for word in self._fit.vocabulary})
        left = wanted - sum(len(word) + 1 for word in before) + 1  # the first word has no space before it
        words: list[str] = []
        while left > 2 * (lengths[-1] + 1):
            words.append(self._draw())
            left -= len(words[-1]) + 1
        while True:
            closest = min(lengths, key=lambda length: abs(left - length - 1))
            if words and abs(left - closest - 1) >= abs(left):
                return words
            words.append(self._draw(closest))
            left -= closest + 1

    def _draw(self, characters: int | None = None) -> str:
        """The next word of the deck, or any of that many characters."""
        vocabulary = self._fit.vocabulary
        if characters is not None:
            alike = [word for word in vocabulary if len(word) == characters]
            return alike[int(self._rng.integers(len(alike)))]
        if not self._deck:
            self._deck = self._rng.permutation(len(vocabulary)).tolist()
        return vocabulary[self._deck.pop()]
