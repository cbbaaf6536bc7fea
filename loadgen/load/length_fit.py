"""How many tokens a text costs on a server that reports usage and has no `/tokenize`: a line through what it reported,
and texts of the lengths asked by that line.

Pure. Texts are words with single spaces between them, so that a text is a number of words and a number of characters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

WORDS = tuple(
    (
        "able about above account act after again air all also and animal answer area arm ask back bank base bird blue boat body "
        "book both box bread bridge bring build call camp car care case cat cause cell change child city class clear cloud coast "
        "cold color come common corn cost could count cover cross dark day deep desk dog door draw dream drive dry earth east eat "
        "edge end engine even every eye face fact fall farm fast field fine fire first fish floor flow follow food foot form four "
        "free fresh front full garden gate give glass gold good grain grass great green ground group grow half hand hard harbor "
        "head hear heat help high hill hold home horse hot hour house ice idea inch iron island join keep key kind king lake land "
        "large last late law lead leaf learn left letter level lift light line list little live long look low lunch machine made "
        "main map mark market meal mean metal middle mile milk mind mine model moon more morning most mother move much music name "
        "near need night north note number ocean office oil old only open orange order other over page paint paper park part pass "
        "path pay people piece place plain plan plant play point port power press quick quiet rain reach read red rest rice ride "
        "right ring rise river road rock room root round rule run salt sand school sea seat second seed ship shop short show side "
        "sign silver simple sing sky sleep slow small snow soft song sound south space speak spring stand star start state steel "
        "step stone store story street strong sugar sum summer sun table tail take talk tall teach ten test thing three time tire "
        "top town track trade train travel tree true turn two under unit valley value view visit voice wait walk wall warm watch "
        "water wave way week well west wheel white wide wind winter wire wood word work world write yard year yellow young zone"
    ).split()
)
"""Words of three to seven letters, most of which are one token each in the vocabularies in use."""

COMMON_WORDS = tuple(
    (
        "the of and to in is that for it as was with be by on not he this are or from at which but have an they you were "
        "their one all we can there been if more when will would so no other its may these them than some time into only "
        "do first any now such like over me"
    ).split()
)
"""The most frequent words of English: a token each, or nearly so, even in small vocabularies."""

_SPACE = " "

Unit = Literal["words", "characters"]
Source = Literal["assumed", "usage", "uncounted"]

_EVEN_TOKENS = 1.0
"""A fit is even when it misses no sample by this much: then every word costs the same, or every character does."""
_KEPT_RATIO = 0.005
_MIN_SENT_FOR_SPREAD = 4
_WORD_SPREAD_RATIO = 0.35  # of what a word costs, where too few prompts were sent to tell
_MAX_SHIFT_RATIO = 0.5  # beyond it the server counts something other than the prompt
_MIN_TOKENS_PER_WORD = 0.05
_MAX_TOKENS_PER_WORD = 32.0


@dataclass(frozen=True, slots=True)
class LengthSample:
    """A text that was sent, and the prompt tokens that the server reported for it."""

    words: int
    characters: int
    tokens: int

    @classmethod
    def of(cls, text: str, tokens: int) -> "LengthSample":
        """The sample of `text`."""
        return cls(len(text.split()), len(text), tokens)

    def size(self, unit: Unit) -> int:
        """Its words or its characters."""
        return self.words if unit == "words" else self.characters


@dataclass(frozen=True, slots=True)
class LengthFit:
    """Prompt tokens = `template_tokens` + `tokens_per_unit` × words or characters.

    `template_tokens` is what the server adds to every prompt; it is below 0 where the first word costs less than the others.
    `vocabulary` are the words that the line holds for. `source` is `assumed` before the server has reported anything but the
    template, and `uncounted` where its counts do not grow with the text: a token a word in both.
    """

    unit: Unit = "words"
    template_tokens: float = 0.0
    tokens_per_unit: float = 1.0
    vocabulary: tuple[str, ...] = WORDS
    source: Source = "assumed"

    def tokens_of_size(self, size: float) -> float:
        """Prompt tokens of a text of that many words or characters."""
        return self.template_tokens + self.tokens_per_unit * size

    def size_of_tokens(self, tokens: float) -> float:
        """Words or characters of a text of `tokens` prompt tokens; below 1 where the template alone has more."""
        return (tokens - self.template_tokens) / self.tokens_per_unit

    @property
    def tokens_per_word(self) -> float:
        """What another word of the vocabulary costs on average, with its space."""
        if self.unit == "words":
            return self.tokens_per_unit
        return self.tokens_per_unit * (1 + sum(map(len, self.vocabulary)) / len(self.vocabulary))

    @property
    def min_tokens(self) -> int:
        """The fewest tokens that a prompt of one word can have."""
        size = 1 if self.unit == "words" else min(map(len, self.vocabulary))
        return max(1, round(self.tokens_of_size(size)))

    def to_json(self) -> dict[str, object]:
        """What the run document's `lengths.prompt_tokens` says of it."""
        return {
            "fitted_by": self.source,
            "template_tokens": round(self.template_tokens, 3),
            "tokens_per_word": round(self.tokens_per_word, 4),
            "min_tokens": self.min_tokens,
        }


