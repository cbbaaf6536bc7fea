"""The user's wish to stop: once to drain and save, twice to end now and save what finished."""

from loadgen.engine.workers import Workers


class Stop:
    """Counts the user's interrupts and passes them on to the workers. `request` may be called from a signal handler."""

    def __init__(self) -> None:
        self.requests = 0
        self.sending = False  # whether the workers are at work, so that an order is heard
        self.keeping = False  # whether there is a run to be saved, from its first request until it is in the store
        self._workers: Workers | None = None

    def attach(self, workers: Workers | None) -> None:
        """From now on interrupts go to these workers; None when they have ended."""
        self._workers = workers

    @property
    def attached(self) -> bool:
        """Whether there are workers to pass an interrupt on to."""
        return self._workers is not None

    @property
    def saving(self) -> bool:
        """Whether a run has come back and is not saved yet: interrupts are counted, and nothing may be broken off."""
        return self.keeping and not self.sending

    @property
    def requested(self) -> bool:
        """Whether there was any interrupt."""
        return self.requests > 0

    def request(self) -> None:
        """One interrupt: the first drains, every later one ends the run at once."""
        self.requests += 1
        self.renew()

    def renew(self) -> None:
        """Say it again: an order given in the instant before a run began was meant for the one before."""
        if self._workers is None or self.requests == 0:
            return
        if self.requests == 1:
            self._workers.drain()
        else:
            self._workers.stop()
