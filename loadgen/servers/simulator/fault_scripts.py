"""What each fault of the table writes in place of a well-behaved answer. Pure.

A fault in the middle of an answer comes after half of its tokens. Where no moment is named, tokens go out when they are due.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from loadgen.servers.simulator.dialect import (
    DONE,
    EVENT_STREAM,
    JSON,
    LAST_CHUNK,
    encode,
    event,
    http_head,
)
from loadgen.servers.simulator.quota import too_many_requests
from loadgen.servers.simulator.script import (
    AT_ONCE,
    Ending,
    Script,
    Step,
    StreamedAnswer,
    Write,
    plain,
    steps,
    whole,
    written,
)

LONG_LINE_BYTES = 256 << 10
_PIECE_BYTES = 64 << 10
_USED = re.compile(rb'("(?:prompt|completion|total)_tokens":)\d+')
_GROUP_TOKENS = 3


def _respelled(answer: StreamedAnswer, old: bytes, new: bytes) -> Iterator[Step]:
    """The well-behaved steps with `old` replaced by `new` in every event; one of which nothing is left is none."""
    for step in steps(answer):
        yield step._replace(events=[new_one for one in step.events if (new_one := one.replace(old, new))])


def _asking(answer: StreamedAnswer, **changes: Any) -> StreamedAnswer:
    """The answer to a request that differs from the real one in `changes`, fields of `Generation`."""
    return replace(answer, encoder=answer.encoder.answering(replace(answer.encoder.generation, **changes)))


# Legal streams, and how a careless reader is misled by them.


def early_role(answer: StreamedAnswer) -> Script:
    opening = answer.encoder.opening() or [answer.encoder.content(range(0))]
    roles = len(answer.encoder.opening())
    later = (step._replace(events=step.events[roles:]) if step.due == 0 else step for step in steps(answer))
    return written(answer, [Step(AT_ONCE, opening, 0), *later])


def empty_deltas(answer: StreamedAnswer) -> Script:
    """An empty delta at every other moment, the first one included, and the tokens in between."""

    def given() -> Iterator[Step]:
        for token, events, tokens in steps(answer):
            yield Step(2 * token, [answer.encoder.content(range(token, token))], 0)
            yield Step(2 * token + 1, events, tokens)

    return written(answer, given())


def usage_with_choices(answer: StreamedAnswer) -> Script:
    usage = b',"usage":' + encode(answer.encoder.usage()) + b"}\n\n"
    asked = _asking(answer, include_usage=False, continuous_usage=False)

    def given() -> Iterator[Step]:
        for step in steps(asked):
            if step.due == answer.output_tokens - 1:
                *before, last, done = step.events
                step = step._replace(events=[*before, last.removesuffix(b"}\n\n") + usage, done])
            yield step

    return written(asked, given())


def no_usage(answer: StreamedAnswer) -> Script:
    return plain(_asking(answer, include_usage=False, continuous_usage=False, return_token_ids=False))


def no_done(answer: StreamedAnswer) -> Script:
    return written(answer, _respelled(answer, DONE, b""))


def _groups(answer: StreamedAnswer) -> Iterator[range]:
    """The first token alone, then as many together as make a group; the last group may be smaller."""
    yield range(1)
    for first in range(1, answer.output_tokens, _GROUP_TOKENS):
        yield range(first, min(first + _GROUP_TOKENS, answer.output_tokens))


def merged_tokens(answer: StreamedAnswer) -> Script:
    encoder = answer.encoder

    def given() -> Iterator[Step]:
        for group in _groups(answer):
            events = [encoder.content(group)]
            if group.start == 0:
                events = encoder.opening() + events
            if group.stop == answer.output_tokens:
                events += encoder.closing()
            yield Step(group.stop - 1, events, len(group))

    return written(answer, given())


def joined_chunks(answer: StreamedAnswer) -> Script:
    def given() -> Iterator[Step]:
        for group in _groups(answer):
            yield Step(group.stop - 1, [one for token in group for one in answer.encoder.events(token)], len(group))

    return written(answer, given())


def crlf(answer: StreamedAnswer) -> Script:
    return written(answer, _respelled(answer, b"\n", b"\r\n"))


def comments(answer: StreamedAnswer) -> Script:
    return written(answer, _respelled(answer, b"data: ", b": keep-alive\n\n: data is next\ndata: "))


def keep_alives(answer: StreamedAnswer) -> Script:
    return written(answer, _respelled(answer, b"data: ", b"event: ping\ndata: {}\n\ndata: 7\n\ndata: "))


def no_last_blank_line(answer: StreamedAnswer) -> Script:
    return written(answer, _respelled(answer, DONE, DONE.rstrip()))


def numbered_chunks(answer: StreamedAnswer) -> Script:
    def given() -> Iterator[Step]:
        for step in steps(answer):
            index = b'"index":%d' % max(0, step.due)
            yield step._replace(events=[one.replace(b'"index":0', index) for one in step.events])

    return written(answer, given())


def zero_usage(answer: StreamedAnswer) -> Script:
    def given() -> Iterator[Step]:
        for step in steps(answer):
            yield step._replace(events=[_USED.sub(rb"\g<1>0", one) for one in step.events])

    return written(answer, given())


def no_space(answer: StreamedAnswer) -> Script:
    return written(answer, _respelled(answer, b"data: ", b"data:"))


def split_characters(answer: StreamedAnswer) -> Script:
    """Token k's event ends when it is due; all before the middle of its first character went out with the one before."""
    early = b""
    writes = list(written(answer, _respelled(answer, b'":" ', '":" é→𝄞'.encode())))
    for write, following in zip(writes, [*writes[1:], Write(0, b"", 0)], strict=True):
        cut = following.data.find("é".encode()) + 1
        yield write._replace(data=write.data.removeprefix(early) + following.data[:cut])
        early = following.data[:cut]


