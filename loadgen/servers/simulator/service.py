"""The service itself: which requests are running, what is due when, and the one timer that wakes it.

Each write happens at, or just after, its due time on the absolute schedule of its request, computed from the start of that: no due
time depends on when an earlier token really went out, so lateness never accumulates. The stamp of each write is kept.
"""

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Protocol

from loadgen.engine.eventloop.timer import make_timer
from loadgen.servers.simulator.client_connection import ClientConnection
from loadgen.servers.simulator.metrics_page import Counters
from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.script import AT_ONCE, Ending, Script, Write
from loadgen.servers.simulator.truth import TruthRecord

_WRITES_AT_ONCE = 256  # then the sockets have their turn, however late the schedule is


class DueTimes(Protocol):
    """Due times of one request. None: not known yet; whoever learns it puts the response among those that are due."""

    is_awaited: bool

    def due_ns(self, token: int) -> int | None: ...


class Timetable:
    """Due times of one request, in nanoseconds on the clock of `start_ns`."""

    __slots__ = ("_delays", "_jitter_ns", "first_ns", "gap_ns", "is_awaited", "start_ns")

    def __init__(
        self, options: SimulatorOptions, start_ns: int, prompt_tokens: int, running: int, ordinal: int
    ) -> None:
        """`running` counts the other requests in service at the start; `ordinal` numbers the requests, for the jitter."""
        ttft_s = options.ttft_s + options.ttft_per_prompt_token_s * prompt_tokens + options.ttft_per_running_s * running
        gap_s = options.gap_s + options.gap_per_running_s * running
        self.gap_ns = round(gap_s * 1e9)
        self._jitter_ns = options.jitter_ratio * self.gap_ns
        self._delays: random.Random | None = None
        if options.jitter_ratio:
            self._delays = random.Random(f"{options.seed}:{ordinal}")
            ttft_s += options.jitter_ratio * ttft_s * self._delays.random()
        self.is_awaited = False
        self.start_ns = start_ns
        self.first_ns = start_ns + round(ttft_s * 1e9)

    def due_ns(self, token: int) -> int:
        """When token `token` (from 0) is due. With jitter each call draws: ask once for each write, in order."""
        if token == AT_ONCE:
            return self.start_ns
        due = self.first_ns + token * self.gap_ns
        if self._delays is not None and token:
            due += int(self._jitter_ns * self._delays.random())
        return due


@dataclass(slots=True, eq=False)
class Response:
    """One request in service: what is left to send of it, and the connection to send it on.

    vLLM makes a request of each of its `choices`, and counts them so.
    """

    record: TruthRecord
    script: Script
    connection: ClientConnection
    choices: int = 1
    ordinal: int = 0
    sent_tokens: int = 0
    first_ns: int = 0  # the stamps of its first token, of the one before the last, and of the last
    before_ns: int = 0
    last_ns: int = 0
    _ending: Ending | None = None
    _next: Write | None = field(init=False)

    def __post_init__(self) -> None:
        self._next = next(self.script)

    @property
    def due_token(self) -> int | None:
        """The token at whose due time the next write goes out; None when no more follows."""
        return None if self._next is None else self._next.due

    def send_next(self) -> int:
        """Send what is next; how many tokens it completed. `end` is to follow when it was the last."""
        write = self._next
        assert write is not None
        if write.data:
            if write.tokens:
                self.before_ns, self.last_ns = self.last_ns, time.monotonic_ns()
                self.record.sent_ns.extend([self.last_ns] * (write.tokens if self.record.stream else 1))
            self.connection.send(write.data)
        self.sent_tokens += write.tokens
        self._ending = write.ending
        self._next = next(self.script, None)
        return write.tokens

    @property
    def finished(self) -> bool:
        """Whether all of it was sent."""
        return self._ending in (Ending.ANSWERED, Ending.ANSWERED_AND_CLOSED)

    def end(self) -> None:
        """Do with the connection what the script ends with."""
        match self._ending:
            case Ending.ANSWERED:
                self.connection.done()
            case Ending.ANSWERED_AND_CLOSED:
                self.connection.done(leave=True)
            case Ending.CLOSED:
                self.connection.leave()
            case Ending.RESET:
                self.connection.reset()


_Due = tuple[int, int, Response, DueTimes]
"""A write: when it is due, the number of its request, and whose it is."""


