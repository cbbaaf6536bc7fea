"""How a user stops a measurement: interrupts are counted, and passed on to the workers."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from loadgen.engine.workers import Workers


class Stop:
    """Counts the user's interrupts and passes them on to the workers. `request` may be called from a signal handler."""

    def __init__(self) -> None:
        self.requests = 0
        self.sending = False  # whether the workers are sending, and take orders
        self.keeping = False  # whether a run is to be saved: from its first measured request until it is in the store
        self._workers: Workers | None = None

    def attach(self, workers: Workers | None) -> None:
        """Pass interrupts on to `workers` from now on; None: there are no workers any more."""
        self._workers = workers

    @contextmanager
    def attached_to(self, workers: Workers) -> Iterator[None]:
        """Pass interrupts on to `workers` for the length of the block."""
        self.attach(workers)
        try:
            yield
        finally:
            self.attach(None)

    @property
    def attached(self) -> bool:
        """Whether there are workers to pass an interrupt on to."""
        return self._workers is not None

    @property
    def saving(self) -> bool:
        """Whether a run has ended and is not saved yet: interrupts are counted, and nothing is cancelled."""
        return self.keeping and not self.sending

    @property
    def requested(self) -> bool:
        return self.requests > 0

    def request(self) -> None:
        """Take an interrupt: the first drains the run, each later one ends it at once."""
        self.requests += 1
        self.renew()

    def renew(self) -> None:
        """Repeat the order to the workers: one given right before a run began was taken by the run before it."""
        if self._workers is None or self.requests == 0:
            return
        if self.requests == 1:
            self._workers.drain()
        else:
            self._workers.stop()


@contextmanager
def interrupts(stop: Stop, say: Callable[[str], None]) -> Iterator[None]:
    """Handle signals for the length of the block: Ctrl-C drains, a second one ends now; SIGTERM and SIGHUP end now.

    Before anything is sent, each of them ends the command.

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
