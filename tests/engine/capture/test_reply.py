"""What an answer said: outcomes, content and tokens, for the dialects and the traps seen in the field."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.capture.reply import Reply, read_reply
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.records.record import CountedBy, Outcome
from tests.engine.fake_wire import CHUNKED_HEAD, LAST_CHUNK, chunk

DONE = b"data: [DONE]\n\n"


def sse(**document: Any) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def text(value: str, finish: str | None = None, token_ids: list[int] | None = None, **more: Any) -> bytes:
    return sse(choices=[{"index": 0, "text": value, "finish_reason": finish, "token_ids": token_ids}], **more)


def delta(finish: str | None = None, usage: dict[str, int] | None = None, **fields: Any) -> bytes:
    document: dict[str, Any] = {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}
    return sse(**document, **({"usage": usage} if usage else {}))


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def reply_to(*reads: bytes, complete: bool = True) -> Reply:
    """A chunked answer in which each of `reads` came in a read of its own, after the head."""
    exchange = Exchange()
    exchange.reads = [CHUNKED_HEAD, *(chunk(read) for read in reads)]
    if complete:
        exchange.reads.append(LAST_CHUNK)
    exchange.complete = complete
    return read_reply(exchange)


def test_token_ids_count_tokens_and_usage_agrees() -> None:
    reply = reply_to(
        text("a", token_ids=[7]), text("bcd", "length", token_ids=[8, 9, 10]), sse(choices=[], usage=usage(5, 4)), DONE
    )
    assert (reply.outcome, reply.counted_by) == (Outcome.OK, CountedBy.TOKEN_IDS)
    assert (reply.arrival_reads, reply.arrival_tokens) == ([1, 2], [1, 3])
    assert (reply.prompt_tokens, reply.output_tokens, reply.finish_reason) == (5, 4, "length")


def test_half_a_character_is_a_token_without_text() -> None:
    reply = reply_to(text("", token_ids=[250]), text("é", "length", token_ids=[251]))
    assert (reply.arrival_tokens, reply.output_tokens) == ([1, 1], 2)


def test_running_usage_counts_where_no_ids_are_given() -> None:
    reply = reply_to(text("a", usage=usage(4, 1)), text("", usage=usage(4, 2)), text("bcd", "stop", usage=usage(4, 5)))
    assert (reply.counted_by, reply.arrival_tokens, reply.output_tokens) == (CountedBy.USAGE, [1, 1, 3], 5)


def test_a_final_usage_that_agrees_with_one_token_a_chunk_is_believed() -> None:
    reply = reply_to(text("a"), text("b", "length"), sse(choices=[], usage=usage(4, 2)))
    assert (reply.counted_by, reply.arrival_tokens, reply.output_tokens) == (CountedBy.USAGE, [1, 1], 2)


def test_a_final_usage_that_contradicts_the_chunks_wins_and_the_chunks_are_assumed() -> None:
    reply = reply_to(text("a"), text("bcd", "length"), sse(choices=[], usage=usage(4, 4)))
    assert (reply.counted_by, reply.output_tokens) == (CountedBy.ASSUMED, 4)
    lying = reply_to(text("a", "length", token_ids=[1]), sse(choices=[], usage=usage(4, 3)))
    assert (lying.counted_by, lying.output_tokens) == (CountedBy.ASSUMED, 3)


def test_without_any_count_one_token_a_chunk_is_assumed() -> None:
    reply = reply_to(text("a"), text("b", "length"), DONE)
    assert (reply.counted_by, reply.output_tokens, reply.prompt_tokens) == (CountedBy.ASSUMED, 2, None)


def test_usage_in_the_chunk_that_ends_the_choices_is_the_usage() -> None:
    reply = reply_to(delta(role="assistant"), delta(content="a"), delta(finish="length", usage=usage(6, 1)))
    assert (reply.outcome, reply.output_tokens, reply.prompt_tokens) == (Outcome.OK, 1, 6)
    assert reply.arrival_reads == [2]


def test_a_role_alone_is_no_content() -> None:
    reply = reply_to(delta(role="assistant", content=""), delta(content="x"), delta(content="y", finish="stop"))
    assert reply.arrival_reads == [2, 3]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "refusal"])
def test_reasoning_is_content(field: str) -> None:
    thinking = sse(choices=[{"index": 0, "delta": {field: "hm"}, "finish_reason": None}])
    assert reply_to(thinking, delta(content="x", finish="stop")).arrival_reads == [1, 2]


def called(**function: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}


@pytest.mark.parametrize(
    "fields",
    [called(name="find", arguments=""), called(arguments="{"), {"function_call": {"arguments": "{"}}],
)
def test_a_name_or_arguments_of_a_call_are_content(fields: dict[str, Any]) -> None:
    assert reply_to(delta(**fields), delta(finish="tool_calls")).arrival_reads == [1]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"role": "assistant"},
        {"content": None, "reasoning": "", "refusal": None},
        {"tool_calls": []},
        {"tool_calls": None, "function_call": None},
        called(arguments=""),
        {"tool_calls": [17, {"function": "find"}]},
    ],
)
def test_an_empty_delta_is_no_content(fields: dict[str, Any]) -> None:
    assert reply_to(delta(**fields), delta(content="x", finish="stop")).arrival_reads == [2]


def test_texts_are_kept_where_they_are_wanted_and_reasoning_sent_twice_is_once() -> None:
    exchange = Exchange()
    deltas = [
        delta(role="assistant", content=""),
        delta(reasoning="hm", reasoning_content="hm"),
        delta(content="yes"),
        delta(finish="tool_calls", tool_calls=[{"function": {"name": "find", "arguments": "{}"}}]),
    ]
    exchange.reads = [CHUNKED_HEAD, *map(chunk, deltas), LAST_CHUNK]
    assert read_reply(exchange, keep_texts=True).arrival_texts == ["hm", "yes", "find{}"]
    assert read_reply(exchange).arrival_texts == []


def of_choice(index: int, value: str, finish: str | None = None, **more: Any) -> bytes:
    return sse(choices=[{"index": index, "text": value, "finish_reason": finish, **more}])


def two_choices(*events: bytes) -> Reply:
    exchange = Exchange()
    exchange.reads = [CHUNKED_HEAD, *map(chunk, events), LAST_CHUNK]
    exchange.complete = True
    return read_reply(exchange, choices=2)


def test_interleaved_choices_are_ok_when_each_is_finished() -> None:
    reply = two_choices(
        of_choice(0, "a", token_ids=[1]),
        of_choice(1, "b", token_ids=[2]),
        of_choice(1, "cd", "stop", token_ids=[3, 4]),
        of_choice(0, "e", "length", token_ids=[5]),
        sse(choices=[], usage=usage(3, 5)),
        DONE,
    )
    assert (reply.outcome, reply.finish_reason) == (Outcome.OK, "length, stop")
    assert (reply.arrival_choices, reply.arrival_tokens) == ([0, 1, 1, 0], [1, 1, 2, 1])
    assert (reply.output_tokens, reply.counted_by) == (5, CountedBy.TOKEN_IDS)


@pytest.mark.parametrize(
    "events",
    [
        [of_choice(0, "a", "length"), of_choice(1, "b")],
        [of_choice(0, "a", "length")],  # the other never came
    ],
)
def test_a_choice_without_finish_reason_is_truncated(events: list[bytes]) -> None:
    reply = two_choices(*events, DONE)
    assert (reply.outcome, reply.finish_reason) == (Outcome.TRUNCATED, None)
    assert reply.detail == "the stream ended without a finish_reason of 1 of its 2 choices"


def test_a_choice_that_nobody_asked_for_has_to_end_too() -> None:
    reply = reply_to(of_choice(0, "a", "length"), of_choice(1, "b"), DONE)
    assert (reply.outcome, reply.arrival_choices) == (Outcome.TRUNCATED, [0, 1])
    assert reply.detail == "the stream ended without a finish_reason of 1 of its 2 choices"


def test_a_choice_that_was_given_up_is_a_stream_error() -> None:
    reply = two_choices(of_choice(0, "a", "length"), of_choice(1, "b", "abort"))
    assert (reply.outcome, reply.finish_reason) == (Outcome.STREAM_ERROR, "abort")


def test_running_usage_counts_each_choice_on_its_own() -> None:
    def running(index: int, completion: int, finish: str | None = None) -> bytes:
        choice = {"index": index, "text": "x", "finish_reason": finish}
        return sse(choices=[choice], usage=usage(3, completion))

    events = [running(0, 1), running(1, 2), running(0, 4, "length"), running(1, 3, "length")]
    for ending in ([sse(choices=[], usage=usage(3, 7))], []):
        reply = two_choices(*events, *ending)
        assert (reply.counted_by, reply.arrival_tokens, reply.output_tokens) == (CountedBy.USAGE, [1, 2, 3, 1], 7)


def test_a_usage_that_may_be_one_choices_or_the_sum_is_none() -> None:
    reply = two_choices(
        of_choice(0, "a"), sse(choices=[{"index": 1, "text": "b", "finish_reason": "stop"}], usage=usage(3, 9))
    )
    assert (reply.counted_by, reply.output_tokens) == (CountedBy.ASSUMED, 2)


@pytest.mark.parametrize("index", [-1, 2**15, "0", 1.5])
def test_an_impossible_index_is_a_bad_response_of_several_choices_and_no_matter_of_one(index: object) -> None:
    event = sse(choices=[{"index": index, "text": "a", "finish_reason": "stop"}])
    assert two_choices(event).outcome is Outcome.BAD_RESPONSE
    one = reply_to(event)
    assert (one.outcome, one.arrival_choices) == (Outcome.OK, [0])


def test_three_events_in_one_read_share_it() -> None:
    reply = reply_to(text("a") + text("b") + text("c", "length"))
    assert reply.arrival_reads == [1, 1, 1]


def test_an_error_event_is_a_stream_error_even_before_done() -> None:
    reply = reply_to(text("a"), text("b"), sse(error={"message": "engine died", "code": 500}), DONE)
    assert (reply.outcome, reply.detail) == (Outcome.STREAM_ERROR, "engine died")
    assert reply.arrival_reads == [1, 2]


def test_a_cut_without_finish_reason_is_truncated_but_a_missing_done_is_legal() -> None:
    assert reply_to(text("a"), DONE).outcome is Outcome.TRUNCATED
    assert reply_to(text("a", "length")).outcome is Outcome.OK


@pytest.mark.parametrize("body", [b'data: {"choices": [\n\n', b"data: {\n\n", b'data: {"choices": []} x\n\n'])
def test_an_object_that_does_not_parse_is_a_bad_response(body: bytes) -> None:
    reply = reply_to(text("a"), body, text("b", "stop"))
    assert reply.outcome is Outcome.BAD_RESPONSE
    assert "not JSON" in (reply.detail or "")


def test_what_the_server_says_of_its_own_times_is_kept() -> None:
    reply = reply_to(text("a", "length"), sse(choices=[], usage=usage(1, 1), metrics={"time_to_first_token_ms": 4.5}))
    assert reply.server_timing == {"time_to_first_token_ms": 4.5}
    cerebras = reply_to(text("a", "length", time_info={"queue_time": 0.1}))
    assert cerebras.server_timing == {"queue_time": 0.1}


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"error":{"message":"The model `m` does not exist."}}', "HTTP 404: The model `m` does not exist."),
        (b'{"detail":"Not Found"}', "HTTP 404: Not Found"),
        (b"gone", "HTTP 404: gone"),
        (b"", "HTTP 404"),
    ],
)
def test_an_http_error_keeps_the_servers_sentence(body: bytes, detail: str) -> None:
    exchange = Exchange()
    exchange.reads = [b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body]
    exchange.complete = True
    reply = read_reply(exchange)
    assert (reply.outcome, reply.http_status, reply.detail) == (Outcome.HTTP_ERROR, 404, detail)


@pytest.mark.parametrize("failure", [Outcome.TIMEOUT, Outcome.CANCELLED])
def test_a_request_given_up_keeps_what_had_arrived(failure: Outcome) -> None:
    exchange = Exchange()
    exchange.reads = [CHUNKED_HEAD, chunk(text("a", token_ids=[1])), chunk(text("b", token_ids=[2]))]
    exchange.failure, exchange.detail = failure, "given up"
    reply = read_reply(exchange)
    assert (reply.outcome, reply.detail, reply.arrival_tokens) == (failure, "given up", [1, 1])


@given(st.lists(st.integers(0, 2000), max_size=12))
def test_wherever_reads_are_cut_the_answer_says_the_same(cuts: list[int]) -> None:
    """Inside a multi-byte character, a JSON string, a chunk header: anywhere."""
    stream = b"".join(
        [CHUNKED_HEAD]
        + [chunk(text(word, token_ids=[1])) for word in ("naïve", "→", "日本", "𝄞")]
        + [chunk(text("end", "length", token_ids=[2])), chunk(sse(choices=[], usage=usage(3, 5)) + DONE), LAST_CHUNK]
    )
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    exchange = Exchange()
    exchange.reads = [stream[begin:end] for begin, end in itertools.pairwise(edges)]
    exchange.complete = True
    reply = read_reply(exchange)
    assert (reply.outcome, reply.detail) == (Outcome.OK, None)
    assert (reply.arrival_tokens, reply.output_tokens, reply.counted_by) == ([1] * 5, 5, CountedBy.TOKEN_IDS)
    assert reply.arrival_reads == sorted(reply.arrival_reads)