class Service:
    """Admits answers, first come first served, and sends what is due whenever the timer fires."""

    def __init__(self, options: SimulatorOptions, loop: asyncio.AbstractEventLoop) -> None:
        self.counters = Counters()
        self._options = options
        self._timer = make_timer(loop, self._on_timer)
        self._due: list[_Due] = []  # a heap; answers whose client hung up stay until they are due
        self._running: set[Response] = set()
        self._waiting: deque[Response] = deque()
        self._admitted = 0

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def kv_cache_usage_ratio(self) -> float:
        """The share of the cache that the running requests' tokens would fill, at most 1."""
        tokens = sum(response.record.prompt_tokens + response.sent_tokens for response in self._running)
        return min(1.0, tokens / self._options.kv_cache_tokens)

    def admit(self, response: Response) -> None:
        """Start it, or let it wait for a place."""
        response.ordinal = self._admitted
        self._admitted += 1
        limit = self._options.max_running
        if limit is not None and len(self._running) >= limit:
            self._waiting.append(response)
        else:
            self._start(response, response.record.arrival_ns)

    def drop(self, response: Response) -> None:
        """Its connection ended before the response did: free its place."""
        self.counters.aborted_requests += response.choices
        if response in self._running:
            self._release(response, time.monotonic_ns())
        else:
            self._waiting.remove(response)

    def close(self) -> None:
        """Nothing more will be sent."""
        self._timer.close()

    def _on_timer(self) -> None:
        """Send everything that is due, then set the timer for what comes next."""
        due, counters = self._due, self.counters
        for _ in range(_WRITES_AT_ONCE):
            if not due or due[0][0] > time.monotonic_ns():
                break
            due_ns, _, response, timetable = heappop(due)
            if response not in self._running:  # its client hung up
                continue
            tokens = response.send_next()
            counters.generation_tokens += tokens
            if tokens:
                _count_step(counters, response, is_first=response.sent_tokens == tokens)
            if response not in self._running:  # the write found that the client was gone
                continue
            if response.due_token is not None:
                self._put(response, timetable)
                continue
            if response.finished:
                _count_request(counters, response)
                self._release(response, due_ns)
            response.end()
        self._set_timer()

    def _start(self, response: Response, start_ns: int) -> None:
        record = response.record
        record.start_ns = start_ns
        timetable = Timetable(self._options, start_ns, record.prompt_tokens, len(self._running), response.ordinal)
        self._running.add(response)
        self.counters.prefix_cache_queries_tokens += response.choices * record.prompt_tokens
        entry = self._put(response, timetable)
        if self._due[0] is entry:
            self._set_timer()

    def _put(self, response: Response, due_times: DueTimes) -> _Due | None:
        """Put the next write of a response among those that are due; None if its time is not known yet."""
        assert response.due_token is not None
        due_ns = due_times.due_ns(response.due_token)
        due_times.is_awaited = due_ns is None
        if due_ns is None:
            return None
        entry = (due_ns, response.ordinal, response, due_times)
        heappush(self._due, entry)
        return entry

    def _release(self, response: Response, freed_ns: int) -> None:
        """Give its place to whoever waits longest; the newcomer's schedule counts from the moment it was freed."""
        self._running.remove(response)
        if self._waiting:
            following = self._waiting.popleft()
            self._start(following, max(freed_ns, following.record.arrival_ns))

    def _next_ns(self) -> int | None:
        return self._due[0][0] if self._due else None

    def _set_timer(self) -> None:
        next_ns = self._next_ns()
        if next_ns is None:
            self._timer.cancel()
        else:
            self._timer.set(next_ns)


def _count_step(counters: Counters, response: Response, is_first: bool) -> None:
    """A step gave each choice its tokens; as vLLM does, the time of a step counts once, however many those were."""
    if is_first:
        response.first_ns = response.last_ns
        counters.prompt_tokens += response.choices * response.record.prompt_tokens
        counters.first_token.observe_ns(response.first_ns - response.record.arrival_ns, response.choices)
    else:
        counters.step.observe_ns(response.last_ns - response.before_ns, response.choices)


def _count_request(counters: Counters, response: Response) -> None:
    """It ended well: where its time went."""
    record, choices = response.record, response.choices
    counters.finished_requests += choices
    if record.start_ns is None or not response.first_ns:
        return  # a fault: it ended without a token
    counters.whole_request.observe_ns(response.last_ns - record.arrival_ns, choices)
    counters.queue.observe_ns(record.start_ns - record.arrival_ns, choices)
    counters.prefill.observe_ns(response.first_ns - record.start_ns, choices)
    decode_ns, gaps = response.last_ns - response.first_ns, response.sent_tokens // choices - 1
    counters.decode.observe_ns(decode_ns, choices)
    counters.per_output_token.observe_ns(decode_ns // gaps if gaps > 0 else 0, choices)
