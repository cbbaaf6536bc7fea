"""What faults write in place of a well-behaved response: scripts of their own, and what makes the short ones for the table. Pure.

A fault in the middle of a response comes after half of its tokens. Where no moment is named, tokens go out when they are due.
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
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
    ScriptStep,
    StreamedResponse,
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
ENGINE_PROBLEM = {"error": {"message": "EngineCore encountered an issue", "type": "InternalServerError", "code": 500}}


ScriptOf = Callable[[StreamedResponse], Script]


def by_steps(make: Callable[[StreamedResponse], Iterable[ScriptStep]]) -> ScriptOf:
    """Make a script of a function that yields the steps to write."""
    return lambda response: written(response, make(response))


def respelled(old: bytes, new: bytes) -> ScriptOf:
    """The well-behaved steps with `old` replaced by `new` in every event; one of which nothing is left is none."""
    return by_steps(lambda response: _respelled(response, old, new))


def _respelled(response: StreamedResponse, old: bytes, new: bytes) -> Iterator[ScriptStep]:
    for step in steps(response):
        yield step._replace(events=[new_one for one in step.events if (new_one := one.replace(old, new))])


def asking(**changes: Any) -> ScriptOf:
    """The response to a request that differs from the real one in `changes`, fields of `Generation`."""
    return lambda response: plain(_asking(response, **changes))


def _asking(response: StreamedResponse, **changes: Any) -> StreamedResponse:
    return replace(response, encoder=response.encoder.answering(replace(response.encoder.generation, **changes)))


def whole_steps(ending: Ending, tail: bytes = LAST_CHUNK) -> ScriptOf:
    """All tokens, and an end of another kind."""
    return lambda response: written(response, steps(response), ending=ending, tail=tail)


def half_of_steps(ending: Ending = Ending.ANSWERED, tail: bytes = b"") -> ScriptOf:
    """Half of the tokens, and the end of the response."""
    return lambda response: written(response, steps(response, response.half), ending=ending, tail=tail)


def unframed(*, keep_alive: bool, version: str = "1.1") -> ScriptOf:
    """A body without a length, that ends with the connection; `keep_alive`: the head does not say so."""

    def script(response: StreamedResponse) -> Script:
        head = http_head(200, {"content-type": EVENT_STREAM}, keep_alive, version)
        return written(response, steps(response), ending=Ending.ANSWERED_AND_CLOSED, head=head, frame=bytes, tail=b"")

    return script


def bare(data: bytes, due: int, ending: Ending) -> ScriptOf:
    """These bytes in place of a response."""
    return lambda response: whole(data, due, ending=ending)


def page(status: int, kind: str, body: bytes, **headers: str) -> ScriptOf:
    """A response of stated length in place of the stream, at once."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = {"content-length": str(len(body)), "content-type": kind, **named}
    return lambda response: whole(http_head(status, lines, response.keep_alive) + body, AT_ONCE)


# Legal streams, and how a careless reader is misled by them.


def early_role(response: StreamedResponse) -> Script:
    opening = response.encoder.opening() or [response.encoder.content(range(0))]
    roles = len(response.encoder.opening())
    later = (step._replace(events=step.events[roles:]) if step.due == 0 else step for step in steps(response))
    return written(response, [ScriptStep(AT_ONCE, opening, 0), *later])


@by_steps
def empty_deltas(response: StreamedResponse) -> Iterator[ScriptStep]:
    """An empty delta at every other moment, the first one included, and the tokens in between."""
    for token, events, tokens in steps(response):
        yield ScriptStep(2 * token, [response.encoder.content(range(token, token))], 0)
        yield ScriptStep(2 * token + 1, events, tokens)


@by_steps
def usage_with_choices(response: StreamedResponse) -> Iterator[ScriptStep]:
    usage = b',"usage":' + encode(response.encoder.usage()) + b"}\n\n"
    for step in steps(_asking(response, include_usage=False, continuous_usage=False)):
        if step.due == response.output_tokens - 1:
            *before, last, done = step.events
            step = step._replace(events=[*before, last.removesuffix(b"}\n\n") + usage, done])
        yield step


def _groups(response: StreamedResponse) -> Iterator[range]:
    """The first token alone, then as many together as make a group; the last group may be smaller."""
    yield range(1)
    for first in range(1, response.output_tokens, _GROUP_TOKENS):
        yield range(first, min(first + _GROUP_TOKENS, response.output_tokens))


