"""How long to rest before looking for bytes again, so that one waking reads several streams.

On a machine that is not busy every event wakes the process by itself, and the waking costs more than the read. Where the kernel
stamps arrivals a later read tells the same moments, as long as no stream gets a second event meanwhile: so the rest is short
against the time between two events of one stream. A closed loop sends its next request later by at most one rest; an open loop
must not rest. Pure.
"""

REST_S = 0.001
_LOOK_S = 0.02  # how long is counted before it is decided anew
_FEW = 4  # events that one waking should read at least
_OVERSLEPT_S = 2 * REST_S
_OFF_S = 0.5  # after one rest that the system made longer: it is busy, and bytes would wait for us
_MOST_UNSTAMPED = 20  # the first read of a socket may lack a stamp
_RESTS_PER_GAP = 8  # between two events of one stream: what the streams do is not all that regular


class Rest:
    """Decides for `streams` streams of about equal pace. Off until enough is known, and whenever it would gain nothing."""

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._since_s = 0.0
        self._served = 0
        self._unstamped = 0
        self.now_s = 0.0
        self._off_until_s = 0.0

    def after(self, served: int, now_s: float) -> float:
        """Seconds to rest after a round that read `served` streams and ended at `now_s`."""
        self._served += served
        counted_s = now_s - self._since_s
        if counted_s >= _LOOK_S:
            expected = self._served / counted_s * REST_S  # events within one rest
            seldom_twice = expected * _RESTS_PER_GAP <= self._streams
            allowed = now_s >= self._off_until_s and self._unstamped <= _MOST_UNSTAMPED
            self.now_s = REST_S if allowed and expected >= _FEW and seldom_twice else 0.0
            self._since_s, self._served = now_s, 0
        return self.now_s

    def unstamped(self) -> None:
        """Take note of a read without a kernel stamp: a rest would be told as latency."""
        self._unstamped += 1

    def woken(self, slept_at_s: float, now_s: float) -> float:
        """Take note of a rest from `slept_at_s` to `now_s`, which is returned."""
        if now_s - slept_at_s > _OVERSLEPT_S:
            self.now_s, self._off_until_s = 0.0, now_s + _OFF_S
        return now_s
