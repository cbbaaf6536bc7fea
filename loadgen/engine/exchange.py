"""One request and its answer as raw bytes and raw stamps: all that is noted while bytes arrive.

A stamp is the 48 bytes of the kernel's `struct scm_timestamping`: three timespecs of two int64, of which the first is the
software receive time on the wall clock. The kernel leaves the last field zero here; `READ_MARK` in it says that the stamp
was taken at the read, because the kernel gave none.
"""

import struct
import time

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.record import Outcome

STAMP = struct.Struct("6q")
READ_MARK = 1


def stamp_now() -> bytes:
    """A stamp for this very moment, marked as taken at the read."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return STAMP.pack(seconds, nanoseconds, 0, 0, 0, READ_MARK)


def unpack_stamps(stamps: list[bytes]) -> tuple[NDArray[np.int64], int]:
    """(wall-clock nanoseconds of each stamp, how many of them were taken at the read)."""
    if not stamps:
        return np.empty(0, np.int64), 0
    fields = np.frombuffer(b"".join(stamps), dtype=np.int64).reshape(-1, 6)
    return fields[:, 0] * 1_000_000_000 + fields[:, 1], int(np.count_nonzero(fields[:, 5]))


class Exchange:
    """What happened to one planned request. `reads[i]` arrived with `stamps[i]`; monotonic moments are absolute here.

    `complete` says that the answer ended as its framing promised. `failure` names an outcome that the engine itself
    brought about or saw (no connection, time-out, cancelled, dropped); everything else is found in the bytes later.
    """

    __slots__ = (
        "complete",
        "connect_ns",
        "detail",
        "due_ns",
        "failure",
        "gave_up_ns",
        "index",
        "reads",
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
        self.reads: list[bytes] = []
        self.stamps: list[bytes] = []
        self.complete = False
        self.failure: Outcome | None = None
        self.detail: str | None = None
