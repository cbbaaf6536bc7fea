"""Streams as servers in the wild send them: what is skipped, what is success, what a failure says, and what usage is worth."""

from typing import Any

import pytest

from loadgen.engine.capture.reply import Reply, read_reply
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.records.record import CountedBy, Outcome
from tests.engine.capture.test_reply import DONE, delta, of_choice, reply_to, sse, text, usage
from tests.engine.capture.test_reply_text import said
from tests.engine.fake_wire import CHUNKED_HEAD, HEAD, LAST_CHUNK, chunk

END = text("b", "stop")


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b"data:\n\n", "empty"),
        (b"data: \n\n", "empty"),
        (b"data: : STILL WORKING\n\n", "not_an_object"),
        (b"data: 1795999999\n\n", "not_an_object"),
        (b"data: 0.5\n\n", "not_an_object"),
        (b"data: null\n\n", "not_an_object"),
        (b"data: true\n\n", "not_an_object"),
        (b'data: ""\n\n', "not_an_object"),
        (b"data: []\n\n", "not_an_object"),
        (b"data: [PING]\n\n", "not_an_object"),
        (b"data: OPENROUTER PROCESSING\n\n", "not_an_object"),
        (b"event: ping\ndata: ping\n\n", "keep_alive"),
        (b"event: heartbeat\ndata: {oops\n\n", "keep_alive"),
        (b'event: ping\ndata: {"type":"ping"}\n\n', "keep_alive"),
        (b"data: {}\n\n", "no_choices"),
        (b'data: {"type":"response.created"}\n\n', "no_choices"),
        (b'data: {"message":"still working"}\n\n', "no_choices"),
        (b'data: {"choices":null}\n\n', "no_choices"),
    ],
)
def test_an_event_without_a_reply_is_skipped_and_counted(event: bytes, kind: str) -> None:
    for events in ((event, text("a"), END, DONE), (text("a"), event, END, DONE), (text("a"), END, event, DONE)):
        reply = reply_to(*events)
        assert (reply.outcome, reply.skipped) == (Outcome.OK, {kind: 1})
        assert len(reply.arrival_reads) == 2


@pytest.mark.parametrize("event", [b": x\n\n", b":\n\n", b"id: 1\n\n", b"retry: 1\n\n", b"\n", b"event: ping\n\n"])
def test_what_is_no_event_is_not_counted(event: bytes) -> None:
    reply = reply_to(event, text("a"), event, END)
    assert (reply.outcome, reply.skipped, reply.arrival_reads) == (Outcome.OK, {}, [2, 4])


@pytest.mark.parametrize("name", ["message", "chunk", "completion", "data"])
def test_a_named_event_with_choices_is_the_reply(name: str) -> None:
    named = b"event: " + name.encode() + b"\n"
    assert reply_to(named + text("a"), named + END).outcome is Outcome.OK


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    reply = reply_to(text("HERE").replace(b"HERE", b"\xe6\x97"), END)
    assert (reply.outcome, reply.arrival_reads) == (Outcome.OK, [1, 2])


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("last", [END, DONE])
def test_the_last_event_may_lack_its_blank_line(cut: int, last: bytes) -> None:
    events = (text("a"), END, last) if last is DONE else (text("a"), last)
    assert reply_to(*events[:-1], events[-1][:-cut]).outcome is Outcome.OK
    lost = reply_to(text("a"), END[:-cut], complete=False)
    assert lost.outcome is Outcome.TRUNCATED


@pytest.mark.parametrize(
    ("content", "arrives"),
    [
        ([{"type": "text", "text": "a"}], True),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}], True),
        ({"type": "text", "text": "a"}, True),
        (["a"], True),
        ([], False),
        ([{"type": "text", "text": ""}], False),
        ([{"type": "thinking", "thinking": []}], False),
        ([None, {"type": "text"}], False),
    ],
)
def test_content_may_be_a_list_of_parts(content: Any, arrives: bool) -> None:
    reply = reply_to(delta(content=content), delta(content="x", finish="stop"))
    assert reply.arrival_reads == ([1, 2] if arrives else [2])


