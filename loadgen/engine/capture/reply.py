"""Parse a response: raw reads of one exchange into its outcome, its content arrivals and its token counts.

Runs after the response has ended, off the critical path, for every event of a run: it is kept cheap. Pure: no clock, no
socket. A read is named by its position, and becomes a timestamp only when the stamps are known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httptools

from loadgen.engine.capture.chunks import GIVEN_UP, Choices, content_bytes, goes_on, is_reasoning, only_index, text_of
from loadgen.engine.capture.server_message import (
    MAX_MESSAGE_CHARACTERS,
    message_of,
    parsed_json,
    sentence_in,
    states_failure,
)
from loadgen.engine.capture.sse import SseEvent, SseParser
from loadgen.engine.capture.stream_events import DONE, Failure, NotAsPromisedError, Skipped, read_event
from loadgen.engine.capture.token_counts import Arrived, count_tokens, read_usage, usage_of
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.records.record import CountedBy, Outcome
from loadgen.engine.wire.framing import ResponseParser

_MAX_CHOICES = 2**15  # what a record's column holds

_BEFORE_A_LINE = b"\xef\xbb\xbf\r\n"
_LINE_STARTS = (b":", b"data", b"event", b"id", b"retry")  # of an event stream; pieces of them are rare enough
_FIELDS = (b":", b"data:", b"event:", b"id:", b"retry:")  # what a body of another type begins with if it is one


@dataclass(slots=True)
class Reply:
    """The answer to one request.

    Arrivals are the content chunks: the read that completed each, its tokens, the choice that it belongs to and, where
    texts are kept, its text. One event that carries content of several choices is one arrival of each. `hidden_tokens` of
    `output_tokens` did not arrive; -1 if that is unknown. `skipped` counts events without a reply by kind.
    """

    outcome: Outcome = Outcome.OK
    http_status: int | None = None
    detail: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    hidden_tokens: int = 0
    counted_by: CountedBy = CountedBy.ASSUMED
    server_timing: dict[str, Any] | None = None
    arrival_reads: list[int] = field(default_factory=list)
    arrival_tokens: list[int] = field(default_factory=list)
    arrival_choices: list[int] = field(default_factory=list)
    arrival_texts: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    content_type: str | None = None  # of a good stream that calls itself something else
    left_open: bool = False  # ok, and its body did not end


def read_reply(exchange: Exchange, choices: int = 1, keep_texts: bool = False, tokens_asked: int = 1) -> Reply:
    """Interpret everything that arrived in `exchange`, whether or not it ended well.

    `choices` is how many answers the request asked for side by side (its `n`); it is ok when each has its finish_reason.
    """
    reply = Reply()
    parser = ResponseParser()
    broken: str | None = None
    try:
        for read in exchange.reads:
            parser.feed(read)
    except httptools.HttpParserError as error:
        broken = f"the answer is not HTTP: {error}"
    if exchange.room_bytes < 0:
        received = sum(map(len, exchange.reads)) / 2**20
        broken = (
            f"the answer was longer than {received:.1f} MiB, far more than its tokens need, and was given up; "
            "allow more with --max-reply-bytes"
        )
    if parser.status:
        reply.http_status = parser.status
    encoding = parser.header(b"content-encoding").decode(errors="replace").removeprefix("identity")
    if parser.status == 200 and encoding:
        broken = broken or f"the answer is compressed ({encoding}) although it was asked not to be: turn that off"
    whole = parser.ended or (exchange.complete and parser.may_end_by_close) or exchange.left_open_ns is not None

    stream: _Stream | None = None
    if parser.status == 200 and not encoding and _is_stream(parser, reply):
        stream = _Stream(reply, keep_texts, choices)
        try:
            stream.read(parser, whole)
        except NotAsPromisedError as error:
            broken = broken or str(error)
        whole = whole or stream.done
        stream.count_tokens()
        stream.finish()

    _settle(reply, exchange, parser=parser, whole=whole, broken=broken, stream=stream, tokens_asked=tokens_asked)
    return reply


def _is_stream(parser: ResponseParser, reply: Reply) -> bool:
    """Whether the body is an event stream: it says so, or it begins like one, whatever it is called."""
    content_type = parser.header(b"content-type")
    if content_type.startswith(b"text/event-stream"):
        return True
    begin = b"".join(part for _, part in parser.parts[:16])[:64].lstrip(_BEFORE_A_LINE)
    if not begin.startswith(_FIELDS):
        return False
    reply.content_type = content_type.decode(errors="replace")[:100] or "none"
    return True


def _settle(
    reply: Reply,
    exchange: Exchange,
    *,
    parser: ResponseParser,
    whole: bool,
    broken: str | None,
    stream: "_Stream | None",
    tokens_asked: int,
) -> None:
    """Give the reply its one outcome; the first that applies, in this order. A failure carries the server's own words."""
    message = _server_message(parser, stream)
    gave_up = exchange.failure in (Outcome.TIMEOUT, Outcome.CANCELLED) and stream is not None and stream.done
    if exchange.failure is not None and not (gave_up and reply.finish_reason is not None and broken is None):
        reply.outcome, reply.detail = exchange.failure, exchange.detail
    elif stream is not None and stream.failure is not None:
        reply.outcome, reply.detail = Outcome.STREAM_ERROR, stream.failure
    elif broken is not None:
        reply.outcome, reply.detail = Outcome.BAD_RESPONSE, broken
    elif parser.status == 0:
        lost = exchange.detail or "the connection was lost before the answer"
        reply.outcome, reply.detail = Outcome.CONNECT_ERROR, lost
    elif parser.status != 200:
        reply.outcome, reply.detail = Outcome.HTTP_ERROR, _error_text(parser, message)
    elif stream is None:
        if message is not None:
            reply.outcome, reply.detail = Outcome.STREAM_ERROR, message
        else:
            kind = parser.header(b"content-type").decode(errors="replace") or "no content type"
            reply.outcome, reply.detail = Outcome.BAD_RESPONSE, f"asked for an event stream, got {kind}"
    elif reply.finish_reason in GIVEN_UP:
        given_up = f"the server ended it with finish_reason {reply.finish_reason}"
        reply.outcome, reply.detail = Outcome.STREAM_ERROR, given_up
    elif reply.finish_reason is None and message is not None and stream.is_failure_message:
        reply.outcome, reply.detail = Outcome.STREAM_ERROR, message
    elif reply.finish_reason is None:
        ending = "the stream ended" if whole else exchange.detail or "the connection was lost"
        reply.outcome, reply.detail = Outcome.TRUNCATED, f"{ending} without a finish_reason{stream.unfinished}"
    elif not whole:
        ending = exchange.detail or "the connection was lost"
        reply.outcome, reply.detail = Outcome.TRUNCATED, f"{ending} before its end, after a finish_reason"
    elif tokens_asked > 0 and not reply.arrival_reads:
        counted = "" if not reply.output_tokens else f", although the server counted {reply.output_tokens:,}"
        none = f"no token of the {tokens_asked:,} asked came, with finish_reason {reply.finish_reason}{counted}"
        reply.outcome, reply.detail = Outcome.BAD_RESPONSE, none
    reply.left_open = reply.outcome is Outcome.OK and (gave_up or exchange.left_open_ns is not None)
    if reply.outcome is not Outcome.OK and message is not None and message not in (reply.detail or ""):
        reply.detail = f"{reply.detail}; the server said: {message}"


