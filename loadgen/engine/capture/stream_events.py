"""The kinds of events in a reply's stream: those that carry the reply, those that report a failure, and those that carry neither.

What carries no reply is skipped and counted by its kind, as the standard of event streams asks. Only what begins as a JSON
object and does not parse breaks the promise. Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from loadgen.engine.capture.server_message import message_of, sentence_in, states_failure
from loadgen.engine.capture.sse import SseEvent

SkippedKind = Literal["empty", "not_an_object", "no_choices", "keep_alive"]

DONE = b"[DONE]"
_KEEP_ALIVE_TYPES = frozenset({"ping", "pong", "heartbeat", "keepalive", "keep-alive", "keep_alive", "noop"})
_CARRIES = ("choices", "usage", "metrics", "time_info")

# Half the cost of json.loads, which guesses the encoding first.
_decode_json = json.JSONDecoder(strict=False).raw_decode


class NotAsPromisedError(Exception):
    """The stream carries something other than the JSON events that the protocol promises."""


@dataclass(slots=True)
class Skipped:
    """An event that carries no reply. `message` is its text where that may be a message of the server."""

    kind: SkippedKind
    message: str | None = None


@dataclass(slots=True)
class Failure:
    """An event by which the server reports that the request failed, in its own words."""

    message: str


Read = dict[str, object] | Skipped | Failure


def read_event(event: SseEvent) -> Read:
    """What one event holds. Raises NotAsPromisedError on a JSON object that does not parse."""
    data = event.data
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")  # half of a character is no reason to lose the rest
    try:
        document, end = _decode_json(text)
        if end != len(text) and text[end:].strip():
            raise ValueError
    except (ValueError, RecursionError):
        document = _read_otherwise(event, text)
        if not isinstance(document, dict):
            return document
    if not isinstance(document, dict):
        return _no_object(event, document, text)
    choices = document.get("choices")
    if choices and event.type != "error" and not document.get("error") and "error_message" not in document:
        return document
    if event.type == "error" or states_failure(document):
        return Failure(sentence_in(document) or text.strip() or "an error without a message")
    if any(document.get(key) for key in _CARRIES) or choices == []:
        return document
    kind: SkippedKind = "keep_alive" if event.type.lower() in _KEEP_ALIVE_TYPES else "no_choices"
    return Skipped(kind, sentence_in(document) if kind == "no_choices" and _may_be_message(document) else None)


def _read_otherwise(event: SseEvent, text: str) -> Read:
    """An event that is not one JSON value as it stands."""
    stripped = text.strip().lstrip("\ufeff")
    if event.type == "error":
        return Failure(message_of(event.data) or "an error without a message")
    if not stripped:
        return Skipped("empty")
    if event.type.lower() in _KEEP_ALIVE_TYPES:
        return Skipped("keep_alive")
    if not stripped.startswith("{"):
        return Skipped("not_an_object", None if stripped.startswith((":", "[")) else message_of(event.data))
    try:
        document = json.loads(stripped, strict=False)
    except (ValueError, RecursionError):
        raise NotAsPromisedError(f"an event is not JSON: {stripped[:4000]}") from None
    return document if isinstance(document, dict) else Skipped("not_an_object")


def _no_object(event: SseEvent, value: Any, text: str) -> Skipped | Failure:
    """A JSON value that is no object: a number, a text, a list; some gateways put an error into a list."""
    if event.type == "error":
        return Failure(sentence_in(value) or text.strip())
    if isinstance(value, list) and (failed := [one for one in value if isinstance(one, dict) and states_failure(one)]):
        return Failure(sentence_in(failed) or text.strip())
    if event.type.lower() in _KEEP_ALIVE_TYPES:
        return Skipped("keep_alive")
    return Skipped("not_an_object", value.strip() or None if isinstance(value, str) else None)


def _may_be_message(document: Mapping[str, object]) -> bool:
    return any(isinstance(document.get(key), str | list | dict) for key in ("message", "detail", "msg", "errors"))