def test_thinking_parts_are_not_sent_back() -> None:
    events = [
        delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
        delta(content=[{"type": "text", "text": "yes"}]),
        b"data:\n\n",
        delta(content="!", finish="stop")[:-2],
    ]
    assert said(CHUNKED_HEAD, *map(chunk, events), LAST_CHUNK) == "yes!"


def bare(body: bytes, content_type: str = "application/json", status: bytes = b"200 OK", **failure: Any) -> Reply:
    exchange = Exchange()
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    exchange.reads = [head % (status, content_type.encode(), len(body)) + body]
    exchange.complete = True
    for name, value in failure.items():
        setattr(exchange, name, value)
    return read_reply(exchange)


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/octet-stream", ""])
@pytest.mark.parametrize("begin", [b"", b": hello\n\n", b"event: message\n", b"\xef\xbb\xbf", b"\n"])
def test_the_body_decides_whether_it_is_a_stream(content_type: str, begin: bytes) -> None:
    reply = bare(begin + text("a") + END, content_type)
    assert (reply.outcome, reply.content_type) == (Outcome.OK, content_type or "none")


@pytest.mark.parametrize("body", [b"<html>data: x", b"database: x", b'{"choices":[]}', b""])
def test_another_body_is_no_stream(body: bytes) -> None:
    assert bare(body, "text/html").outcome is Outcome.BAD_RESPONSE


@pytest.mark.parametrize(
    "event",
    [
        sse(error={"message": "no room"}),
        sse(error="no room"),
        sse(object="error", message="no room", code=400),
        sse(choices=None, error_type="E", error_message="no room"),
        sse(code=500, message="no room", success=False),
        sse(choices=[], error={"message": "no room"}),
        b'data: [{"error":{"message":"no room"}}]\n\n',
        b"event: error\ndata: no room\n\n",
        b'event: error\ndata: {"detail":"no room"}\n\n',
        b'{"error":{"message":"no room"}}\n',
        b'{"error":\n {"message":"no room"}}\n',
        sse(message="no room"),
        sse(detail="no room"),
    ],
)
def test_an_error_inside_a_stream_is_told_in_the_servers_words(event: bytes) -> None:
    for before in ((), (text("a"),)):
        reply = reply_to(*before, event, DONE)
        assert (reply.outcome, reply.detail) == (Outcome.STREAM_ERROR, "no room")


@pytest.mark.parametrize("body", [b'{"error":{"message":"no room"}}', b'{"object":"error","message":"no room"}'])
def test_json_with_status_200_that_reports_a_failure_is_a_stream_error(body: bytes) -> None:
    for content_type in ("application/json", "text/event-stream", "text/plain"):
        reply = bare(body, content_type)
        assert (reply.outcome, reply.detail) == (Outcome.STREAM_ERROR, "no room")


def test_every_outcome_keeps_the_servers_words() -> None:
    stalled = bare(b'{"error":"no room"}', status=b"500 X", failure=Outcome.TIMEOUT, detail="no complete answer")
    assert (stalled.outcome, stalled.detail) == (Outcome.TIMEOUT, "no complete answer; the server said: no room")
    word = reply_to(b"data: Rate limit exceeded\n\n", DONE)
    assert word.outcome is Outcome.TRUNCATED
    assert (word.detail or "").endswith("the server said: Rate limit exceeded")


@pytest.mark.parametrize(
    ("events", "complete", "outcome"),
    [
        ((text("a", "stop"), text("b", "stop")), True, Outcome.OK),  # a finish_reason in every chunk
        ((text("a", "stop"), text("b", "stop")), False, Outcome.TRUNCATED),
        ((text("a", "stop"), text("b")), True, Outcome.TRUNCATED),
        ((text("a", "stop"), text("b")), False, Outcome.TRUNCATED),
        ((text("a"), END), False, Outcome.TRUNCATED),  # lost before the end of the body
        ((text("a"), END, DONE), False, Outcome.OK),  # the protocol's own end came
        ((text("a"), END, sse(choices=[], usage=usage(1, 2)), DONE), True, Outcome.OK),
        ((text("a", "stop"), text("")), True, Outcome.OK),
        ((text("a", "null"), text("b", "None")), True, Outcome.TRUNCATED),
        ((text("a", "null"), END), True, Outcome.OK),
        ((text("", "stop"),), True, Outcome.BAD_RESPONSE),  # not one token
        ((delta(role="assistant", content=""), delta(finish="stop")), True, Outcome.BAD_RESPONSE),
        ((text("", "stop"), sse(choices=[], usage=usage(1, 9)), DONE), True, Outcome.BAD_RESPONSE),
        ((text("", "stop", usage=usage(1, 9)), DONE), True, Outcome.BAD_RESPONSE),
        ((text("", "stop", usage=usage(1, 1)), DONE), True, Outcome.OK),  # one token, which has no text
        ((text("", usage=usage(1, 1)), text("", "stop", usage=usage(1, 3)), DONE), True, Outcome.OK),
        ((text("", "stop", token_ids=[2]),), True, Outcome.OK),  # its token has no text
    ],
)
def test_success_is_a_whole_answer(events: tuple[bytes, ...], complete: bool, outcome: Outcome) -> None:
    reply = reply_to(*events, complete=complete)
    assert reply.outcome is outcome, reply.detail


