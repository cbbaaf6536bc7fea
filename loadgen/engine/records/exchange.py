"""One request and its answer as raw bytes and raw stamps: all that is noted while bytes arrive.

A stamp is the 16 bytes of the kernel's `struct timespec` on the wall clock: seconds and nanoseconds, two int64. A bit that no
nanosecond reaches, `READ_MARK`, marks a stamp that was taken at the read, because the kernel gave none.
"""

import struct
import time

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.records.record import Outcome

STAMP = struct.Struct("2q")
READ_MARK = 1 << 40
_MAX_UNPLANNED_RESPONSE_BYTES = 64 << 20  # where the length of the response is not known in advance
_REPLY_BYTES = 8 << 20  # a server that ignores max_tokens sends thousands of tokens more, and keep-alives
_BYTES_PER_REQUEST_BYTE = 4  # servers repeat the prompt, or the ids of its tokens
_BYTES_PER_OUTPUT_TOKEN = 16 << 10  # forty times a chunk with all that is asked of it


def max_reply_bytes(request_bytes: int, output_tokens: int) -> int:
    """The most that a reply of `output_tokens` to a request of that size may need. One that goes on beyond it has no end."""
    return _REPLY_BYTES + _BYTES_PER_REQUEST_BYTE * request_bytes + _BYTES_PER_OUTPUT_TOKEN * output_tokens


def stamp_of(wall_ns: int) -> bytes:
    """A stamp for that time of the wall clock, marked as taken at the read."""
    seconds, nanoseconds = divmod(wall_ns, 1_000_000_000)
    return STAMP.pack(seconds, nanoseconds | READ_MARK)


def stamp_now() -> bytes:
    """A stamp for now, marked as taken at the read."""
    return stamp_of(time.time_ns())


def unpack_stamps(stamps: list[bytes]) -> tuple[NDArray[np.int64], int]:
    """(wall-clock nanoseconds of each stamp, how many of them were taken at the read)."""
    if not stamps:
        return np.empty(0, np.int64), 0
    fields = np.frombuffer(b"".join(stamps), dtype=np.int64).reshape(-1, 2)
    at_read = fields[:, 1] >= READ_MARK
    return fields[:, 0] * 1_000_000_000 + (fields[:, 1] & (READ_MARK - 1)), int(np.count_nonzero(at_read))


Logged = tuple[int, int, int]
"""(token of a stream, the first place in the log where a read of an answer may be, the place after the last one)."""


class Exchange:
    """What happened to one planned request. `reads[i]` arrived with `stamps[i]`; monotonic timestamps are absolute here.

    While the run lasts the reads after the first one may be in the log of all streams (read_log.py), where `logged` finds them;
    unless the answer is `read_at_once`.

    `complete` says that the answer ended as its framing promised. `failure` names an outcome that the engine itself
    brought about or saw (no connection, time-out, cancelled, dropped); everything else is found in the bytes later.
    `room_bytes` is what the answer may still grow by; below 0 it was given up for that. `left_open_ns` is when the client
    stopped waiting for the end of a body whose stream had said `[DONE]`.
    """

    __slots__ = (
        "complete",
        "connect_ns",
        "detail",
        "due_ns",
        "failure",
        "gave_up_ns",
        "index",
        "left_open_ns",
        "limit_wait_ns",
        "logged",
        "read_at_once",
        "reads",
        "room_bytes",
        "sent_ns",
        "slot",
        "stamps",
    )

    def __init__(self, index: int = 0, slot: int = -1, due_ns: int | None = None) -> None:
        self.index = index
        self.slot = slot
        self.due_ns = due_ns
        self.sent_ns: int | None = None
        self.connect_ns: int | None = None  # a duration
        self.gave_up_ns: int | None = None
        self.left_open_ns: int | None = None
        self.limit_wait_ns = 0  # how long a limit held it back
        self.reads: list[bytes] = []
        self.stamps: list[bytes] = []
        self.logged: Logged | None = None
        self.read_at_once = False
        self.room_bytes = _MAX_UNPLANNED_RESPONSE_BYTES
        self.complete = False
        self.failure: Outcome | None = None
        self.detail: str | None = None

    @property
    def has_status_200(self) -> bool:
        """Whether the response begins with that status; it is parsed later."""
        return bool(self.reads) and self.reads[0][9:12] == b"200"
