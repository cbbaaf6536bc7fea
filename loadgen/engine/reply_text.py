"""What an answer said, as text, for the next turn of its conversation; read a little at a time, while other streams are served.

`reply` reads the same bytes after the run, for the record. Pure: no clock, no socket.
"""

import json
from collections.abc import Generator, Iterator, Sequence

import httptools

from loadgen.engine.framing import ResponseParser
from loadgen.engine.reply import GIVEN_UP
from loadgen.engine.sse import Event, SseParser

EVENTS_A_STEP = 16  # a tenth of a millisecond


def reply_text(reads: Sequence[bytes]) -> Generator[None, None, str | None]:
    """The text of the first choice of a chat's stream, without reasoning and calls; None where the answer is not whole.

    Yields after every few events, for the caller to do something else.
    """
    said: list[str] = []
    finish_reason: str | None = None
    try:
        for number, event in enumerate(_events(reads), start=1):
            if event.data != b"[DONE]":
                document = json.loads(event.data)
                if event.type == "error" or document.get("error"):
                    return None
                for choice in document.get("choices") or ():
                    if not choice.get("index"):
                        said.append((choice.get("delta") or {}).get("content") or "")
                        finish_reason = choice.get("finish_reason") or finish_reason
            if number % EVENTS_A_STEP == 0:
                yield
        text = "".join(said)
    except (httptools.HttpParserError, ValueError, RecursionError, AttributeError, TypeError):  # not as promised
        return None
    return None if finish_reason is None or finish_reason in GIVEN_UP else text


def _events(reads: Sequence[bytes]) -> Iterator[Event]:
    """The events of an answer's body. Raises httptools.HttpParserError."""
    parser, stream = ResponseParser(), SseParser()
    for read in reads:
        parser.feed(read)
        for _, part in parser.parts:
            yield from stream.feed(part)
        parser.parts.clear()
