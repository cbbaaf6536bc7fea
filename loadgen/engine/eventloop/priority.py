"""Being woken first: while a run lasts, the measuring process asks the scheduler to run it as soon as bytes arrive.

A reader that waits for a processor finds several events merged under one stamp: the kernel joins queued segments and keeps the
latest time. On a machine shared with the server that wait was up to 60 ms at normal priority. The engine sleeps whenever
nothing arrives, so it takes no more processor time than before; it only takes it at once.
"""

import contextlib
import os
from collections.abc import Iterator

from loadgen.engine.records.record import Priority

_RAISED_NICENESS = -10


@contextlib.contextmanager
def raised_priority() -> Iterator[Priority]:
    """Give this process the best priority that the system allows within the block; yield which."""
    priority: Priority = "normal"
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            priority = "realtime"
    if priority == "normal":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, _RAISED_NICENESS)
            priority = "raised"
    try:
        yield priority
    finally:
        if priority == "realtime":
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        elif priority == "raised":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, 0, niceness)