def test_where_no_token_was_asked_none_is_missing() -> None:
    exchange = Exchange()
    exchange.reads = [CHUNKED_HEAD, chunk(text("", "stop")), LAST_CHUNK]
    assert read_reply(exchange, tokens_asked=0).outcome is Outcome.OK


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("ending", ["own", "with the last", "the first's"])
def test_chunks_that_are_numbered_are_one_reply(first: int, ending: str) -> None:
    events = [of_choice(first + k, "x") for k in range(7)]
    events.append(of_choice(first + 7, "x", "length" if ending == "with the last" else None))
    if ending != "with the last":
        events.append(of_choice(first + 8 if ending == "own" else first, "", "length"))
    reply = reply_to(*events, sse(choices=[], usage=usage(3, 8)), DONE)
    assert (reply.outcome, reply.finish_reason) == (Outcome.OK, "length")
    assert (reply.arrival_choices, reply.output_tokens, reply.counted_by) == ([0] * 8, 8, CountedBy.USAGE)
    assert reply_to(*events[:5], DONE).outcome is Outcome.TRUNCATED


def test_numbered_chunks_with_running_usage_are_counted() -> None:
    running = [sse(choices=[{"index": k, "text": "x", "finish_reason": None}], usage=usage(3, k + 1)) for k in range(3)]
    reply = reply_to(*running, sse(choices=[{"index": 3, "text": "", "finish_reason": "stop"}], usage=usage(3, 3)))
    assert (reply.arrival_tokens, reply.counted_by) == ([1, 1, 1], CountedBy.USAGE)


@pytest.mark.parametrize("line", [b'{"message":"bye"}\n', b'{"detail":"took 3 s"}\n', b"{}\n"])
def test_a_line_that_is_no_event_costs_no_finished_reply(line: bytes) -> None:
    assert reply_to(text("a"), line, END, DONE).outcome is Outcome.OK
    assert reply_to(text("a"), END, line).outcome is Outcome.OK
    failed = reply_to(text("a"), END, b'{"error":"no room"}\n')
    assert (failed.outcome, failed.detail) == (Outcome.STREAM_ERROR, "no room")


@pytest.mark.parametrize("choices", [500, "8", {"a": 1}])
def test_choices_that_are_no_list_are_none(choices: Any) -> None:
    events = [delta(content="a"), sse(choices=choices), delta("stop", content="b")]
    assert reply_to(*events).outcome is Outcome.OK
    assert said(HEAD + b"\r\n", *events) == "ab"


@pytest.mark.parametrize("index", ["0", -1, 0.0, [], None])
def test_what_is_no_index_is_the_only_choice(index: Any) -> None:
    events = [
        delta(content="a"),
        sse(choices=[{"index": index, "delta": {"content": "b"}}]),
        delta("stop", content="c"),
    ]
    assert reply_to(*events).arrival_choices == [0, 0, 0]
    assert said(HEAD + b"\r\n", *events) == "abc"


