"""What was generated in one chunk of a reply: its text, and how much of it there is. Pure.

A text may be a string or a list of typed parts, in which text, reasoning and refusals lie at any depth.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_REASONING = ("reasoning", "reasoning_content", "thinking", "reasoning_details")  # names of the same thing, best first
_CALLS = {"tool_calls", "function_call"}
_PART_TEXTS = ("text", "content", "thinking", "reasoning", "refusal", "summary")
_REASONING_TYPES = ("thinking", "reasoning", "redacted_thinking")
_MAX_DEPTH = 4


def content_bytes(choice: Mapping[str, object]) -> int:
    """How many bytes of UTF-8 a choice carries of anything generated; 0 for a role alone, an empty delta or a call's id."""
    text = choice.get("text")
    if text and isinstance(text, str):
        return _size(text)
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        delta = choice.get("message")  # a whole reply in the place of a chunk
        if not isinstance(delta, dict):
            return _size(_text(text)) if text else 0
    content = delta.get("content")
    size = (_size(content) if isinstance(content, str) else _size(_text(content))) if content else 0
    if len(delta) == 1 and "content" in delta:
        return size
    size += _size(_reasoning(delta))
    if refusal := delta.get("refusal"):
        size += _size(_text(refusal))
    return size + (_size(_calls_text(delta)) if delta.keys() & _CALLS else 0)


def is_reasoning(choice: Mapping[str, object]) -> bool:
    """Whether a choice carries reasoning, so that reasoning is not hidden from us."""
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return False
    content = delta.get("content")
    in_parts = isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") in _REASONING_TYPES for part in content
    )
    return in_parts or bool(_reasoning(delta))


def text_of(choice: Mapping[str, object]) -> str:
    """Everything generated in a choice, as one text: reasoning, text, refusal, names and arguments of calls."""
    if text := choice.get("text"):
        return _text(text)
    delta = choice.get("delta", choice.get("message"))
    if not isinstance(delta, dict):
        return ""
    parts = (_reasoning(delta), _text(delta.get("content")), _text(delta.get("refusal")), _calls_text(delta))
    return "".join(parts)


def text_for_next_turn(choice: Mapping[str, object]) -> str:
    """The text of a chat's choice that is sent back in the next turn: no reasoning, no refusal and no call."""
    delta = choice.get("delta", choice.get("message"))
    return _text(delta.get("content"), with_reasoning=False) if isinstance(delta, dict) else ""


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _reasoning(delta: Mapping[str, object]) -> str:
    """Some servers send the same reasoning under several names: the first that has any."""
    if delta.keys().isdisjoint(_REASONING):
        return ""
    return next((text for name in _REASONING if (text := _text(delta.get(name)))), "")


def _text(value: Any, with_reasoning: bool = True) -> str:
    """The text of a content, be it a string or parts."""
    return value if isinstance(value, str) else "".join(_texts(value, with_reasoning, 0))


def _texts(value: Any, with_reasoning: bool, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth > _MAX_DEPTH:
        return
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, with_reasoning, depth + 1)
    elif isinstance(value, dict):
        if not with_reasoning and value.get("type") in _REASONING_TYPES:
            return
        key = next((name for name in _PART_TEXTS if value.get(name)), None)
        if key is not None and (with_reasoning or key in ("text", "content")):
            yield from _texts(value[key], with_reasoning, depth + 1)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _calls_text(delta: Mapping[str, object]) -> str:
    """Names and arguments in the calls of a delta; ids and types are the server's own, not the model's."""
    calls = delta.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    functions.append(delta.get("function_call"))
    parts = [function.get(key) for function in functions if isinstance(function, dict) for key in ("name", "arguments")]
    return "".join(part for part in parts if isinstance(part, str))
