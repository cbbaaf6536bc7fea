"""The chunks of a reply: what each carries, which choice it is of, and whether each choice has ended. Pure.

A text may be a string or a list of typed parts, in which text, reasoning and refusals lie at any depth.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

GIVEN_UP = ("abort", "error")  # finish reasons by which a server says that it did not finish
_GOES_ON = ("null", "none")  # a finish reason of servers that write no JSON null
_REASONING = ("reasoning", "reasoning_content", "thinking", "reasoning_details")  # names of the same thing, best first
_CALLS = {"tool_calls", "function_call"}
_PART_TEXTS = ("text", "content", "thinking", "reasoning", "refusal", "summary")
_REASONING_TYPES = ("thinking", "reasoning", "redacted_thinking")
_MAX_DEPTH = 4


class Choices:
    """`finished` has the finish_reason of each choice by its index, None for one that goes on.

    `content_indices` are those of the chunks with content, in order; `ends` is whether a finish_reason came with the last
    content or after it.
    """

    def __init__(self) -> None:
        self.finished: dict[int, str | None] = {}
        self.content_indices: list[int] = []
        self.last_reason: str | None = None
        self.ends = False

    def take(self, index: int, finish_reason: object, *, carries: bool) -> None:
        """Note a chunk, which `carries` content or not. Content after a finish_reason takes it back."""
        if carries:
            self.content_indices.append(index)
            self.ends = False
        if not goes_on(finish_reason):
            self.finished[index] = self.last_reason = str(finish_reason)
            self.ends = True
        elif carries or index not in self.finished:
            self.finished[index] = None

    @property
    def reasons(self) -> list[str]:
        """The finish_reason of each choice that has one, by index."""
        return [reason for _, reason in sorted(self.finished.items()) if reason is not None]

    @property
    def given_up(self) -> str | None:
        """The finish_reason by which the server says that it did not finish a choice."""
        return next((reason for reason in self.reasons if reason in GIVEN_UP), None)

    @property
    def are_numbered_chunks(self) -> bool:
        """Whether these are the numbered chunks of one reply: no two with content share an index, and not every index ends."""
        if len(self.finished) < 2 or any(later <= earlier for earlier, later in pairwise(self.content_indices)):
            return False
        reasons = self.reasons
        return len(self.finished) > 2 if len(reasons) == len(self.finished) else self.ends or not reasons


def only_index(choice: Mapping[str, Any]) -> int:
    """The `index` of a choice where one was asked: 0 in place of what is no index."""
    index = choice.get("index")
    return index if isinstance(index, int) and index >= 0 else 0


def goes_on(finish_reason: object) -> bool:
    """Whether a chunk's finish_reason says that its choice goes on."""
    return not finish_reason or str(finish_reason).lower() in _GOES_ON


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
