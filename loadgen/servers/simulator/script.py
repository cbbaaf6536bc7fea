"""A response as writes: what goes out when, how many tokens each write completes, and what becomes of the connection. Pure.

A well-behaved response is one such script, and each fault is another; the service carries them all out alike.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from loadgen.servers.simulator.dialect import EVENT_STREAM, LAST_CHUNK, StreamEncoder, framed, http_head


class Ending(Enum):
    """What follows the last write of a response."""

    ANSWERED = auto()  # the connection is kept, if the client asked so
    ANSWERED_AND_CLOSED = auto()  # it was the whole response, and the connection is closed
    CLOSED = auto()  # the connection is closed within the response
    RESET = auto()  # the same with a TCP reset
    SILENT = auto()  # nothing: the connection stays open until the client leaves


AT_ONCE = -1
"""In the place of a token: the moment when the request starts."""


class Write(NamedTuple):
    """`data` goes out when token `due` is due (`AT_ONCE`: when the request starts) and completes `tokens` tokens."""

    due: int
    data: bytes
    tokens: int
    ending: Ending | None = None  # only the last write has one


Script = Iterator[Write]


class ScriptStep(NamedTuple):
    """The events of one write, before they are framed."""

    due: int
    events: list[bytes]
    tokens: int


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """What a script is made from: the events of the response, whether the client wants to keep the connection, and more headers."""

    encoder: StreamEncoder
    keep_alive: bool
    headers: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def output_tokens(self) -> int:
        """Tokens of each choice."""
        return self.encoder.generation.output_tokens

    @property
    def half(self) -> int:
        """How many tokens go out before a fault in the middle: half of them, and at least one."""
        return max(1, self.output_tokens // 2)

    def head(self) -> bytes:
        """Status line and headers of a chunked event stream."""
        kind: dict[str, str | None] = {"content-type": EVENT_STREAM, "transfer-encoding": "chunked"}
        return http_head(200, kind | dict(self.headers), self.keep_alive)


def plain(response: StreamedResponse) -> Script:
    """Each token in a chunk of its own, when it is due."""
    encoder, last, choices = response.encoder, response.output_tokens - 1, response.encoder.generation.choices
    head = response.head()
    for token in range(last):
        yield Write(token, head + encoder.token(token), choices)
        head = b""
    yield Write(last, head + encoder.token(last), choices, Ending.ANSWERED)


def whole(response: bytes, due: int, tokens: int = 0, ending: Ending = Ending.ANSWERED) -> Script:
    """One write is all."""
    yield Write(due, response, tokens, ending)


def steps(response: StreamedResponse, until: int | None = None) -> Iterator[ScriptStep]:
    """The events of a well-behaved response, token by token, as far as token `until`."""
    choices = response.encoder.generation.choices
    for token in range(response.output_tokens if until is None else until):
        yield ScriptStep(token, response.encoder.events(token), choices)


def written(
    response: StreamedResponse,
    given: Iterable[ScriptStep],
    *,
    ending: Ending = Ending.ANSWERED,
    head: bytes | None = None,
    frame: Callable[[bytes], bytes] = framed,
    tail: bytes = LAST_CHUNK,
) -> Script:
    """Each step of `given` as a write, with `head` before the first; then `tail`, at once, and the `ending`."""
    before = response.head() if head is None else head
    due = 0
    for due, events, tokens in given:
        yield Write(due, before + b"".join(frame(event) for event in events), tokens)
        before = b""
    yield Write(due, before + tail, 0, ending)
