"""What Ctrl-C and a termination signal do while something is measured. Shared by all that measure."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadgen.experiments.stop import Stop


@contextmanager
def interrupts(stop: "Stop", say: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C once drains, twice ends now; a termination signal ends now. Before anything is sent either ends the command.

    From the first measured request until the run is saved nothing ends the command: that would lose the run.
    """

    def interrupted(number: int, frame: FrameType | None) -> None:
        if stop.saving:
            stop.request()
            say("saving the run first")
            return
        if not stop.attached or (stop.requested and not stop.sending):
            raise KeyboardInterrupt  # nothing is on its way that could be waited for
        if number == signal.SIGTERM or stop.requested:
            stop.request()
            stop.request()
            say("ending now; what has finished is saved")
        else:
            stop.request()
            say("waiting for the answers on their way; Ctrl-C again ends now")

    before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
