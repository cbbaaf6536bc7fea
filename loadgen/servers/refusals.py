"""Which fields of a request a refusal names: by structure (`param`, `loc`, …), else in its sentences. Pure.

Servers say it in many ways: OpenAI's `error.param`, pydantic's `detail[].loc`, "Unrecognized request argument supplied: …",
"extra inputs are not permitted". What a refusal repeats of the request names nothing.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from loadgen.engine.capture.sse import SseParser

LENGTH_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
"""The names under which the longest reply is asked for, the likeliest first."""

REFUSED_STATUSES = (400, 422)  # by which servers refuse a field
_MAX_DEPTH = 8
_PLACE = ("param", "field", "parameter", "loc", "location", "path", "instancepath", "property")
_LISTS_OF_PLACES = ("params", "fields", "parameters", "unknown_fields", "unsupported_fields", "unsupported_parameters")
_REPEATED = ("input", "body", "request", "request_body", "ctx", "url", "received", "value")  # what we have sent
_REQUEST_FIELDS = ("model", "messages", "prompt", "stream", "n")
# After these words a sentence lists what is known, and not what is refused.
_KNOWN = re.compile(
    r"(?:expected (?:one of|any of)|(?:allowed|supported|valid|known|accepted|permitted) (?:fields|parameters|params|keys|arguments|options))"
    r"\W[^\n]*",
    re.IGNORECASE,
)
_AT_LEAST = re.compile(
    r"(?:at least|minimum(?: value)?(?: of| is|:)?|greater than or equal to|>=|below)\D{0,20}(\d{1,4})(?![\d.])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an endpoint said against a request.

    `fields` are the sent ones that it names. `instead` are names of a length that it asks for, and `at_least` the shortest length
    that it takes. `other_fields` is whether it names a field that is no option, such as the model.
    """

    fields: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    at_least: int | None = None
    other_fields: tuple[str, ...] = ()


def read_refusal(content: bytes, sent: Collection[str]) -> Refusal:
    """What `content`, the body of a refusal, says against the optional fields in `sent` (`outer.inner` inside another)."""
    documents = documents_of(content)
    places: list[str] = []
    sentences: list[str] = []
    for document in documents:
        for kind, text in _places_and_sentences(document, 0):
            (places if kind == "place" else sentences).append(text)
    if not documents:
        sentences = [content.decode("utf-8", "replace")]
    text = "\n".join(sentences)
    refused = _KNOWN.sub("", text)
    located = [field for place in places if (field := _at_place(place, sent)) is not None]
    ends = {segments[-1] for place in places if (segments := _segments(place))}
    others = tuple(name for name in _REQUEST_FIELDS if name in ends)
    named = located or ([] if others else [field for field in sent if _names(refused, _leaf(field))])
    inner = {field.partition(".")[0] for field in named if "." in field}
    least = _AT_LEAST.search(text)
    return Refusal(
        fields=tuple(dict.fromkeys(field for field in named if field not in inner)),
        instead=tuple(
            name
            for name in LENGTH_FIELDS
            if name not in sent and (_names(text, name) or any(name in _segments(place) for place in places))
        ),
        at_least=int(least[1]) if least else None,
        other_fields=() if located else others,
    )


def documents_of(content: bytes) -> list[Any]:
    """The JSON documents in a response: the whole of it, or those of its events."""
    try:
        return [json.loads(content)]
    except (ValueError, RecursionError):
        pass
    found = []
    for event in SseParser().feed(content + b"\n\n"):
        try:
            found.append(json.loads(event.data))
        except (ValueError, RecursionError):
            continue  # [DONE], and whatever the run will call a bad response
    return found


def _places_and_sentences(value: Any, depth: int) -> Iterator[tuple[str, str]]:
    """The places and sentences anywhere in a document, but for what it repeats of the request."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, str):
        yield "sentence", value
        if value.lstrip()[:1] in ("{", "["):  # gateways put the document of another server into a sentence
            for document in _inner_document(value):
                yield from _places_and_sentences(document, depth + 1)
    elif isinstance(value, list):
        for each in value[:100]:
            yield from _places_and_sentences(each, depth + 1)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key.lower() in _PLACE and isinstance(each, str | list):
                steps = [each] if isinstance(each, str) else [str(step) for step in each]
                yield "place", ".".join(steps)
            elif key.lower() in _LISTS_OF_PLACES and isinstance(each, list):
                yield from (("place", place) for place in each if isinstance(place, str))
            elif key.lower() not in _REPEATED:
                yield from _places_and_sentences(each, depth + 1)


def _inner_document(text: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        return []


def _segments(place: str) -> list[str]:
    return [segment for segment in re.split(r"[^A-Za-z0-9_-]+", place) if segment]


def _at_place(place: str, sent: Collection[str]) -> str | None:
    """The innermost sent field that a place names."""
    segments = [segment.replace("-", "_").lower() for segment in _segments(place)]
    for segment in reversed(segments):
        for field in sent:
            if segment in (_leaf(field), _leaf(field).replace("_", "")):
                return field
    return None


def _leaf(field: str) -> str:
    return field.rpartition(".")[2]


def _names(text: str, name: str) -> bool:
    """Whether a sentence names a field, spelled in whatever way: max_tokens, maxTokens, "max tokens"."""
    pattern = r"[_\s-]?".join(re.escape(word) for word in name.split("_"))
    return re.search(rf"(?<![A-Za-z0-9_]){pattern}(?![A-Za-z0-9]|_[a-z])", text, re.IGNORECASE) is not None
