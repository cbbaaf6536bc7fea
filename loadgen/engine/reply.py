"""What an answer said: raw reads of one exchange into its outcome, its content arrivals and its token counts.

Runs after the response has ended, off the critical path, for every event of a run: it is kept cheap. Pure: no clock, no
socket. A read is named by its position, and becomes a moment only when the stamps are known.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import httptools

from loadgen.engine.exchange import Exchange
from loadgen.engine.framing import ResponseParser
from loadgen.engine.record import CountedBy, Outcome
from loadgen.engine.sse import SseParser

_LONGEST_TEXT = 4000  # of what a server says; the recorder hides secrets in it and then cuts it to size
_MOST_CHOICES = 2**15  # what a record's column holds
GIVEN_UP = ("abort", "error")  # finish reasons by which a server says that it did not finish

_BEFORE_A_LINE = b"\xef\xbb\xbf\r\n"
_LINE_STARTS = (b":", b"data", b"event", b"id", b"retry")  # of an event stream; pieces of them are rare enough

_decode_json = json.JSONDecoder().raw_decode  # half the cost of json.loads, which guesses the encoding first


class _NotAsPromisedError(Exception):
    """The stream carries something other than the JSON events that the protocol promises."""


@dataclass(slots=True)
class Reply:
    """The answer to one request.

    Arrivals are the content chunks: the read that completed each, its tokens, the choice that it belongs to and, where
    texts are kept, its text. One event that carries content of several choices is one arrival of each.
    """

    outcome: Outcome = Outcome.OK
    http_status: int | None = None
    detail: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    counted_by: CountedBy = CountedBy.ASSUMED
    server_timing: dict[str, Any] | None = None
    arrival_reads: list[int] = field(default_factory=list)
    arrival_tokens: list[int] = field(default_factory=list)
    arrival_choices: list[int] = field(default_factory=list)
    arrival_texts: list[str] = field(default_factory=list)


def read_reply(exchange: Exchange, choices: int = 1, keep_texts: bool = False) -> Reply:
    """Interpret everything that arrived in `exchange`, whether or not it ended well.

    `choices` is how many answers the request asked for side by side (its `n`); it is ok when each has its finish_reason.
    """
    reply = Reply()
    parser = ResponseParser()
    broken: str | None = None
    unfinished = ""
    try:
        for read in exchange.reads:
            parser.feed(read)
    except httptools.HttpParserError as error:
        broken = f"the answer is not HTTP: {error}"
    if exchange.room_bytes < 0:
        received = sum(map(len, exchange.reads)) / 2**20
        broken = f"the answer was longer than {received:.1f} MiB, far more than its tokens need, and was given up"
    if parser.status:
        reply.http_status = parser.status
    encoding = parser.header(b"content-encoding").decode(errors="replace").removeprefix("identity")
    if parser.status == 200 and encoding:
        broken = broken or f"the answer is compressed ({encoding}) although it was asked not to be: turn that off"
    whole = parser.ended or (exchange.complete and parser.may_end_by_close)

    if parser.status == 200 and not encoding and parser.header(b"content-type").startswith(b"text/event-stream"):
        stream = _Stream(reply, keep_texts)
        try:
            stream.read(parser)
        except _NotAsPromisedError as error:
            broken = broken or str(error)
        stream.count_tokens()
        unfinished = stream.finish(choices)

    _settle(reply, exchange, parser, whole, broken)
    if reply.outcome is Outcome.TRUNCATED:
        reply.detail = f"{reply.detail}{unfinished}"
    return reply


def _settle(reply: Reply, exchange: Exchange, parser: ResponseParser, whole: bool, broken: str | None) -> None:
    """Give the reply its one outcome; the first that applies, in this order."""
    if exchange.failure is not None:
        reply.outcome, reply.detail = exchange.failure, exchange.detail
    elif broken is not None:
        reply.outcome, reply.detail = Outcome.BAD_RESPONSE, broken
    elif parser.status == 0:
        reply.outcome, reply.detail = (
            Outcome.CONNECT_ERROR,
            exchange.detail or "the connection was lost before the answer",
        )
    elif parser.status != 200:
        reply.outcome, reply.detail = Outcome.HTTP_ERROR, _error_text(parser)
    elif reply.outcome is Outcome.STREAM_ERROR:
        pass
    elif not parser.header(b"content-type").startswith(b"text/event-stream"):
        kind = parser.header(b"content-type").decode(errors="replace") or "no content type"
        reply.outcome, reply.detail = Outcome.BAD_RESPONSE, f"asked for an event stream, got {kind}"
    elif reply.finish_reason in GIVEN_UP:
        reply.outcome, reply.detail = (
            Outcome.STREAM_ERROR,
            f"the server ended it with finish_reason {reply.finish_reason}",
        )
    elif reply.finish_reason is None:
        ending = "the stream ended" if whole else exchange.detail or "the connection was lost"
        reply.outcome, reply.detail = Outcome.TRUNCATED, f"{ending} without a finish_reason"


class _Stream:
    """The events of one answer, gathered into its reply."""

    def __init__(self, reply: Reply, keep_texts: bool) -> None:
        self._reply = reply
        self._keep_texts = keep_texts
        self._finished: dict[int, str | None] = {}  # finish_reason by choice, None of one that goes on
        self._from_token_ids: list[int | None] = []
        self._from_usage: list[int | None] = []
        self._usage_so_far: dict[int, int] = {}  # by choice: servers count each on its own until the end
        self._usage_runs = (
            True  # every chunk so far brought its usage; a total that comes only at the end counts no chunk
        )
        self._total_is_whole = False  # the last usage came after the choices, so that it counts all of them

    def read(self, parser: ResponseParser) -> None:
        """Take every event of the body. Raises _NotAsPromisedError at the first that is not the JSON promised."""
        reply, take, feed = self._reply, self._take, SseParser().feed
        for read_index, part in parser.parts:
            for event in feed(part):
                if event.data == b"[DONE]" or reply.outcome is Outcome.STREAM_ERROR:
                    continue
                document = _parse(event.data)
                if event.type == "error" or document.get("error"):
                    reply.outcome = Outcome.STREAM_ERROR
                    reply.detail = _message(document) or _clip(event.data)
                    continue
                take(document, read_index)
        if (
            not self._finished
            and parser.parts
            and not parser.parts[0][1].lstrip(_BEFORE_A_LINE).startswith(_LINE_STARTS)
        ):
            raise _NotAsPromisedError(f"the body holds no event: it begins {_clip(parser.parts[0][1][:40])!r}")

    def _take(self, document: dict[str, Any], read_index: int) -> None:
        reply = self._reply
        timing = document.get("metrics") or document.get("time_info")
        if isinstance(timing, dict):
            reply.server_timing = timing
        choices = document.get("choices")
        if not isinstance(choices, list):
            choices = ()
        usage = document.get("usage")
        tokens_used: int | None = None
        if isinstance(usage, dict):
            reply.prompt_tokens = _count(usage.get("prompt_tokens"), reply.prompt_tokens)
            reply.output_tokens = _count(usage.get("completion_tokens"), reply.output_tokens)
            self._total_is_whole = not choices
            if choices and self._usage_runs and reply.output_tokens is not None:
                tokens_used = self._used_since(choices, reply.output_tokens)
        elif choices:
            self._usage_runs = False
        for choice in choices:
            if not isinstance(choice, dict):
                raise _NotAsPromisedError("a choice of an event is not a JSON object")
            index = _index(choice)
            finish_reason = choice.get("finish_reason")
            if finish_reason:
                self._finished[index] = str(finish_reason)
            elif index not in self._finished:
                self._finished[index] = None
            token_ids = choice.get("token_ids")
            tokens_listed = len(token_ids) if isinstance(token_ids, list) else None
            # A token may carry no text (half of a character): its id, or the running usage, gives it away.
            if tokens_listed or _carries_content(choice) or (tokens_used and tokens_listed is None):
                reply.arrival_reads.append(read_index)
                reply.arrival_choices.append(index)
                self._from_token_ids.append(tokens_listed)
                self._from_usage.append(tokens_used)
                if self._keep_texts:
                    reply.arrival_texts.append(text_of(choice))

    def _used_since(self, choices: list[Any], output_tokens: int) -> int | None:
        """Tokens of this event by its running usage; None, from here on, where that cannot be told."""
        index = _index(choices[0]) if len(choices) == 1 and isinstance(choices[0], dict) else None
        used = -1 if index is None else output_tokens - self._usage_so_far.get(index, 0)
        if index is None or used < 0:
            self._usage_runs = False
            return None
        self._usage_so_far[index] = output_tokens
        return used

    def finish(self, asked: int) -> str:
        """Set the reply's finish_reason if all choices have theirs, those `asked` for and those that came.

        The rest of a sentence: how many choices have none, where there are several.
        """
        reasons = [reason for _, reason in sorted(self._finished.items()) if reason is not None]
        choices = max(asked, len(self._finished))
        given_up = next((reason for reason in reasons if reason in GIVEN_UP), None)
        if len(reasons) == choices or given_up is not None:
            self._reply.finish_reason = given_up or ", ".join(dict.fromkeys(reasons))
        return f" of {choices - len(reasons)} of its {choices} choices" if choices > 1 else ""

    def count_tokens(self) -> None:
        """Tokens of each arrival from the best source that covers them all; a source that usage contradicts is no source."""
        reply = self._reply
        if len(self._finished) > 1 and not self._total_is_whole:
            reply.output_tokens = sum(self._usage_so_far.values()) if self._usage_runs and self._usage_so_far else None
        total = reply.output_tokens
        for source, counted_by in ((self._from_token_ids, CountedBy.TOKEN_IDS), (self._from_usage, CountedBy.USAGE)):
            counts = [count for count in source if count is not None]
            if counts and len(counts) == len(source) and total in (None, sum(counts)):
                reply.arrival_tokens, reply.counted_by, reply.output_tokens = counts, counted_by, sum(counts)
                return
        reply.arrival_tokens = [1] * len(reply.arrival_reads)
        if total is not None and total == len(reply.arrival_reads):
            reply.counted_by = CountedBy.USAGE
        elif total is None and reply.arrival_reads:
            reply.output_tokens = len(reply.arrival_reads)


def _parse(data: bytes) -> dict[str, Any]:
    """The JSON object of an event. Raises _NotAsPromisedError."""
    try:
        text = data.decode()
        document, end = _decode_json(text)
        if end != len(text) and text[end:].strip():
            raise ValueError
    except (ValueError, RecursionError):
        try:
            document = json.loads(data)  # it also knows leading blanks and other encodings
        except (ValueError, RecursionError):
            raise _NotAsPromisedError(f"an event is not JSON: {_clip(data)}") from None
    if not isinstance(document, dict):
        raise _NotAsPromisedError(f"an event is not a JSON object: {_clip(data)}")
    return document


def _index(choice: dict[str, Any]) -> int:
    """Which of the answers to one prompt this is, from 0. Raises _NotAsPromisedError on one that cannot be."""
    index = choice.get("index")
    if index is None:
        return 0
    if not isinstance(index, int) or not 0 <= index < _MOST_CHOICES:
        raise _NotAsPromisedError(f"a choice of an event has the index {index!r}")
    return index


def _carries_content(choice: dict[str, Any]) -> bool:
    """Whether a choice carries something generated: text, reasoning, a refusal or a part of a call; a role alone is none."""
    if choice.get("text"):
        return True
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return False
    if delta.get("content"):
        return True
    return bool(
        delta.get("reasoning")
        or delta.get("reasoning_content")
        or delta.get("refusal")
        or (delta.keys() & _CALLS and _calls_text(delta))
    )


def text_of(choice: dict[str, Any]) -> str:
    """Everything generated in a choice, as one text: reasoning, text, refusal, names and arguments of calls."""
    text = choice.get("text")
    if isinstance(text, str):
        return text
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return ""
    # Some servers send the same reasoning under its old name as well.
    parts = (delta.get("reasoning") or delta.get("reasoning_content"), delta.get("content"), delta.get("refusal"))
    return "".join(part for part in parts if isinstance(part, str)) + _calls_text(delta)


_CALLS = {"tool_calls", "function_call"}


def _calls_text(delta: dict[str, Any]) -> str:
    """Names and arguments in the calls of a delta; ids and types are the server's own, not the model's."""
    calls = delta.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    functions.append(delta.get("function_call"))
    parts = [function.get(key) for function in functions if isinstance(function, dict) for key in ("name", "arguments")]
    return "".join(part for part in parts if isinstance(part, str))


def _count(value: object, otherwise: int | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else otherwise


def _message(document: dict[str, Any]) -> str | None:
    """The human sentence of an error document, in the dialects seen: OpenAI's, FastAPI's, a bare string."""
    error = document.get("error") or document.get("detail") or document.get("message")
    if isinstance(error, dict):
        error = error.get("message") or error
    return str(error)[:_LONGEST_TEXT] if error else None


def _error_text(parser: ResponseParser) -> str:
    location = next((value for name, value in parser.headers if name.lower() == b"location"), None)
    if 300 <= parser.status < 400 and location is not None:
        return f"HTTP {parser.status}: redirected to {_clip(location)}, which is not followed: give that as --url"
    body = b"".join(part for _, part in parser.parts)
    message: str | None = None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        message = _clip(body) if body else None
    else:
        message = _message(document) if isinstance(document, dict) else _clip(body)
    return f"HTTP {parser.status}: {message}" if message else f"HTTP {parser.status}"


def _clip(data: bytes) -> str:
    return data[:_LONGEST_TEXT].decode(errors="replace")