def details(completion: Any, reasoning: Any = 0, **more: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": 3, "completion_tokens": completion, "completion_tokens_details": {"reasoning_tokens": reasoning}
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("told", "output", "hidden", "counted_by"),
    [
        (details(4), 4, 0, CountedBy.USAGE),
        (details(4.0), 4, 0, CountedBy.USAGE),
        (details("4"), 4, 0, CountedBy.USAGE),
        (details(404, 400), 404, 400, CountedBy.USAGE),
        (details(404.0, "400"), 404, 400, CountedBy.USAGE),
        ({"prompt_tokens": 3, "completion_tokens": 404, "reasoning_tokens": 400}, 404, 400, CountedBy.USAGE),
        (details(4, 400, total_tokens=407), 404, 400, CountedBy.USAGE),  # counted beside and not within
        (details(404), 404, -1, CountedBy.ASSUMED),  # more than the texts have bytes
        (details(404, 100), 404, -1, CountedBy.ASSUMED),
        (details(0), 4, -1, CountedBy.ASSUMED),
        (details(2), 2, -1, CountedBy.ASSUMED),
        (details(8), 8, 0, CountedBy.ASSUMED),  # merged chunks
        (details(True), 4, 0, CountedBy.ASSUMED),
        (details("many"), 4, 0, CountedBy.ASSUMED),
        (details(float("nan")), 4, 0, CountedBy.ASSUMED),
        (details(-1), 4, 0, CountedBy.ASSUMED),
        (details(4.5), 4, 0, CountedBy.ASSUMED),
        (details(None), 4, 0, CountedBy.ASSUMED),
        (details(4, None), 4, 0, CountedBy.USAGE),
        ({"prompt_tokens": 3, "completion_tokens": 4, "completion_tokens_details": None}, 4, 0, CountedBy.USAGE),
    ],
)
def test_usage_is_held_against_what_arrived(
    told: dict[str, Any], output: int, hidden: int, counted_by: CountedBy
) -> None:
    words = [delta(content="word") for _ in range(3)] + [delta(content="word", finish="stop")]
    reply = reply_to(*words, sse(choices=[], usage=told), DONE)
    assert (reply.outcome, reply.output_tokens, reply.hidden_tokens) == (Outcome.OK, output, hidden)
    assert (reply.counted_by, reply.arrival_tokens) == (counted_by, [1] * 4)


@pytest.mark.parametrize(
    ("before", "reasoning", "ids", "expected"),
    [
        (400, 400, False, ([1, 1, 1, 1], 400, CountedBy.USAGE)),
        (400, 0, False, ([1, 1, 1, 1], -1, CountedBy.ASSUMED)),
        (400, 0, True, ([1, 1, 1, 1], 400, CountedBy.USAGE)),
        (3, 0, False, ([4, 1, 1, 1], 0, CountedBy.USAGE)),  # marks of a template
        (0, 0, False, ([1, 1, 1, 1], 0, CountedBy.USAGE)),
    ],
)
def test_what_a_running_usage_counted_before_the_first_chunk_did_not_arrive(
    before: int, reasoning: int, ids: bool, expected: tuple[list[int], int, CountedBy]
) -> None:
    events = [
        text("a", "stop" if k == 4 else None, token_ids=[k] if ids else None, usage=details(before + k, reasoning))
        for k in range(1, 5)
    ]
    reply = reply_to(*events, DONE)
    assert (reply.arrival_tokens, reply.hidden_tokens, reply.counted_by) == expected
    assert reply.output_tokens == before + 4


def test_usage_inside_a_choice_is_the_usage() -> None:
    choice = {"index": 0, "delta": {"content": "b"}, "finish_reason": "stop", "usage": usage(7, 2)}
    reply = reply_to(delta(content="a"), sse(choices=[choice]))
    assert (reply.prompt_tokens, reply.output_tokens, reply.counted_by) == (7, 2, CountedBy.USAGE)


def test_reasoning_that_is_sent_is_not_hidden() -> None:
    thinking = [delta(reasoning_content="thought") for _ in range(4)]
    reply = reply_to(*thinking, delta(content="x", finish="stop"), sse(choices=[], usage=details(5, 4)))
    assert (reply.output_tokens, reply.hidden_tokens, reply.counted_by) == (5, 0, CountedBy.USAGE)


def test_a_stream_that_ends_with_its_connection_is_whole() -> None:
    exchange = Exchange()
    exchange.reads = [HEAD + b"\r\n", text("a"), END[:-2]]
    exchange.complete = True
    assert read_reply(exchange).outcome is Outcome.OK