def long_line(answer: StreamedAnswer) -> Script:
    padding = b'data: {"padding":"' + b"x" * LONG_LINE_BYTES + b'",'

    def given() -> Iterator[Step]:
        for step in steps(answer):
            *before, last = step.events
            yield step._replace(events=[*before, last.replace(b"data: {", padding)]) if step.due == 1 else step

    return written(answer, given())


def two_choices(answer: StreamedAnswer) -> Script:
    return plain(_asking(answer, choices=2))


def until_close(answer: StreamedAnswer) -> Script:
    head = http_head(200, {"content-type": EVENT_STREAM}, keep_alive=False)
    return _unframed(answer, head)


def http_1_0(answer: StreamedAnswer) -> Script:
    head = http_head(200, {"content-type": EVENT_STREAM}, keep_alive=True, version="1.0")
    return _unframed(answer, head)


def _unframed(answer: StreamedAnswer, head: bytes) -> Script:
    return written(answer, steps(answer), ending=Ending.ANSWERED_AND_CLOSED, head=head, frame=bytes, tail=b"")


def early_hints(answer: StreamedAnswer) -> Script:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
    yield Write(AT_ONCE, hints, 0)
    yield from plain(answer)


def open_body(answer: StreamedAnswer) -> Script:
    return written(answer, steps(answer), ending=Ending.SILENT, tail=b"")


def closes_after(answer: StreamedAnswer) -> Script:
    return written(answer, steps(answer), ending=Ending.ANSWERED_AND_CLOSED)


# Answers that fail.


def error_event(answer: StreamedAnswer) -> Script:
    problem = {"error": {"message": "EngineCore encountered an issue", "type": "InternalServerError", "code": 500}}
    failure = Step(answer.half, [event(problem), DONE], 0)
    return written(answer, [*steps(answer, answer.half), failure])


def abort(answer: StreamedAnswer) -> Script:
    return written(answer, _respelled(answer, b'"finish_reason":"length"', b'"finish_reason":"abort"'))


def no_finish(answer: StreamedAnswer) -> Script:
    return written(answer, steps(answer, answer.half))


def content_after_finish(answer: StreamedAnswer) -> Script:
    last = answer.output_tokens - 1

    def given() -> Iterator[Step]:
        for step in steps(answer):
            if step.due == last:
                *before, done = step.events
                more = answer.encoder.content(range(1))
                step = step._replace(events=[*before, more, done], tokens=step.tokens + 1)
            yield step

    return written(answer, given())


