"""The server's own sentence, in every dialect that was met."""

import json
from typing import Any

import pytest

from loadgen.engine.capture.server_message import message_of, sentence_in, states_failure

SENTENCE = "The prompt is longer than the 512 tokens that fit."


@pytest.mark.parametrize(
    "document",
    [
        {"error": {"message": SENTENCE, "type": "invalid_request_error", "code": 400}},
        {"error": SENTENCE},
        {"error": {"error": {"message": SENTENCE}}},
        {"error": [{"message": SENTENCE}]},
        {"error": {"code": 400, "detail": SENTENCE}},
        {"error": True, "message": SENTENCE},
        {"error": {"message": json.dumps({"error": {"message": SENTENCE}})}},
        {"message": SENTENCE},
        {"detail": SENTENCE},
        {"detail": [{"loc": ["body", "max_tokens"], "msg": SENTENCE, "type": "value_error"}]},
        {"detail": {"message": SENTENCE}},
        {"object": "error", "message": SENTENCE, "code": 400},
        {"error_type": "BadRequestError", "error_message": SENTENCE},
        {"errorMessage": SENTENCE},
        {"code": 500, "message": SENTENCE, "success": False},
        {"code": 500, "msg": SENTENCE},
        {"errors": [{"title": "Bad request", "message": SENTENCE}]},
        {"type": "error", "error": {"type": "overloaded_error", "message": SENTENCE}},
        {"title": SENTENCE, "status": 400},
        {"title": "Bad Request", "status": 400, "detail": SENTENCE},
        {"error": "", "message": SENTENCE},
        {"error": None, "error_description": SENTENCE},
        {"Message": SENTENCE},
        [{"error": {"message": SENTENCE}}],
    ],
)
def test_the_sentence_is_found_in_every_dialect(document: Any) -> None:
    assert sentence_in(document) == SENTENCE
    assert message_of(json.dumps(document).encode()) == SENTENCE
    assert message_of(json.dumps(document, indent=2).encode()) == SENTENCE
    assert message_of(b"data: " + json.dumps(document).encode() + b"\n\ndata: [DONE]\n\n") == SENTENCE


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"gone", "gone"),
        (b"", None),
        (b"  \n ", None),
        (b'{"error":{"message":"cut \\"here\\"","param":', 'cut "here"'),
        (b"<html><head><title>502 Bad &amp; Gateway</title></head></html>", "502 Bad & Gateway"),
        (b"<html><body><h1>Busy</h1> try later</body></html>", "Busy try later"),
        (b"<html><script>var x = '<b>';</script><STYLE>p {}</STYLE ><p>Busy", "Busy"),
        (b"<p>Busy<script>var x", "Busy"),
        (b"<p>Busy" + b"<title>" * 9_000, "Busy"),  # each would be searched to the end of the page
        (b"<p>Busy" + b"<script>" * 7_900, "Busy"),
        (b'\xef\xbb\xbf{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":"half \xe6\x97"}', "half \ufffd"),
        (b"two\r\nlines\x1b[31m", "two lines [31m"),
        (b"[" * 100_000, "[" * 4000),
        (b'{"error":{"reasons":{"a":"b"}}}', '{"reasons": {"a": "b"}}'),
        (b'"only a text"', '"only a text"'),
    ],
)
def test_a_body_of_any_kind_gives_its_words(body: bytes, words: str | None) -> None:
    assert message_of(body) == words


@pytest.mark.parametrize(
    "document",
    [
        {"error": "x"},
        {"object": "error", "message": "x"},
        {"type": "error"},
        {"choices": None, "error_type": "E", "error_message": "x"},
        {"code": 500, "message": "x"},
        {"code": "rate_limited", "message": "x"},
        {"status": "failed", "message": "x"},
        {"status_code": 429, "detail": "x"},
        {"success": False},
        {"code": 1e999, "message": "x"},
        {"code": float("nan"), "message": "x"},
        {"code": 10**400, "message": "x"},
        {"code": "\u00b2", "message": "x"},
    ],
)
def test_an_object_that_reports_a_failure_is_one(document: dict[str, Any]) -> None:
    assert states_failure(document)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"error": None},
        {"choices": [{"text": "x"}], "error": None},
        {"code": 200, "message": "x"},
        {"code": 0, "message": "ok"},
        {"status": "queued", "message": "x"},
        {"message": "still working"},
        {"type": "ping"},
        {"choices": [{"text": "x"}], "code": 500, "message": "x"},
    ],
)
def test_other_objects_are_none(document: dict[str, Any]) -> None:
    assert not states_failure(document)


def test_an_escape_that_json_does_not_have_is_kept_as_it_stands() -> None:
    assert message_of(rb'{"error": {"message": "no \x in C:\models", "cut') == r"no \x in C:\models"
