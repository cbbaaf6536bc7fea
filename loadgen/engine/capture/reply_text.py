"""What an answer said, as text, for the next turn of its conversation; read a little at a time, while other streams are served.

`reply` reads the same bytes after the run, for the record. Pure: no clock, no socket.
"""

from collections.abc import Generator, Iterator, Sequence

import httptools

from loadgen.engine.capture.choices import is_numbered, only_index
from loadgen.engine.capture.chunk_content import content_bytes, said_in
from loadgen.engine.capture.reply import GIVEN_UP, goes_on
from loadgen.engine.capture.sse import Event, SseParser
from loadgen.engine.capture.stream_events import DONE, Failure, NotAsPromisedError, read_event
from loadgen.engine.wire.framing import ResponseParser

EVENTS_A_STEP = 16  # a tenth of a millisecond


def reply_text(reads: Sequence[bytes]) -> Generator[None, None, str | None]:
    """The text of the first choice of a chat's stream, without reasoning and calls; None where the answer is not whole.

    Yields after every few events, for the caller to do something else.
    """
    said: list[tuple[int, str]] = []  # index of the choice, text
    finished: dict[int, str | None] = {}
    carried: list[int] = []  # the index of each chunk with content, reasoning included
    ends = False
    try:
        for number, event in enumerate(_events(reads), start=1):
            if event.data.strip() != DONE:
                document = read_event(event)
                if isinstance(document, Failure):
                    return None
                choices = document.get("choices") if isinstance(document, dict) else None
                for choice in choices if isinstance(choices, list) else ():
                    index = only_index(choice)
                    said.append((index, said_in(choice)))
                    if content_bytes(choice):
                        carried.append(index)
                        ends = False
                    reason = choice.get("finish_reason")
                    if not goes_on(reason):
                        finished[index] = reason
                        ends = True
                    elif content_bytes(choice) or index not in finished:
                        finished[index] = None
            if number % EVENTS_A_STEP == 0:
                yield
        numbered = is_numbered(carried, finished, ends)
        first = min(finished, default=0)
    except (httptools.HttpParserError, NotAsPromisedError, ValueError, AttributeError, TypeError):
        return None
    if not ends or not carried or any(reason in GIVEN_UP for reason in finished.values()):
        return None
    return "".join(text for index, text in said if numbered or index == first)


def _events(reads: Sequence[bytes]) -> Iterator[Event]:
    """The events of an answer's body. Raises httptools.HttpParserError."""
    parser, stream = ResponseParser(), SseParser()
    for read in reads:
        parser.feed(read)
        for _, part in parser.parts:
            yield from stream.feed(part)
        parser.parts.clear()
    if parser.ended or parser.may_end_by_close:
        yield from stream.end()
