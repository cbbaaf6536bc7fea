"""How many tokens each content chunk of a reply carried, from what its chunks and its usage say. Pure.

A source that the server's own sum contradicts is no source. A sum that is more than what arrived can hold, or less than the
chunks that arrived, says nothing of what was seen.
"""

from dataclasses import dataclass

from loadgen.engine.records.record import UNKNOWN_TOKENS, CountedBy

Counts = list[int | None]

_MAX_TOKENS_WITHOUT_TEXT = 16
"""In a first chunk: marks of a template, which some servers count and do not send. More than that is hidden reasoning."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What arrived of a reply: by chunk the tokens that its ids and the running usage report, and the bytes of its text."""

    from_token_ids: Counts
    from_usage: Counts
    text_bytes: list[int]
    has_reasoning: bool
    choices: int


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens by chunk, who counted them, and the sum, including `hidden_tokens` that did not arrive (-1: unknown)."""

    by_chunk: list[int]
    counted_by: CountedBy
    output_tokens: int | None
    hidden_tokens: int = 0


def count_tokens(seen: Seen, total: int | None, reasoning_tokens: int) -> TokenCounts:
    """The best account of the tokens of a reply. `total` is the server's sum; `reasoning_tokens` of it are for reasoning."""
    chunks = len(seen.from_token_ids)
    if total == 0 and chunks:
        return TokenCounts([1] * chunks, CountedBy.ASSUMED, chunks, UNKNOWN_TOKENS)
    hidden = 0 if seen.has_reasoning else reasoning_tokens
    told = None if total is None else total - hidden
    for source, counted_by in ((seen.from_token_ids, CountedBy.TOKEN_IDS), (seen.from_usage, CountedBy.USAGE)):
        counts = [count for count in source if count is not None]
        if counts and len(counts) == len(source):
            if total in (None, sum(counts)):
                missing = _missing_in_first(seen, hidden) if counted_by is CountedBy.USAGE else 0
                if missing == UNKNOWN_TOKENS:
                    return TokenCounts([1] * chunks, CountedBy.ASSUMED, sum(counts), UNKNOWN_TOKENS)
                return TokenCounts([counts[0] - missing, *counts[1:]], counted_by, sum(counts), missing)
            if hidden and told == sum(counts):
                return TokenCounts(counts, counted_by, total, hidden)
    ones = [1] * chunks
    if total is None or told is None:
        return TokenCounts(ones, CountedBy.ASSUMED, chunks or None)
    if told == chunks:
        return TokenCounts(ones, CountedBy.USAGE if chunks else CountedBy.ASSUMED, total, hidden)
    # A token has at least one byte of text, but for the one by which each choice ends.
    possible = chunks <= told <= max(sum(seen.text_bytes), chunks) + seen.choices
    return TokenCounts(ones, CountedBy.ASSUMED, total, hidden if possible else UNKNOWN_TOKENS)


def _missing_in_first(seen: Seen, hidden: int) -> int:
    """Tokens that the running usage counts in the first chunk and that came before it unseen; -1 if their number is unknown."""
    counted, arrived = seen.from_usage[0] or 0, seen.from_token_ids[0]
    if 0 < hidden < counted:
        return hidden
    if seen.choices > 1 or counted <= seen.text_bytes[0] + _MAX_TOKENS_WITHOUT_TEXT:
        return 0
    return counted - arrived if arrived and arrived < counted else UNKNOWN_TOKENS
