"""Cerebras' answers: its chunks, and the `time_info` at their end, which is the truth of this server about itself.

The last chunk is encoded when all tokens have gone out, so that the times in it are those that really were.
"""

import time
from collections.abc import Callable

from loadgen.servers.simulator.dialect import (
    DONE,
    FINGERPRINT,
    LAST_CHUNK,
    StreamEncoder,
    encode,
    event,
    framed,
    usage_of,
)
from loadgen.servers.simulator.generation import Generation, answer_text
from loadgen.servers.simulator.script import Ending, Script, StreamedAnswer, Write
from loadgen.servers.simulator.truth import TruthRecord

HttpAnswer = Callable[[bytes], bytes]
"""A body as the whole response."""


class CerebrasEncoder(StreamEncoder):
    """The events of one answer. The finishing chunk has no content; one of usage and `time_info` alone follows it."""

    __slots__ = ("_record",)

    def __init__(
        self, generation: Generation, completion_id: str, created_s: int, model: str, record: TruthRecord
    ) -> None:
        super().__init__(generation, completion_id, created_s, model)
        self._record = record

    def answering(self, generation: Generation) -> "CerebrasEncoder":
        return CerebrasEncoder(generation, *self._named, self._record)

    def token(self, token: int) -> bytes:
        """Token `token` of every choice, framed; the end of the answer is not in it."""
        generation = self.generation
        events = [self.content(range(token, token + 1), index) for index in range(generation.choices)]
        if token == 0:
            events = self.opening() + events
        return b"".join(framed(one) for one in events)

    def opening(self) -> list[bytes]:
        if not self.generation.chat:
            return []
        return [self._event(index, {"role": "assistant"}, "", None) for index in range(self.generation.choices)]

    def content(self, tokens: range, index: int = 0) -> bytes:
        text = answer_text(tokens)
        return self._event(index, {"content": text}, text, None)

    def closing(self) -> list[bytes]:
        generation = self.generation
        found = [self._event(index, {}, "", generation.finish_reason) for index in range(generation.choices)]
        record = self._record
        sent_ns = record.sent_ns
        start_ns = record.arrival_ns if record.start_ns is None else record.start_ns
        first_ns, last_ns = (sent_ns[0], sent_ns[-1]) if sent_ns else (start_ns, start_ns)
        ending = {
            **self._head,
            "choices": [],
            "system_fingerprint": FINGERPRINT,
            "usage": self.usage(),
            "time_info": time_info(record, first_ns, last_ns, self._named[1]),
        }
        return [*found, event(ending), DONE]

    def _event(self, index: int, delta: dict[str, str], text: str, finish_reason: str | None) -> bytes:
        choice: dict[str, object] = {"delta": delta} if self.generation.chat else {"text": text}
        if finish_reason is not None:
            choice["finish_reason"] = finish_reason
        return event({**self._head, "choices": [{**choice, "index": index}], "system_fingerprint": FINGERPRINT})


def streamed(answer: StreamedAnswer) -> Script:
    """Each token in a chunk of its own, when it is due, and the end right after the last."""
    encoder, choices = answer.encoder, answer.encoder.generation.choices
    before = answer.head()
    for token in range(answer.output_tokens):
        yield Write(token, before + encoder.token(token), choices)
        before = b""
    ending = b"".join(framed(one) for one in encoder.closing()) + LAST_CHUNK
    yield Write(answer.output_tokens - 1, ending, 0, Ending.ANSWERED)


def whole(
    generation: Generation, completion_id: str, created_s: int, model: str, record: TruthRecord, answer: HttpAnswer
) -> Script:
    """An answer that is not streamed, encoded when its last token would be due."""
    last = generation.output_tokens - 1
    yield Write(0, b"", 0)
    first_ns = time.monotonic_ns()
    yield Write(last, b"", 0)
    text = answer_text(range(generation.output_tokens))
    said: dict[str, object] = {"message": {"role": "assistant", "content": text}} if generation.chat else {"text": text}
    document = {
        "id": completion_id,
        "choices": [
            {"finish_reason": generation.finish_reason, "index": index, **said} for index in range(generation.choices)
        ],
        "created": created_s,
        "model": model,
        "system_fingerprint": FINGERPRINT,
        "object": "chat.completion" if generation.chat else "text_completion",
        "usage": usage_of(len(generation.prompt_ids), generation.choices * generation.output_tokens),
        "time_info": time_info(record, first_ns, time.monotonic_ns(), created_s),
    }
    yield Write(last, answer(encode(document)), record.output_tokens, Ending.ANSWERED)


def time_info(record: TruthRecord, first_ns: int, last_ns: int, created_s: int) -> dict[str, float]:
    """Where the time of a request went, in seconds: it waited, its prompt was read, its tokens were made."""
    start_ns = record.arrival_ns if record.start_ns is None else record.start_ns
    return {
        "queue_time": (start_ns - record.arrival_ns) / 1e9,
        "prompt_time": (first_ns - start_ns) / 1e9,
        "completion_time": (last_ns - first_ns) / 1e9,
        "total_time": (last_ns - record.arrival_ns) / 1e9,
        "created": created_s,
    }
