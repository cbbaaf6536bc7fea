"""What an answer said, from its raw bytes, however they were cut."""

import itertools
import json
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.capture.reply_text import EVENTS_A_STEP, reply_text

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(delta: dict[str, object], finish_reason: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def answer(*events: bytes) -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in events)
    return HEAD + framed + b"0\r\n\r\n"


def words(*texts: str, finish_reason: str | None = "stop") -> bytes:
    role = event({"role": "assistant", "content": ""})
    usage = b'data: {"choices":[],"usage":{"completion_tokens":2}}\n\ndata: [DONE]\n\n'
    return answer(role, *(event({"content": text}) for text in texts), event({}, finish_reason), usage)


def drained(steps: Generator[None, None, str | None]) -> tuple[str | None, int]:
    """(what was said, steps that it took)."""
    taken = 1
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, taken
        taken += 1


def said(*reads: bytes) -> str | None:
    return drained(reply_text(reads))[0]


@given(st.lists(st.text(), max_size=5), st.lists(st.integers(0, 800), max_size=6))
def test_any_split_says_the_same(texts: list[str], cuts: list[int]) -> None:
    whole = words(*texts)
    expected = "".join(texts) if any(texts) else None  # of an answer without a token nothing goes on
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    assert said(*(whole[a:b] for a, b in itertools.pairwise(edges) if a < b)) == expected


def test_it_is_read_a_few_events_at_a_time() -> None:
    assert drained(reply_text([words(*["a"] * (3 * EVENTS_A_STEP))])) == ("a" * 3 * EVENTS_A_STEP, 4)


def test_reasoning_calls_and_other_choices_are_not_sent_back() -> None:
    deltas: tuple[dict[str, object], ...] = (
        {"reasoning": "hm"},
        {"content": None, "tool_calls": [{"function": {"name": "f"}}]},
        {"content": "yes"},
    )
    events = [event(delta) for delta in deltas]
    assert said(answer(*events, event({"content": "no"}, "stop", index=1), event({}, "stop"))) == "yes"


@pytest.mark.parametrize(
    "broken",
    [
        words("a", finish_reason=None),
        words("a", finish_reason="abort"),
        answer(event({"content": "a"}), b'data: {"error":{"message":"no"}}\n\n', event({}, "stop")),
        answer(b"data: {cut\n\n"),
        answer(b"data: 7\n\n"),
        b"not HTTP",
        b"",
    ],
)
def test_an_answer_that_is_not_whole_says_nothing(broken: bytes) -> None:
    assert said(*filter(None, [broken])) is None
