"""Server-sent events in every legal spelling, cut anywhere."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.capture.sse import SseEvent, SseParser


def parse(*pieces: bytes) -> list[SseEvent]:
    parser = SseParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def test_one_event() -> None:
    assert parse(b'data: {"a": 1}\n\n') == [SseEvent(b'{"a": 1}')]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_is_legal(end: bytes) -> None:
    stream = end.join([b"data: one", b"", b"data: two", b"", b": done"]) + end
    assert parse(stream) == [SseEvent(b"one"), SseEvent(b"two")]


def test_comments_and_unknown_fields_are_passed_over() -> None:
    assert parse(b": keep-alive\n\nid: 7\nretry: 10\ndata: x\n\n") == [SseEvent(b"x")]


def test_the_space_after_the_colon_is_optional_and_only_one_is_dropped() -> None:
    assert parse(b"data:x\n\ndata:  y\n\ndata\n\n") == [SseEvent(b"x"), SseEvent(b" y"), SseEvent(b"")]


def test_several_data_lines_are_joined() -> None:
    assert parse(b"event: error\ndata: a\ndata: b\n\n") == [SseEvent(b"a\nb", "error")]


def test_an_event_without_its_blank_line_is_not_dispatched() -> None:
    assert parse(b"data: cut\n") == []


def test_a_byte_order_mark_is_dropped_even_in_pieces() -> None:
    assert parse(b"\xef", b"\xbb\xbfdata: x\n\n") == [SseEvent(b"x")]


def test_the_short_way_does_not_swallow_a_second_event() -> None:
    assert parse(b": first\n\n", b"data: a\n\n", b"data: b\n\ndata: c\n\n", b"data: d\ndata: e\n\n") == [
        SseEvent(b"a"),
        SseEvent(b"b"),
        SseEvent(b"c"),
        SseEvent(b"d\ne"),
    ]


_STREAM = st.lists(
    st.sampled_from(
        [
            b'data: {"t": "\xc3\xa9\xe2\x82\xac"}',
            b"data:x",
            b": c",
            b"event: error",
            b"",
            b"data",
            b"id: 1",
            b"data: a:b",
        ]
    ),
    max_size=12,
).flatmap(
    lambda lines: st.sampled_from([b"\n", b"\r\n", b"\r"]).map(
        lambda end: end.join([*lines, b"", b"data: z", b"", b""])
    )
)


@given(_STREAM, st.lists(st.integers(0, 200), max_size=8))
def test_any_split_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert parse(*pieces) == parse(stream)
    assert parse(stream)[-1].data.endswith(b"z")
