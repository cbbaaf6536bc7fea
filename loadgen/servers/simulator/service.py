"""The service itself: which requests are running, what is due when, and the one alarm that wakes it.

Each write happens at, or just after, its due time on the absolute schedule of `timetable`; the stamp of each is kept.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from loadgen.engine.alarm import make_alarm
from loadgen.servers.simulator.dialect import StreamEncoder
from loadgen.servers.simulator.exposition import Counters
from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.timetable import Timetable
from loadgen.servers.simulator.truth import TruthRecord

_WRITES_A_RING = 256  # then the sockets have their turn, however late the schedule is


class Answer:
    """One request in service: what is left to send of it, and how to send it."""

    __slots__ = ("_encoder", "_head", "_send", "done", "next_token", "ordinal", "record")

    def __init__(
        self,
        record: TruthRecord,
        head: bytes,
        encoder: StreamEncoder | None,
        send: Callable[[bytes], None],
        done: Callable[[], None],
    ) -> None:
        """Without an `encoder` the `head` is the whole answer. `done` is called after the last write."""
        self.record = record
        self.ordinal = 0
        self.next_token = 0
        self._head = head
        self._encoder = encoder
        self._send = send
        self.done = done

    @property
    def finished(self) -> bool:
        """Whether the last token has been sent."""
        return self.next_token == self.record.output_tokens

    @property
    def first_write(self) -> int:
        """The token whose due time is that of the first write: the last one where the answer is not streamed."""
        return 0 if self._encoder is not None else self.record.output_tokens - 1

    def send_next(self) -> int:
        """Send the next token, or the whole answer where it is not streamed; how many tokens went out."""
        token = self.next_token
        if self._encoder is None:
            self.next_token = self.record.output_tokens
            data = self._head
        else:
            self.next_token = token + 1
            data = self._encoder.token(token)
            if token == 0:
                data = self._head + data
        self.record.sent_ns.append(time.monotonic_ns())
        self._send(data)
        return self.next_token - token


class Service:
    """Admits answers, first come first served, and sends what is due whenever the alarm rings."""

    def __init__(self, options: SimulatorOptions, loop: asyncio.AbstractEventLoop) -> None:
        self.counters = Counters()
        self._options = options
        self._alarm = make_alarm(loop, self._ring)
        self._due: list[
            tuple[int, int, Answer, Timetable]
        ] = []  # a heap; answers whose client hung up stay until they are due
        self._running: set[Answer] = set()
        self._waiting: deque[Answer] = deque()
        self._admitted = 0

    @property
    def running(self) -> int:
        """How many requests are in service."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        return len(self._waiting)

    @property
    def kv_cache_usage_ratio(self) -> float:
        """The share of the cache that the running requests' tokens would fill, at most 1."""
        tokens = sum(answer.record.prompt_tokens + answer.next_token for answer in self._running)
        return min(1.0, tokens / self._options.kv_cache_tokens)

    def admit(self, answer: Answer) -> None:
        """Start it, or let it wait for a place."""
        answer.ordinal = self._admitted
        self._admitted += 1
        limit = self._options.max_running
        if limit is not None and len(self._running) >= limit:
            self._waiting.append(answer)
        else:
            self._start(answer, answer.record.arrival_ns)

    def drop(self, answer: Answer) -> None:
        """Its client hung up before the end: free its place."""
        self.counters.aborted_requests += 1
        if answer in self._running:
            self._release(answer, time.monotonic_ns())
        else:
            self._waiting.remove(answer)

    def close(self) -> None:
        """Nothing more will be sent."""
        self._alarm.close()

    def _ring(self) -> None:
        """Send everything that is due, then set the alarm for what comes next."""
        due, counters = self._due, self.counters
        for _ in range(_WRITES_A_RING):
            if not due or due[0][0] > time.monotonic_ns():
                break
            due_ns, ordinal, answer, timetable = heappop(due)
            if answer not in self._running:  # its client hung up
                continue
            first = answer.next_token == 0
            counters.generation_tokens += answer.send_next()
            if first:
                counters.prompt_tokens += answer.record.prompt_tokens
            if answer not in self._running:  # the write found that the client was gone
                continue
            if answer.finished:
                counters.finished_requests += 1
                self._release(answer, due_ns)
                answer.done()
            else:
                heappush(due, (timetable.due_ns(answer.next_token), ordinal, answer, timetable))
        self._set_alarm()

    def _start(self, answer: Answer, start_ns: int) -> None:
        record = answer.record
        record.start_ns = start_ns
        timetable = Timetable(self._options, start_ns, record.prompt_tokens, len(self._running), answer.ordinal)
        self._running.add(answer)
        self.counters.prefix_cache_queries_tokens += record.prompt_tokens
        entry = (timetable.due_ns(answer.first_write), answer.ordinal, answer, timetable)
        heappush(self._due, entry)
        if self._due[0] is entry:
            self._set_alarm()

    def _release(self, answer: Answer, freed_ns: int) -> None:
        """Give its place to whoever waits longest; the newcomer's schedule counts from the moment it was freed."""
        self._running.remove(answer)
        if self._waiting:
            following = self._waiting.popleft()
            self._start(following, max(freed_ns, following.record.arrival_ns))

    def _set_alarm(self) -> None:
        self._alarm.set(self._due[0][0] if self._due else 0)