def assumed(template_tokens: int | None) -> LengthFit:
    """The fit before anything else is known: a token a word, and the template."""
    return LengthFit(template_tokens=float(template_tokens or 0))


def fit_of_all_words(single: LengthSample, every: LengthSample) -> LengthFit | None:
    """The fit by one word and by every word of `WORDS` once, if each word or each character costs the same whole number."""
    for unit in ("words", "characters"):
        units = every.size(unit) - single.size(unit)
        each, rest = divmod(every.tokens - single.tokens, units)
        if rest == 0 and each >= 1:
            return LengthFit(unit, single.tokens - each * single.size(unit), each, WORDS, "usage")
    return None


def fit_of_common_words(samples: Sequence[LengthSample], every: LengthSample | None = None) -> LengthFit | None:
    """The fit by texts that each hold every word of `COMMON_WORDS` equally often; `every` is one of all words.

    By words or by characters, whichever misses the samples, `every` among them, by less. The vocabulary is that of all words
    where the fit holds for them too. None if the server's counts do not grow with the text.
    """
    fits = [fit for unit in ("words", "characters") if (fit := _line(unit, samples)) is not None]
    if not fits:
        return None
    checked = [*samples, *([] if every is None else [every])]
    best = min(fits, key=lambda fit: max(_misses(fit, checked)))
    if every is not None and max(_misses(best, checked)) < _EVEN_TOKENS:
        return replace(best, vocabulary=WORDS)
    return best


def corrected(fit: LengthFit, sent: Sequence[LengthSample]) -> LengthFit:
    """`fit`, moved onto the mean of `sent`: prompts that were made by it.

    A fit that was assumed gets its tokens per word from them. One that usage made is shifted, unless it is right within
    the spread of the prompts. It stays where the server's counts have nothing to do with the prompts.
    """
    if not sent or fit.source == "uncounted":
        return fit
    tokens = np.array([sample.tokens for sample in sent], np.float64)
    sizes = np.array([sample.size(fit.unit) for sample in sent], np.float64)
    mean_tokens, mean_size = float(tokens.mean()), float(sizes.mean())
    missed = tokens - (fit.template_tokens + fit.tokens_per_unit * sizes)
    shift = float(missed.mean())
    words = float(np.mean([sample.words for sample in sent]))
    if len(sent) >= _MIN_SENT_FOR_SPREAD:
        spread = float(missed.std(ddof=1)) / len(sent) ** 0.5
    else:
        is_even = fit.vocabulary == WORDS  # all words, or all characters, cost the same, as far as is known
        spread = 0.0 if is_even else _WORD_SPREAD_RATIO * fit.tokens_per_word * (words / len(sent)) ** 0.5
    if abs(shift) <= max(_KEPT_RATIO * mean_tokens, spread):
        return replace(fit, source="usage")
    if fit.source == "assumed":
        return _steeper(fit, mean_size, mean_tokens)
    if abs(shift) > _MAX_SHIFT_RATIO * mean_tokens:
        return fit
    return replace(fit, template_tokens=fit.template_tokens + shift)


def _steeper(fit: LengthFit, mean_words: float, mean_tokens: float) -> LengthFit:
    """The line through what one word costs by `fit` and the mean of what was sent; else through no words and that mean."""
    if mean_words > 1:
        one = fit.tokens_of_size(1)
        each = (mean_tokens - one) / (mean_words - 1)
        if _MIN_TOKENS_PER_WORD < each < _MAX_TOKENS_PER_WORD:
            return replace(fit, template_tokens=one - each, tokens_per_unit=each, source="usage")
    return replace(fit, template_tokens=mean_tokens - mean_words, source="usage") if mean_words <= 1 else fit


def _line(unit: Unit, samples: Sequence[LengthSample]) -> LengthFit | None:
    """The line of least squares, None where it does not rise."""
    sizes = np.array([sample.size(unit) for sample in samples], np.float64)
    tokens = np.array([sample.tokens for sample in samples], np.float64)
    off_mean = sizes - sizes.mean()
    if not off_mean.any():
        return None
    each = float((off_mean * tokens).sum() / (off_mean**2).sum())
    fit = LengthFit(unit, float(tokens.mean()) - each * float(sizes.mean()), each, COMMON_WORDS, "usage")
    return fit if _MIN_TOKENS_PER_WORD < fit.tokens_per_word < _MAX_TOKENS_PER_WORD else None


def _misses(fit: LengthFit, samples: Sequence[LengthSample]) -> list[float]:
    return [abs(sample.tokens - fit.tokens_of_size(sample.size(fit.unit))) for sample in samples]


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
        size = LengthSample.of(text, length).size(self._fit.unit)
        owed = self._owed_tokens + length - self._fit.tokens_of_size(size)
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
