"""What Ctrl-C, a termination signal and the loss of the terminal do while something is measured. Shared by all that measure."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadgen.experiments.stop import Stop


@contextmanager
def interrupts(stop: "Stop", say: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C once drains, twice ends now; SIGTERM and SIGHUP end now. Before anything is sent each of them ends the command.

    From the first measured request until the run is saved nothing ends the command: that would lose the run. A SIGHUP that is
    ignored, as `nohup` has it, stays so.
    """

    def note(text: str) -> None:
        with suppress(OSError, ValueError):  # the terminal may be what was lost
            say(text)

    def interrupted(number: int, frame: FrameType | None) -> None:
        if stop.saving:
            stop.request()
            note("saving the run first")
            return
        if not stop.attached or (stop.requested and not stop.sending):
            raise KeyboardInterrupt  # nothing is on its way that could be waited for
        if number != signal.SIGINT or stop.requested:
            stop.request()
            stop.request()
            note("ending now; what has finished is saved")
        else:
            stop.request()
            note("waiting for the answers on their way; Ctrl-C again ends now")

    heard = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heard.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupted) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
