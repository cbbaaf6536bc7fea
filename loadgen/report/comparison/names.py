"""The names of what is compared, cut to what differs between them; what they have in common is shown once.

`mixtral-dummy, 1024 in, 256 out` and `olmoe-dummy, 1024 in, 256 out` are `mixtral-dummy` and `olmoe-dummy`, in common
`…, 1024 in, 256 out`. Parts are compared first, then the words of a part, then the pieces of a long word.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

CUT_ABOVE_CHARACTERS = 16  # shorter names stay whole
CUT_WORDS_ABOVE_CHARACTERS = 24
MARK = "…"  # where the names differ

_PARTS = re.compile(r"(, |; |: | · | with |/+)")
_WORDS = re.compile(r"( )")
_PIECES = re.compile(r"([-_])")
_LEVELS = (  # what is cut at, and what a name must not have for that
    (_PARTS, None, CUT_ABOVE_CHARACTERS),
    (_WORDS, _PARTS, CUT_ABOVE_CHARACTERS),
    (_PIECES, re.compile(rf"{_PARTS.pattern}|{_WORDS.pattern}"), CUT_WORDS_ABOVE_CHARACTERS),
)
_BARE_NUMBER = re.compile(r"[\d.,]+")
_HOLE = "\0"


@dataclass(frozen=True, slots=True)
class ShortNames:
    """Short names by full name, in their order. `common` is empty if nothing was cut."""

    shorts: dict[str, str]
    common: str = ""

    def __getitem__(self, name: str) -> str:
        return self.shorts[name]

    def tooltip(self, name: str) -> str:
        """Return the full name if the short one differs from it, else nothing."""
        return name if self.shorts[name] != name else ""


def short_names(names: Sequence[str]) -> ShortNames:
    """Return the names cut to what differs. Names stay distinct and never become empty or a bare number."""
    shorts, common = list(names), _HOLE
    for separators, whole, above in _LEVELS:
        if len(shorts) < 2 or max(map(len, shorts)) <= above or (whole and any(map(whole.search, shorts))):
            break
        made, pattern = _cut([separators.split(name) for name in shorts])
        if len(set(made)) == len(set(names)) and all(made):
            shorts, common = made, common.replace(_HOLE, pattern)
    if shorts == list(names):
        return ShortNames({name: name for name in names})
    return ShortNames(dict(zip(names, shorts, strict=True)), common.replace(_HOLE, MARK))


def _cut(split: Sequence[list[str]]) -> tuple[list[str], str]:
    """Return what differs of each, and the whole with a hole in place of that. Separators have the odd positions."""
    if len({tuple(tokens[1::2]) for tokens in split}) == 1:
        kept = [i for i in range(0, len(split[0]), 2) if len({tokens[i] for tokens in split}) > 1]
        return _cut_positions(split, kept)
    before, after = _equal_tokens(split), _equal_tokens([tokens[::-1] for tokens in split])
    if min(map(len, split)) <= before + after:
        return ["".join(tokens) for tokens in split], _HOLE
    middles = [tokens[before : len(tokens) - after] for tokens in split]
    if before and any(_BARE_NUMBER.fullmatch(middle[0]) for middle in middles):
        before -= 2
    elif after and any(_BARE_NUMBER.fullmatch(middle[-1]) for middle in middles):
        after -= 2
    head, tail = split[0][:before], split[0][len(split[0]) - after :]
    return ["".join(tokens[before : len(tokens) - after]) for tokens in split], "".join([*head, _HOLE, *tail])


def _equal_tokens(split: Sequence[list[str]]) -> int:
    """Return how many leading tokens are equal in all, separators included; a separator ends them."""
    count = 0
    for column in zip(*split, strict=False):
        if len(set(column)) > 1:
            break
        count += 1
    return count - count % 2


def _cut_positions(split: Sequence[list[str]], differing: Sequence[int]) -> tuple[list[str], str]:
    """Return each name with the positions that differ, and the whole with holes in place of them."""
    first = split[0]
    kept = set(differing)
    for i in differing:
        if any(_BARE_NUMBER.fullmatch(tokens[i]) for tokens in split) and not {i - 2, i + 2} & kept:
            kept.add(i - 2 if i else min(i + 2, len(first) - 1))  # a number keeps the word that says of what
    shorts = [
        "".join(
            token if i == min(kept, default=0) else tokens[i - 1] + token for i, token in enumerate(tokens) if i in kept
        )
        for tokens in split
    ]
    pattern = ""
    for i in range(0, len(first), 2):
        if i not in kept:
            pattern += ("" if i == 0 else first[i - 1]) + first[i]
        elif i - 2 not in kept:
            pattern += ("" if i == 0 else first[i - 1]) + _HOLE
    return shorts, pattern