def _server_message(parser: ResponseParser, stream: "_Stream | None") -> str | None:
    """The server's own sentence, where the reply holds one."""
    if stream is not None:
        return stream.failure or stream.message
    if not parser.parts:
        return None
    body = b"".join(part for _, part in parser.parts)
    if parser.status != 200:
        return message_of(body)
    return failure_message(body)


class _Stream:
    """The events of one answer, gathered into its reply.

    `done` says that the protocol's own end came, `failure` and `message` what the server reported: that it failed, or what may be
    the reason if the answer has no good end.
    """

    def __init__(self, reply: Reply, keep_texts: bool, asked: int) -> None:
        self._reply = reply
        self._keep_texts = keep_texts
        self._asked = asked
        self._choices = Choices()
        self._arrived = Arrived()
        self._usage_so_far: dict[int, int] = {}  # by choice: servers count each on its own until the end
        # Whether every chunk so far brought its usage; a total that comes only at the end counts no chunk.
        self._usage_runs = True
        self._total_is_whole = False  # the last usage came after the choices, so that it counts all of them
        self._reasoning_tokens = 0
        self.done = False
        self.failure: str | None = None
        self.message: str | None = None
        self.is_failure_message = False
        self.unfinished = ""  # how many of several choices have no finish_reason, the rest of a sentence

    def read(self, parser: ResponseParser, whole: bool) -> None:
        """Take every event of the body. Raises NotAsPromisedError at the first that is not the JSON promised."""
        stream = SseParser()
        feed, take_event = stream.feed, self._take_event
        read_index = 0
        for read_index, part in parser.parts:
            for event in feed(part):
                take_event(event, read_index)
        if whole:
            for event in stream.end():
                try:
                    take_event(event, read_index)
                except NotAsPromisedError:
                    self.message = self.message or "(the last event is cut)"
        if stream.stray and self.failure is None:
            self.failure = failure_message(b"\n".join(stream.stray), has_ended=self._choices.last_reason is not None)
        if (
            not self._choices.finished
            and self.failure is None
            and parser.parts
            and not parser.parts[0][1].lstrip(_BEFORE_A_LINE).startswith(_LINE_STARTS)
        ):
            begin = parser.parts[0][1][:40].decode(errors="replace")
            raise NotAsPromisedError(f"the body holds no event: it begins {begin!r}")

    def _take_event(self, event: SseEvent, read_index: int) -> None:
        if event.data == DONE or event.data.strip() == DONE:
            self.done = True
            return
        if self.failure is not None:
            return
        document = read_event(event)
        if isinstance(document, dict):
            self._take(document, read_index)
        elif isinstance(document, Failure):
            self.failure = document.message[:MAX_MESSAGE_CHARACTERS]
        else:
            self._skip(document)

    def _skip(self, event: Skipped) -> None:
        skipped = self._reply.skipped
        skipped[event.kind] = skipped.get(event.kind, 0) + 1
        if event.message is not None:
            self.message, self.is_failure_message = event.message, event.kind == "no_choices"

    def _take(self, document: Mapping[str, object], read_index: int) -> None:
        reply, arrived = self._reply, self._arrived
        timing = document.get("metrics") or document.get("time_info")
        if isinstance(timing, dict):
            reply.server_timing = timing
        choices = document.get("choices")
        if not isinstance(choices, list):
            choices = []
        usage = usage_of(document, choices)
        tokens_used: int | None = None
        usage_began = bool(self._usage_so_far)
        if usage is not None:
            tokens_used = self._take_usage(usage, choices)
        elif choices:
            self._usage_runs = False
        for choice in choices:
            if not isinstance(choice, dict):
                raise NotAsPromisedError("a choice of an event is not a JSON object")
            index = self._index(choice)
            token_ids = choice.get("token_ids")
            tokens_listed = len(token_ids) if isinstance(token_ids, list) else None
            size = content_bytes(choice)
            finish_reason = choice.get("finish_reason")
            # A token may carry no text (half of a character): its id, or the running usage, gives it away. A usage that begins
            # where the choice ends is a total, which tells of no token here.
            is_running = usage_began or tokens_used == 1 or goes_on(finish_reason)
            carries = size > 0 or tokens_listed or (tokens_used and tokens_listed is None and is_running)
            self._choices.take(index, finish_reason, carries=bool(carries))
            if carries:
                self.message, self.is_failure_message = None, False
                arrived.text_bytes.append(size)
                arrived.has_reasoning = arrived.has_reasoning or is_reasoning(choice)
                reply.arrival_reads.append(read_index)
                arrived.from_token_ids.append(tokens_listed)
                arrived.from_usage.append(tokens_used)
                if self._keep_texts:
                    reply.arrival_texts.append(text_of(choice))

    def _take_usage(self, usage: Mapping[str, object], choices: Any) -> int | None:
        """Tokens of this event by its usage, where that runs along with the chunks."""
        reply, reported = self._reply, read_usage(usage)
        reply.prompt_tokens = reply.prompt_tokens if reported.prompt_tokens is None else reported.prompt_tokens
        reply.output_tokens = reply.output_tokens if reported.output_tokens is None else reported.output_tokens
        self._reasoning_tokens = reported.reasoning_tokens or self._reasoning_tokens
        self._total_is_whole = not choices
        if choices and self._usage_runs and reply.output_tokens is not None:
            return self._used_since(choices, reply.output_tokens)
        return None

    def _index(self, choice: Mapping[str, object]) -> int:
        """Which of the answers to one prompt this is, from 0. Raises NotAsPromisedError on one that cannot be."""
        if self._asked == 1:
            return only_index(choice)
        index = choice.get("index")
        if index is None:
            return 0
        if isinstance(index, int) and 0 <= index < _MAX_CHOICES:
            return index
        raise NotAsPromisedError(f"a choice of an event has the index {index!r}")

    def _used_since(self, choices: list[Any], output_tokens: int) -> int | None:
        """Tokens of this event by its running usage; None, from here on, once that is unknown."""
        index: int | None = None
        if len(choices) == 1 and isinstance(choices[0], dict):
            index = 0 if self._asked == 1 else self._index(choices[0])
        used = -1 if index is None else output_tokens - self._usage_so_far.get(index, 0)
        if index is None or used < 0:
            self._usage_runs = False
            return None
        self._usage_so_far[index] = output_tokens
        return used

    def finish(self) -> None:
        """Set the reply's finish_reason if all choices have theirs, those asked for and those that came."""
        reasons, given_up = self._choices.reasons, self._choices.given_up
        choices = max(self._asked, len(self._choices.finished))
        if len(reasons) == choices or given_up is not None:
            self._reply.finish_reason = given_up or ", ".join(dict.fromkeys(reasons))
        if choices > 1:
            self.unfinished = f" of {choices - len(reasons)} of its {choices} choices"

    def count_tokens(self) -> None:
        """Tokens of each arrival from the best source that covers them all; chunks that are numbered are of one choice."""
        reply, choices = self._reply, self._choices
        reply.arrival_choices = choices.content_indices
        if self._asked == 1 and (len(choices.finished) == 1 or choices.are_numbered_chunks):
            choices.finished = {0: choices.last_reason if choices.ends else None}
            reply.arrival_choices = [0] * len(choices.content_indices)
        elif len(choices.finished) > 1:
            if self._asked > 1 and self._usage_runs and self._usage_so_far and not self._total_is_whole:
                reply.output_tokens = sum(self._usage_so_far.values())
            elif not self._total_is_whole:
                reply.output_tokens = None
            if self._asked == 1:
                places = {index: place for place, index in enumerate(sorted(choices.finished))}
                reply.arrival_choices = [places[index] for index in reply.arrival_choices]
        self._arrived.choices = max(1, len(choices.finished))
        counts = count_tokens(self._arrived, reply.output_tokens, self._reasoning_tokens)
        reply.arrival_tokens, reply.counted_by = counts.by_chunk, counts.counted_by
        reply.output_tokens, reply.hidden_tokens = counts.output_tokens, counts.hidden_tokens


def failure_message(body: bytes, *, has_ended: bool = False) -> str | None:
    """The server's sentence in a body that is no event stream, if it is JSON that reports a failure.

    Next to a reply that `has_ended` with a finish_reason, a sentence alone reports none.
    """
    begin = body.lstrip(_BEFORE_A_LINE + b" \t")
    if not begin.startswith((b"{", b"[")):
        return None
    for text in (begin, *begin.splitlines()):
        document = parsed_json(text)
        for one in document if isinstance(document, list) else [document]:
            if isinstance(one, dict) and (states_failure(one) or (not has_ended and _is_only_message(one))):
                return sentence_in(one)
    return None


def _is_only_message(document: Mapping[str, object]) -> bool:
    return not document.get("choices") and any(document.get(key) for key in ("message", "detail", "msg"))


def _error_text(parser: ResponseParser, message: str | None) -> str:
    location = next((value for name, value in parser.headers if name.lower() == b"location"), None)
    if 300 <= parser.status < 400 and location is not None:
        target = location[:MAX_MESSAGE_CHARACTERS].decode(errors="replace")
        return f"HTTP {parser.status}: redirected to {target}, which is not followed: give that as --url"
    return f"HTTP {parser.status}: {message}" if message else f"HTTP {parser.status}"
