"""Exchanges into records: stamps become timestamps on the run's own axis, bytes become replies. After the run, never in it."""

import itertools
import json
import sys
from collections.abc import Iterable, Iterator

import numpy as np

from loadgen.engine.capture.reply import Reply, read_reply
from loadgen.engine.capture.sample import ReplySample, first_choice
from loadgen.engine.capture.tokenizer import Tokenizer, count_by_tokenizer
from loadgen.engine.eventloop.clock import WallClock
from loadgen.engine.records.exchange import Exchange, unpack_stamps
from loadgen.engine.records.record import (
    Bool,
    CountedBy,
    Int16,
    Int64,
    Outcome,
    Records,
    ReplyFacts,
    RequestRecord,
    StampSource,
)
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import LoadShape

KERNEL_SHARE = 0.99
"""A run counts as stamped by the kernel when at least this share of its reads was; a socket's very first read may lack it."""

_MIN_SECRET_LENGTH = 6  # shorter header values are ordinary words, and hiding them would garble messages
_DETAIL_CHARACTERS = 300
_RECORDS_PER_PIECE = 1000
_MAX_FINISH_REASONS = 50  # words of the server; more than this are not words


def _batches(exchanges: Iterable[Exchange]) -> Iterator[Iterable[Exchange]]:
    waiting = iter(exchanges)
    for first in waiting:
        yield itertools.chain([first], itertools.islice(waiting, _RECORDS_PER_PIECE - 1))


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _DETAIL_CHARACTERS else text[: _DETAIL_CHARACTERS - 1] + "…"


def stamp_source(reads: int, stamped_at_read: int) -> StampSource:
    """Return what stamped a run as a whole of whose `reads` the kernel did not stamp `stamped_at_read`."""
    return "kernel" if reads and stamped_at_read <= (1 - KERNEL_SHARE) * reads else "read"


