"""The sentence in which a server reports what went wrong, wherever it put it. Pure.

Servers and gateways differ in the key (`error`, `message`, `detail` and others), in the nesting, and in the wrapping: a JSON
document, an event stream that holds one, a page of HTML, plain text.
"""

import html
import json
import re
from collections.abc import Mapping
from typing import Any

MAX_MESSAGE_CHARACTERS = 4000  # secrets are hidden in it before it is cut to the length shown

_MAX_DEPTH = 6
# The first of these that leads to a sentence. Containers come first: what stands beside them is often a bare status.
_SENTENCE_KEYS = (
    "error", "errors", "message", "detail", "details", "error_message", "errorMessage", "error_msg", "errmsg", "msg",
    "error_description", "description", "reason", "title", "response", "type", "code", "status", "error_type", "error_code",
)  # fmt: skip
_CASE_FOLDED_KEYS = {key.lower() for key in _SENTENCE_KEYS}
_STATES_FAILURE = (
    "error",
    "errors",
    "error_message",
    "errorMessage",
    "error_msg",
    "errmsg",
    "error_type",
    "error_code",
)
_FAILED_STATUS = ("error", "failed", "failure", "fail", "failed_precondition")
_IN_CUT_JSON = re.compile(r'"(?:message|detail|error_message|error|msg)"\s*:\s*("(?:[^"\\]|\\.)*")')
_DIGITS = re.compile(r"[0-9]{1,9}")
_HTML_TITLE = re.compile(r"<title\b[^<>]*>([^<]*)</title", re.IGNORECASE)
_HTML_HIDDEN = re.compile(r"<(script|style)\b", re.IGNORECASE)
_HTML_HIDDEN_ENDS = {name: re.compile(rf"</{name}\b[^<>]*>", re.IGNORECASE) for name in ("script", "style")}
_HTML_TAG = re.compile(r"<[^<>]*>")


def message_of(body: bytes) -> str | None:
    """The server's own sentence in the body of a failing reply; None if there is none."""
    text = body[: 16 * MAX_MESSAGE_CHARACTERS].decode("utf-8", "replace").lstrip("\ufeff").strip()
    if not text:
        return None
    for candidate in (text, *_event_data(text)):
        document = parsed_json(candidate)
        if isinstance(document, dict | list) and (sentence := sentence_in(document)) is not None:
            return sentence
    if text[0] in "{[" and (cut := _IN_CUT_JSON.search(text)) is not None:
        return _tidy(str(parsed_json(cut.group(1)) or cut.group(1).strip('"')))
    if text[0] == "<":
        title = _HTML_TITLE.search(text)
        return _tidy(html.unescape(title[1] if title is not None else _HTML_TAG.sub(" ", _without_scripts(text))))
    return _tidy(text)


def _without_scripts(page: str) -> str:
    """A page of HTML without its scripts and styles, read once from its beginning to its end, whatever is not closed."""
    kept: list[str] = []
    at = 0
    while (begins := _HTML_HIDDEN.search(page, at)) is not None:
        kept.append(page[at : begins.start()])
        ends = _HTML_HIDDEN_ENDS[begins[1].lower()].search(page, begins.end())
        at = len(page) if ends is None else ends.end()
    return " ".join([*kept, page[at:]])


def sentence_in(document: Any, depth: int = 0) -> str | None:
    """The sentence in a parsed document that reports a failure; None when there is none."""
    if depth > _MAX_DEPTH or document is None or isinstance(document, bool):
        return None
    if isinstance(document, str):
        inner = parsed_json(document) if document.lstrip()[:1] in ("{", "[") else None  # a gateway quotes its upstream
        nested = sentence_in(inner, depth + 1) if isinstance(inner, dict | list) else None
        return nested or _tidy(document)
    if isinstance(document, list):
        return next((found for each in document[:8] if (found := sentence_in(each, depth + 1))), None)
    if not isinstance(document, dict):
        return str(document)
    folded = {str(key).lower(): value for key, value in document.items()}
    for key in _SENTENCE_KEYS:
        value = document.get(key, folded.get(key.lower()))
        if value and (found := sentence_in(value, depth + 1)) is not None:
            return found
    if document and depth and not (folded.keys() & _CASE_FOLDED_KEYS):
        return _tidy(json.dumps(document, ensure_ascii=False))
    return None


def states_failure(document: Mapping[str, object]) -> bool:
    """Whether the object inside a 200 says that the request failed, in whichever of the usual ways."""
    if any(document.get(key) for key in _STATES_FAILURE):
        return True
    if document.get("object") == "error" or document.get("type") == "error":
        return True
    if document.get("choices"):
        return False
    if document.get("success") is False or document.get("ok") is False:
        return True
    if str(document.get("status", "")).lower() in _FAILED_STATUS:
        return True
    code = document.get("code", document.get("status_code", document.get("status")))
    return _is_failing_code(code) and any(document.get(key) for key in ("message", "detail", "msg"))


def _is_failing_code(code: object) -> bool:
    """Whether a code next to a message reports a failure: a status from 400 on, or a word."""
    if isinstance(code, bool) or code is None:
        return False
    if isinstance(code, str) and not _DIGITS.fullmatch(code):
        return bool(code) and code.lower() not in ("ok", "success", "running", "processing", "pending", "queued")
    status = int(code) if isinstance(code, str) else code
    return isinstance(status, int | float) and not (status == 0 or 100 <= status < 400)


def _event_data(text: str) -> list[str]:
    """What stands behind `data:` in each line of a text, as where a failing reply is itself an event stream."""
    return [line[5:].strip() for line in text.splitlines()[:64] if line.startswith("data:")]


def parsed_json(text: str | bytes) -> Any:
    """The JSON value of a text; None when it is none."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _tidy(text: str) -> str | None:
    """In one line, without control characters, and no longer than anybody reads; None when nothing is left."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text[:MAX_MESSAGE_CHARACTERS]).split())
    return line or None