def unfinished_choice(answer: StreamedAnswer) -> Script:
    both = _asking(answer, choices=2)

    def given() -> Iterator[Step]:
        for step in steps(both):
            events = list(step.events)
            if step.due == answer.output_tokens - 1:
                second = next(place for place, one in enumerate(events) if b'"index":1' in one and b'"length"' in one)
                events[second] = events[second].replace(b'"finish_reason":"length"', b'"finish_reason":null')
            yield step._replace(events=events)

    return written(both, given())


def close(answer: StreamedAnswer) -> Script:
    return written(answer, steps(answer, answer.half), ending=Ending.CLOSED, tail=b"")


def reset(answer: StreamedAnswer) -> Script:
    return written(answer, steps(answer, answer.half), ending=Ending.RESET, tail=b"")


def stall(answer: StreamedAnswer) -> Script:
    return written(answer, steps(answer, answer.half), ending=Ending.SILENT, tail=b"")


def silence(answer: StreamedAnswer) -> Script:
    return whole(b"", AT_ONCE, ending=Ending.SILENT)


def no_answer(answer: StreamedAnswer) -> Script:
    return whole(b"", 0, ending=Ending.CLOSED)


def endless_stream(answer: StreamedAnswer) -> Script:
    return plain(_asking(answer, output_tokens=2**62))


def endless_line(answer: StreamedAnswer) -> Script:
    def given() -> Iterator[Step]:
        yield from steps(answer, 1)
        yield Step(1, [b'data: {"choices":[{"index":0,"text":"'], 0)
        for due in range(2, 2**62):
            yield Step(due, [b"x" * _PIECE_BYTES], 0)

    return written(answer, given())


def cut_json(answer: StreamedAnswer) -> Script:
    def given() -> Iterator[Step]:
        for step in steps(answer):
            if step.due == answer.half:
                step = step._replace(events=[one[: len(one) // 2] + b"\n\n" for one in step.events])
            yield step

    return written(answer, given())


def garbage(answer: StreamedAnswer) -> Script:
    noise = bytes(range(256)) * 4
    return written(answer, (step._replace(events=[noise], tokens=0) for step in steps(answer)))


def _page(answer: StreamedAnswer, status: int, kind: str, body: bytes, **headers: str) -> Script:
    """A response of stated length in place of the stream, at once."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    head = http_head(status, {"content-length": str(len(body)), "content-type": kind, **named}, answer.keep_alive)
    return whole(head + body, AT_ONCE)


def web_page(answer: StreamedAnswer) -> Script:
    return _page(answer, 200, "text/html", b"<!doctype html><title>Sign in</title><p>Please sign in.</p>")


def not_streamed(answer: StreamedAnswer) -> Script:
    body = encode({"object": "text_completion", "choices": [{"index": 0, "text": " all at once"}]})
    return _page(answer, 200, JSON, body)


def gzip(answer: StreamedAnswer) -> Script:
    squeeze = zlib.compressobj(wbits=31)  # with the header of gzip
    headers = {"content-type": EVENT_STREAM, "content-encoding": "gzip", "transfer-encoding": "chunked"}

    def compressed(given: Iterable[Step]) -> Iterator[Step]:
        for step in given:
            squeezed = squeeze.compress(b"".join(step.events)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
            yield step._replace(events=[squeezed])

    return written(answer, compressed(steps(answer)), head=http_head(200, headers, answer.keep_alive))


def not_http(answer: StreamedAnswer) -> Script:
    return whole(b"SSH-2.0-OpenSSH_9.6\r\n", AT_ONCE, ending=Ending.CLOSED)


def bad_chunk(answer: StreamedAnswer) -> Script:
    return written(answer, steps(answer, answer.half), tail=b"zz\r\nno size\r\n" + LAST_CHUNK)


def redirect(answer: StreamedAnswer) -> Script:
    return _page(answer, 307, "text/plain", b"", location="https://elsewhere.example/v1/completions")


def server_error(answer: StreamedAnswer) -> Script:
    problem = {"error": {"message": "EngineCore encountered an issue", "type": "InternalServerError", "code": 500}}
    return _page(answer, 500, JSON, encode(problem))


def rate_limited(answer: StreamedAnswer) -> Script:
    refusal = too_many_requests(1)
    return _page(answer, refusal.status, JSON, encode(refusal.to_json()), retry_after=str(refusal.retry_after_s))