class Recorder:
    """Turns the exchanges of one run into its records. `origin_ns` is t = 0 on the monotonic clock.

    `secrets` are texts, such as keys sent in headers, that must not be kept even when the server repeats them.
    `tokenizer` counts the tokens of chunks where the server does not report them. `sample` has the replies kept with their text.
    """

    def __init__(
        self,
        schedule: Schedule,
        shape: LoadShape,
        *,
        origin_ns: int,
        wall_clock: WallClock,
        secrets: Iterable[str] = (),
        tokenizer: Tokenizer | None = None,
        keep_replies: int = 0,
    ) -> None:
        self._schedule = schedule
        self._from_due = shape.latency_start == "due"
        self._origin_ns = origin_ns
        self._wall_clock = wall_clock
        self._tokenizer = tokenizer
        self.sample = ReplySample(keep_replies)
        self.reads = self._stamped_at_read = 0
        self.replies = ReplyFacts()
        self._secrets = [secret for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH]

    def pieces(self, exchanges: Iterable[Exchange]) -> Iterator[Records]:
        """The records a few at a time, in the order given: that in which they ended, at least within each slot.

        So each request of a closed loop knows when its slot became free, and nobody holds all the raw bytes at once.
        """
        slot_free_ns: dict[int, int] = {}
        for batch in _batches(exchanges):
            yield self._records(batch, slot_free_ns)

    def _records(self, batch: Iterable[Exchange], slot_free_ns: dict[int, int]) -> Records:
        exchanges, rows = [], []
        for exchange in batch:
            exchanges.append(exchange)
            try:
                rows.append(self._row(exchange, slot_free_ns))
            except Exception as error:  # a fault of ours, which must not cost the run its other requests
                rows.append(self._unreadable(exchange, error))
        try:
            return Records.from_rows(rows)
        except Exception:  # a value that no column takes: that row alone is left out
            return Records.from_rows([self._storable(*each) for each in zip(exchanges, rows, strict=True)])

    def _storable(self, exchange: Exchange, row: RequestRecord) -> RequestRecord:
        try:
            Records.from_rows([row])
        except Exception as error:
            return self._unreadable(exchange, error)
        return row

    def _unreadable(self, exchange: Exchange, error: Exception) -> RequestRecord:
        detail = exchange.detail or f"the answer cannot be recorded: {error!r}"
        return unknown_request(
            self._schedule,
            exchange.index,
            exchange.failure or Outcome.BAD_RESPONSE,
            _cut(self._without_secrets(detail)) or "",
            slot=exchange.slot,
            sent_ns=None if exchange.sent_ns is None else exchange.sent_ns - self._origin_ns,
        )

    @property
    def stamp_source(self) -> StampSource:
        """How the reads were stamped of all that has been recorded so far, as a whole."""
        return stamp_source(self.reads, self._stamped_at_read)

    def _reply(self, exchange: Exchange) -> Reply:
        wanted = self.sample.wants(exchange.index)
        try:
            reply = read_reply(
                exchange,
                self._schedule.choices,
                keep_texts=wanted or self._tokenizer is not None,
                tokens_asked=int(self._schedule.output_tokens[exchange.index]),
            )
            if self._tokenizer is not None:
                count_by_tokenizer(reply, self._tokenizer)
        except Exception as error:  # whatever one server sends, it must not cost the run its other requests
            reply = Reply(Outcome.BAD_RESPONSE, detail=f"the answer cannot be read: {error!r}")
        reply.detail = _cut(self._without_secrets(reply.detail))
        if reply.content_type is not None:
            reply.content_type = self._without_secrets(reply.content_type)
        finish_reason = self._without_secrets(reply.finish_reason)
        reply.finish_reason = finish_reason and sys.intern(finish_reason)  # a few words, shared by a million requests
        if wanted:
            self.sample.add(exchange.index, reply, self._without_secrets(first_choice(reply)) or "")
        if reply.server_timing is not None and self._secrets:
            reply.server_timing = json.loads(self._without_secrets(json.dumps(reply.server_timing)) or "null")
        return reply

    def _note(self, reply: Reply, output_tokens_asked: int) -> None:
        """Count what the run document reports about the replies as a whole."""
        facts = self.replies
        facts.skipped_events.update(reply.skipped)
        if reply.outcome is not Outcome.OK:
            return
        facts.left_open += reply.left_open
        if reply.content_type is not None:
            facts.content_types[reply.content_type] += 1
        if reply.finish_reason is not None and (
            reply.finish_reason in facts.finish_reasons or len(facts.finish_reasons) < _MAX_FINISH_REASONS
        ):
            facts.finish_reasons[reply.finish_reason] += 1
        is_counted = reply.counted_by is not CountedBy.ASSUMED or reply.output_tokens != len(reply.arrival_reads)
        if is_counted and reply.finish_reason == "length" and (reply.output_tokens or 0) < output_tokens_asked:
            facts.cut_at_length += 1

    def _without_secrets(self, text: str | None) -> str | None:
        for secret in self._secrets if text else ():
            text = (text or "").replace(secret, "[redacted]")
        return text

    def _row(self, exchange: Exchange, slot_free_ns: dict[int, int]) -> RequestRecord:
        wall_ns, at_read = unpack_stamps(exchange.stamps)
        self.reads += len(exchange.stamps)
        self._stamped_at_read += at_read
        read_ns = self._wall_clock.to_monotonic(wall_ns) - self._origin_ns
        reply = self._reply(exchange)
        self._note(reply, int(self._schedule.output_tokens[exchange.index]))
        arrival_reads = np.array(reply.arrival_reads, dtype=np.int64)
        arrival_ns = read_ns[arrival_reads] if len(arrival_reads) else np.empty(0, np.int64)
        arrival_choice = np.array(reply.arrival_choices, dtype=np.int16)

        sent_ns = None if exchange.sent_ns is None else exchange.sent_ns - self._origin_ns
        due_ns = None if exchange.due_ns is None else exchange.due_ns - self._origin_ns
        if exchange.gave_up_ns is not None:
            end_ns: int | None = exchange.gave_up_ns - self._origin_ns
        else:
            end_ns = int(read_ns[-1]) if len(read_ns) else None
        if exchange.slot >= 0 and not self._from_due:
            due_ns = slot_free_ns.get(exchange.slot, 0)
            if self._schedule.think_ns is not None:
                due_ns += int(self._schedule.think_ns[exchange.index])
            if exchange.left_open_ns is not None:
                slot_free_ns[exchange.slot] = exchange.left_open_ns - self._origin_ns
            elif end_ns is not None:
                slot_free_ns[exchange.slot] = end_ns
        index = exchange.index
        return RequestRecord(
            index=index,
            slot=exchange.slot,
            outcome=Outcome(reply.outcome),
            http_status=reply.http_status,
            detail=reply.detail,
            finish_reason=reply.finish_reason,
            due_ns=due_ns,
            # The open loop counts from the intended time (coordinated omission); a caller of a closed loop has no
            # intention before its slot is free, and what the client then loses is its own: it is send delay, not latency.
            start_ns=due_ns if self._from_due else sent_ns,
            sent_ns=sent_ns,
            first_byte_ns=int(read_ns[0]) if len(read_ns) else None,
            end_ns=end_ns,
            connect_ns=exchange.connect_ns,
            limit_wait_ns=exchange.limit_wait_ns,
            prompt_tokens_asked=int(self._schedule.prompt_tokens[index]),
            output_tokens_asked=int(self._schedule.output_tokens[index]),
            prompt_tokens=reply.prompt_tokens,
            output_tokens=reply.output_tokens,
            hidden_tokens=reply.hidden_tokens,
            counted_by=reply.counted_by,
            server_timing=reply.server_timing,
            arrival_ns=arrival_ns,
            arrival_tokens=np.array(reply.arrival_tokens, dtype=np.int32),
            arrival_choice=arrival_choice,
            arrival_coalesced=_coalesced(arrival_ns, arrival_choice),
        )


def unknown_request(
    schedule: Schedule, index: int, outcome: Outcome, detail: str, *, slot: int = -1, sent_ns: int | None = None
) -> RequestRecord:
    """The record of a request without a known reply: never ok, and without a latency."""
    return RequestRecord(
        index=index,
        slot=slot,
        outcome=outcome,
        detail=detail,
        due_ns=None if schedule.offsets_ns is None else int(schedule.offsets_ns[index]),
        sent_ns=sent_ns,
        prompt_tokens_asked=int(schedule.prompt_tokens[index]),
        output_tokens_asked=int(schedule.output_tokens[index]),
    )


def _coalesced(arrival_ns: Int64, arrival_choice: Int16) -> Bool:
    """Which arrivals share their stamp with the one before them in the same choice.

    Equal stamps mean one segment, whether it was fetched in one read or, being long, in several. Chunks of different choices
    are made in the same step of the server and belong together: that they share a segment hides no gap.
    """
    order = np.argsort(arrival_choice, kind="stable")
    stamps_ns, choices = arrival_ns[order], arrival_choice[order]
    coalesced = np.zeros(len(arrival_ns), dtype=np.bool_)
    coalesced[order[1:]] = (stamps_ns[1:] == stamps_ns[:-1]) & (choices[1:] == choices[:-1])
    return coalesced
