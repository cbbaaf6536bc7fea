"""The token counts that a server reports for a request, in all known spellings, and those of each chunk made of them. Pure.

A source that the server's own sum contradicts is no source. A sum that is more than what arrived can hold, or less than the
chunks that arrived, says nothing of what came.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from loadgen.engine.records.record import UNKNOWN_TOKENS, CountedBy

_MAX_TOKENS = 2**31

_MAX_TOKENS_WITHOUT_TEXT = 16
"""In a first chunk: marks of a template, which some servers count and do not send. More than that is hidden reasoning."""


@dataclass(slots=True)
class Arrived:
    """What arrived of a reply: by chunk the tokens that its ids and the running usage report, and the bytes of its text."""

    from_token_ids: list[int | None] = field(default_factory=list)
    from_usage: list[int | None] = field(default_factory=list)
    text_bytes: list[int] = field(default_factory=list)
    has_reasoning: bool = False
    choices: int = 1


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens by chunk, who counted them, and the sum, including `hidden_tokens` that did not arrive (-1: unknown)."""

    by_chunk: list[int]
    counted_by: CountedBy
    output_tokens: int | None
    hidden_tokens: int = 0


def count_tokens(arrived: Arrived, total: int | None, reasoning_tokens: int) -> TokenCounts:
    """The best account of the tokens of a reply. `total` is the server's sum; `reasoning_tokens` of it are for reasoning."""
    chunks = len(arrived.from_token_ids)
    if total == 0 and chunks:
        return TokenCounts([1] * chunks, CountedBy.ASSUMED, chunks, UNKNOWN_TOKENS)
    hidden = 0 if arrived.has_reasoning else reasoning_tokens
    visible = None if total is None else total - hidden
    for source, counted_by in ((arrived.from_token_ids, CountedBy.TOKEN_IDS), (arrived.from_usage, CountedBy.USAGE)):
        counts = [count for count in source if count is not None]
        if counts and len(counts) == len(source):
            if total in (None, sum(counts)):
                missing = _missing_in_first(arrived, hidden) if counted_by is CountedBy.USAGE else 0
                if missing == UNKNOWN_TOKENS:
                    return TokenCounts([1] * chunks, CountedBy.ASSUMED, sum(counts), UNKNOWN_TOKENS)
                return TokenCounts([counts[0] - missing, *counts[1:]], counted_by, sum(counts), missing)
            if hidden and visible == sum(counts):
                return TokenCounts(counts, counted_by, total, hidden)
    ones = [1] * chunks
    if total is None or visible is None:
        return TokenCounts(ones, CountedBy.ASSUMED, chunks or None)
    if visible == chunks:
        return TokenCounts(ones, CountedBy.USAGE if chunks else CountedBy.ASSUMED, total, hidden)
    # A token has at least one byte of text, but for the one by which each choice ends.
    possible = chunks <= visible <= max(sum(arrived.text_bytes), chunks) + arrived.choices
    return TokenCounts(ones, CountedBy.ASSUMED, total, hidden if possible else UNKNOWN_TOKENS)


def _missing_in_first(arrived: Arrived, hidden: int) -> int:
    """Tokens that the running usage counts in the first chunk and that came before it unseen; -1 if their number is unknown."""
    counted, listed = arrived.from_usage[0] or 0, arrived.from_token_ids[0]
    if 0 < hidden < counted:
        return hidden
    if arrived.choices > 1 or counted <= arrived.text_bytes[0] + _MAX_TOKENS_WITHOUT_TEXT:
        return 0
    return counted - listed if listed and listed < counted else UNKNOWN_TOKENS


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server reported them; None where it did not. `output_tokens` include `reasoning_tokens`."""

    prompt_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int = 0


def read_usage(usage: Mapping[str, object]) -> Usage:
    """The counts in a usage object.

    Some servers count reasoning beside the completion and not in it, which their total shows.
    """
    prompt = count(usage.get("prompt_tokens", usage.get("input_tokens")))
    output = count(usage.get("completion_tokens", usage.get("output_tokens")))
    details = usage.get("completion_tokens_details", usage.get("output_tokens_details"))
    reasoning = count(details.get("reasoning_tokens")) if isinstance(details, dict) else None
    if reasoning is None:
        reasoning = count(usage.get("reasoning_tokens"))
    reasoning = reasoning or 0
    if reasoning and output is not None:
        total = count(usage.get("total_tokens"))
        if total is not None and prompt is not None and total == prompt + output + reasoning:
            output += reasoning
    return Usage(prompt, output, reasoning)


def usage_of(document: Mapping[str, object], choices: list[Any]) -> Mapping[str, object] | None:
    """The usage object of a chunk, which some servers put into its choice."""
    usage = document.get("usage")
    if isinstance(usage, dict):
        return usage
    for choice in choices:
        if isinstance(choice, dict) and isinstance(within := choice.get("usage"), dict):
            return within
    return None


def count(value: object) -> int | None:
    """A number of tokens, which may be written as 8, 8.0 or "8"; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float):
        if not value.is_integer():  # nan and inf neither
            return None
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < _MAX_TOKENS else None
