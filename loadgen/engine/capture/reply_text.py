"""The text of a reply, for the next turn of its conversation; read a little at a time, while other streams are served.

`reply` reads the same bytes after the run, for the record. Pure: no clock, no socket.
"""

from collections.abc import Generator, Iterator, Sequence

import httptools

from loadgen.engine.capture.chunks import Choices, content_bytes, only_index, text_for_next_turn
from loadgen.engine.capture.sse import SseEvent, SseParser
from loadgen.engine.capture.stream_events import DONE, Failure, NotAsPromisedError, read_event
from loadgen.engine.wire.framing import ResponseParser

EVENTS_A_STEP = 16  # a tenth of a millisecond


def reply_text(reads: Sequence[bytes]) -> Generator[None, None, str | None]:
    """The text of the first choice of a chat's stream, without reasoning and calls; None where the answer is not whole.

    Yields after every few events, for the caller to do something else.
    """
    texts: list[tuple[int, str]] = []  # index of the choice, text
    ended = Choices()
    try:
        for number, event in enumerate(_events(reads), start=1):
            if event.data.strip() != DONE:
                document = read_event(event)
                if isinstance(document, Failure):
                    return None
                choices = document.get("choices") if isinstance(document, dict) else None
                for choice in choices if isinstance(choices, list) else ():
                    index = only_index(choice)
                    texts.append((index, text_for_next_turn(choice)))
                    ended.take(index, choice.get("finish_reason"), carries=content_bytes(choice) > 0)
            if number % EVENTS_A_STEP == 0:
                yield
    except (httptools.HttpParserError, NotAsPromisedError, ValueError, AttributeError, TypeError):
        return None
    if not ended.ends or not ended.content_indices or ended.given_up is not None:
        return None
    numbered, first = ended.are_numbered_chunks, min(ended.finished, default=0)
    return "".join(text for index, text in texts if numbered or index == first)


def _events(reads: Sequence[bytes]) -> Iterator[SseEvent]:
    """The events of an answer's body. Raises httptools.HttpParserError."""
    parser, stream = ResponseParser(), SseParser()
    for read in reads:
        parser.feed(read)
        for _, part in parser.parts:
            yield from stream.feed(part)
        parser.parts.clear()
    if parser.ended or parser.may_end_by_close:
        yield from stream.end()
