"""The token counts that a server reports for one request, in all known spellings. Pure; imports nothing of the project."""

from dataclasses import dataclass
from typing import Any

_MAX_TOKENS = 2**31


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server reported them; None where it did not. `output_tokens` include `reasoning_tokens`."""

    prompt_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int = 0


def read_usage(usage: dict[str, Any]) -> Usage:
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


def usage_of(document: dict[str, Any], choices: list[Any]) -> dict[str, Any] | None:
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
