"""What an answer said: raw reads of one exchange into its outcome, its content arrivals and its token counts.

Runs after the response has ended, off the critical path. Pure: no clock, no socket. A read is named by its position, and
becomes a moment only when the stamps are known.
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
_GIVEN_UP = ("abort", "error")  # finish reasons by which a server says that it did not finish
_TEXT_FIELDS = ("content", "reasoning", "reasoning_content", "refusal")


class _NotAsPromisedError(Exception):
    """The stream carries something other than the JSON events that the protocol promises."""


@dataclass(slots=True)
class Reply:
    """The answer to one request. Arrivals are the content chunks: the read that completed each, and its tokens."""

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


def read_reply(exchange: Exchange) -> Reply:
    """Interpret everything that arrived in `exchange`, whether or not it ended well."""
    reply = Reply()
    parser = ResponseParser()
    broken: str | None = None
    try:
        for read in exchange.reads:
            parser.feed(read)
    except httptools.HttpParserError as error:
        broken = f"the answer is not HTTP: {error}"
    if parser.status:
        reply.http_status = parser.status
    whole = parser.ended or (exchange.complete and parser.may_end_by_close)

    if parser.status == 200 and parser.header(b"content-type").startswith(b"text/event-stream"):
        stream = _Stream(reply)
        try:
            stream.read(parser)
        except _NotAsPromisedError as error:
            broken = broken or str(error)
        stream.count_tokens()

    _settle(reply, exchange, parser, whole, broken)
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
    elif reply.finish_reason in _GIVEN_UP:
        reply.outcome, reply.detail = (
            Outcome.STREAM_ERROR,
            f"the server ended it with finish_reason {reply.finish_reason}",
        )
    elif reply.finish_reason is None:
        ending = "the stream ended" if whole else exchange.detail or "the connection was lost"
        reply.outcome, reply.detail = Outcome.TRUNCATED, f"{ending} without a finish_reason"


class _Stream:
    """The events of one answer, gathered into its reply."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._from_token_ids: list[int | None] = []
        self._from_usage: list[int | None] = []
        self._usage_so_far = 0
        self._usage_runs = (
            True  # every chunk so far brought its usage; a total that comes only at the end counts no chunk
        )

    def read(self, parser: ResponseParser) -> None:
        """Take every event of the body. Raises _NotAsPromisedError at the first that is not the JSON promised."""
        events = SseParser()
        for read_index, part in parser.parts:
            for event in events.feed(part):
                if event.data == b"[DONE]" or self._reply.outcome is Outcome.STREAM_ERROR:
                    continue
                try:
                    document = json.loads(event.data)
                except (ValueError, RecursionError):
                    raise _NotAsPromisedError(f"an event is not JSON: {_clip(event.data)}") from None
                if not isinstance(document, dict):
                    raise _NotAsPromisedError(f"an event is not a JSON object: {_clip(event.data)}")
                if event.type == "error" or document.get("error"):
                    self._reply.outcome = Outcome.STREAM_ERROR
                    self._reply.detail = _message(document) or _clip(event.data)
                    continue
                self._take(document, read_index)

    def _take(self, document: dict[str, Any], read_index: int) -> None:
        reply = self._reply
        timing = document.get("metrics") or document.get("time_info")
        if isinstance(timing, dict):
            reply.server_timing = timing
        has_content = False
        tokens_listed: int | None = None
        choices = document.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                raise _NotAsPromisedError("a choice of an event is not a JSON object")
            has_content = has_content or _carries_content(choice)
            token_ids = choice.get("token_ids")
            if isinstance(token_ids, list):
                tokens_listed = (tokens_listed or 0) + len(token_ids)
            if choice.get("finish_reason"):
                reply.finish_reason = str(choice["finish_reason"])
        tokens_used: int | None = None
        usage = document.get("usage")
        if isinstance(usage, dict):
            reply.prompt_tokens = _count(usage.get("prompt_tokens"), reply.prompt_tokens)
            reply.output_tokens = _count(usage.get("completion_tokens"), reply.output_tokens)
            if choices and self._usage_runs and reply.output_tokens is not None:
                tokens_used = reply.output_tokens - self._usage_so_far
                self._usage_so_far = reply.output_tokens
        elif choices:
            self._usage_runs = False
        # A token may carry no text (half of a character): its id, or the running usage, gives it away.
        if has_content or tokens_listed or (tokens_used and tokens_listed is None):
            reply.arrival_reads.append(read_index)
            self._from_token_ids.append(tokens_listed)
            self._from_usage.append(tokens_used)

    def count_tokens(self) -> None:
        """Tokens of each arrival from the best source that covers them all; a source that usage contradicts is no source."""
        reply = self._reply
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


def _carries_content(choice: dict[str, Any]) -> bool:
    """Whether a choice carries something generated: text, reasoning or a tool call; a role alone is none."""
    if choice.get("text"):
        return True
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return False
    return any(delta.get(name) for name in _TEXT_FIELDS) or bool(delta.get("tool_calls") or delta.get("function_call"))


def _count(value: object, otherwise: int | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else otherwise


def _message(document: dict[str, Any]) -> str | None:
    """The human sentence of an error document, in the dialects seen: OpenAI's, FastAPI's, a bare string."""
    error = document.get("error") or document.get("detail") or document.get("message")
    if isinstance(error, dict):
        error = error.get("message") or error
    return str(error)[:_LONGEST_TEXT] if error else None


def _error_text(parser: ResponseParser) -> str:
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