@by_steps
def merged_tokens(response: StreamedResponse) -> Iterator[ScriptStep]:
    encoder = response.encoder
    for group in _groups(response):
        events = [encoder.content(group)]
        if group.start == 0:
            events = encoder.opening() + events
        if group.stop == response.output_tokens:
            events += encoder.closing()
        yield ScriptStep(group.stop - 1, events, len(group))


@by_steps
def joined_chunks(response: StreamedResponse) -> Iterator[ScriptStep]:
    for group in _groups(response):
        yield ScriptStep(group.stop - 1, [one for token in group for one in response.encoder.events(token)], len(group))


@by_steps
def numbered_chunks(response: StreamedResponse) -> Iterator[ScriptStep]:
    for step in steps(response):
        index = b'"index":%d' % max(0, step.due)
        yield step._replace(events=[one.replace(b'"index":0', index) for one in step.events])


@by_steps
def zero_usage(response: StreamedResponse) -> Iterator[ScriptStep]:
    for step in steps(response):
        yield step._replace(events=[_USED.sub(rb"\g<1>0", one) for one in step.events])


def split_characters(response: StreamedResponse) -> Script:
    """Token k's event ends when it is due; all before the middle of its first character went out with the one before."""
    early = b""
    writes = list(written(response, _respelled(response, b'":" ', '":" é→𝄞'.encode())))
    for write, following in zip(writes, [*writes[1:], Write(0, b"", 0)], strict=True):
        cut = following.data.find("é".encode()) + 1
        yield write._replace(data=write.data.removeprefix(early) + following.data[:cut])
        early = following.data[:cut]


@by_steps
def long_line(response: StreamedResponse) -> Iterator[ScriptStep]:
    padding = b'data: {"padding":"' + b"x" * LONG_LINE_BYTES + b'",'
    for step in steps(response):
        *before, last = step.events
        yield step._replace(events=[*before, last.replace(b"data: {", padding)]) if step.due == 1 else step


def early_hints(response: StreamedResponse) -> Script:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
    yield Write(AT_ONCE, hints, 0)
    yield from plain(response)


# Answers that fail.


@by_steps
def error_event(response: StreamedResponse) -> Iterator[ScriptStep]:
    yield from steps(response, response.half)
    yield ScriptStep(response.half, [event(ENGINE_PROBLEM), DONE], 0)


@by_steps
def content_after_finish(response: StreamedResponse) -> Iterator[ScriptStep]:
    last = response.output_tokens - 1
    for step in steps(response):
        if step.due == last:
            *before, done = step.events
            more = response.encoder.content(range(1))
            step = step._replace(events=[*before, more, done], tokens=step.tokens + 1)
        yield step


@by_steps
def unfinished_choice(response: StreamedResponse) -> Iterator[ScriptStep]:
    for step in steps(_asking(response, choices=2)):
        events = list(step.events)
        if step.due == response.output_tokens - 1:
            second = next(place for place, one in enumerate(events) if b'"index":1' in one and b'"length"' in one)
            events[second] = events[second].replace(b'"finish_reason":"length"', b'"finish_reason":null')
        yield step._replace(events=events)


@by_steps
def endless_line(response: StreamedResponse) -> Iterator[ScriptStep]:
    yield from steps(response, 1)
    yield ScriptStep(1, [b'data: {"choices":[{"index":0,"text":"'], 0)
    for due in range(2, 2**62):
        yield ScriptStep(due, [b"x" * _PIECE_BYTES], 0)


@by_steps
def cut_json(response: StreamedResponse) -> Iterator[ScriptStep]:
    for step in steps(response):
        if step.due == response.half:
            step = step._replace(events=[one[: len(one) // 2] + b"\n\n" for one in step.events])
        yield step


@by_steps
def garbage(response: StreamedResponse) -> Iterator[ScriptStep]:
    for step in steps(response):
        yield step._replace(events=[bytes(range(256)) * 4], tokens=0)


def gzip(response: StreamedResponse) -> Script:
    squeeze = zlib.compressobj(wbits=31)  # with the header of gzip
    headers = {"content-type": EVENT_STREAM, "content-encoding": "gzip", "transfer-encoding": "chunked"}

    def squeezed(step: ScriptStep) -> bytes:
        return squeeze.compress(b"".join(step.events)) + squeeze.flush(zlib.Z_SYNC_FLUSH)

    given = (step._replace(events=[squeezed(step)]) for step in steps(response))
    return written(response, given, head=http_head(200, headers, response.keep_alive))


def rate_limited(response: StreamedResponse) -> Script:
    refusal = too_many_requests(1)
    body, wait_s = encode(refusal.to_json()), str(refusal.retry_after_s)
    return page(refusal.status, JSON, body, retry_after=wait_s)(response)
