"""One log for the reads of all streams, in the order in which the kernel made them.

When a stream's next event comes its own objects have left the processor's cache: to touch them costs more than the read. So as
long as an answer is plain, which is to say that nothing can be learned from its bytes but that they came, nothing of its stream
is touched but one number. After the run each answer finds its reads by the stream's token and their places in the log.
"""

import sys
from array import array
from collections.abc import Iterator

from loadgen.engine.eventloop.spill_queue import SpillQueue
from loadgen.engine.eventloop.uring import (
    ANCILLARY_LENGTH_AT,
    COMPLETION,
    DATA_AT,
    HAS_BUFFER,
    STAMP_AT,
)
from loadgen.engine.records.exchange import Logged, stamp_of

Batch = tuple[tuple[int, int, list[int]], bytes, bytes]
"""((place of its first completion, wall-clock ns when they were taken, the places of reads that are not plain), the completions,
the plain reads as they lay in their buffers, end to end)."""

Reads = tuple[list[bytes], list[bytes]]
"""(what each read brought, its stamp)."""

_BATCH_OVERHEAD_BYTES = 300
_MAX_RESPONSES_READ = 20


class ReadLog:
    """`place` is the number of the completion that is being served; it counts from 1 through all that the ring completes.

    `allowed[token]` is how many more bytes a stream may receive without being looked at: above 0 while its response is plain.
    `batches` is the queue that holds the reads.
    """

    def __init__(self) -> None:
        self.place = 1
        self.allowed = array("q")
        self.batches: SpillQueue[Batch] = SpillQueue()
        self._responses_read = 0

    def make_room_for(self, token: int) -> None:
        """Let `allowed` have a place for that stream."""
        while token >= len(self.allowed):
            self.allowed.append(0)

    def append(self, place: int, taken_ns: int, completions: bytes, looked_at: list[int], plain: bytes) -> None:
        """Keep the plain reads among `completions`, which begin at `place` and were taken at `taken_ns` of the wall clock."""
        size_bytes = len(plain) + len(completions) + _BATCH_OVERHEAD_BYTES
        self.batches.add(((place, taken_ns, looked_at), completions, plain), size_bytes)

    @property
    def is_of_use(self) -> bool:
        """Whether answers of this server are plain: to read one while others go on takes as long as all that came meanwhile."""
        return self._responses_read < _MAX_RESPONSES_READ

    def reads_of(self, logged: Logged) -> Reads:
        """The reads of one answer, while others go on."""
        self._responses_read += 1
        token, begin, end = logged
        found: list[Batch] = []
        for batch in self.batches.newest_first():
            found.append(batch)
            if batch[0][0] <= begin:
                break
        reads = [
            (stamp, received)
            for batch in reversed(found)
            for place, owner, stamp, received in _plain_reads(batch)
            if owner == token and begin <= place < end
        ]
        return [received for _, received in reads], [stamp for stamp, _ in reads]

    def tail_of(self, logged: Logged, min_bytes: int) -> bytes:
        """The last reads of one response, at least `min_bytes` of them if there are."""
        token, begin, end = logged
        tail = b""
        for batch in self.batches.newest_first():
            if token.to_bytes(8, sys.byteorder) in batch[1]:
                for place, owner, _, received in reversed(list(_plain_reads(batch))):
                    if owner == token and begin <= place < end:
                        tail = received + tail
            if len(tail) >= min_bytes or batch[0][0] <= begin:
                break
        return tail

    def drain(self) -> "Regrouped":
        """All reads, to be asked for by answer."""
        return Regrouped(self.batches.drain())


class Regrouped:
    """Gives the reads of answers, which must be asked for in the order in which they ended; holds what is not asked for yet."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._regrouped_to = 0
        self.first_place = 0  # of what there is
        self._waiting: dict[int, list[tuple[int, bytes, bytes]]] = {}  # by token: place, stamp, what was received

    def reaches(self, logged: Logged) -> bool:
        """Whether the log goes as far as the end of that answer. It does, but for the log of a process that was killed."""
        while self._regrouped_to < logged[2] and (batch := next(self._batches, None)) is not None:
            self._regroup(batch)
        return self._regrouped_to >= logged[2]

    def take(self, logged: Logged) -> Reads:
        """The reads of one answer."""
        token, begin, end = logged
        self.reaches(logged)
        received, stamps, later = [], [], []
        for read in self._waiting.pop(token, ()):
            if read[0] >= end:
                later.append(read)
            elif read[0] >= begin:
                stamps.append(read[1])
                received.append(read[2])
        if later:
            self._waiting[token] = later
        return received, stamps

    def _regroup(self, batch: Batch) -> None:
        waiting = self._waiting
        for place, token, stamp, received in _plain_reads(batch):
            read = (place, stamp, received)
            if token in waiting:
                waiting[token].append(read)
            else:
                waiting[token] = [read]
        self.first_place = self.first_place or batch[0][0]
        self._regrouped_to = batch[0][0] + len(batch[1]) // COMPLETION.size


def _plain_reads(batch: Batch) -> Iterator[tuple[int, int, bytes, bytes]]:
    """(place, token, stamp, what was received) of each plain read."""
    (first, taken_ns, looked_at), completions, plain = batch
    without = set(looked_at)
    at = 0
    for place, (token, length, flags) in enumerate(COMPLETION.iter_unpack(completions), first):
        if flags & HAS_BUFFER and place not in without:
            stamped = plain[at + ANCILLARY_LENGTH_AT]
            stamp = plain[at + STAMP_AT : at + DATA_AT] if stamped else stamp_of(taken_ns)
            yield place, token, stamp, plain[at + DATA_AT : at + length]
            at += length
