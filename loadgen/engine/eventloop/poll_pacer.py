"""How long to pause before polling for bytes again, so that one wake-up reads several streams.

On a machine that is not busy every event wakes the process separately, and the wake-up costs more than the read. Where the kernel
stamps arrivals a later read reports the same timestamps, as long as no stream gets a second event meanwhile: so the pause is
short against the time between two events of one stream. A closed loop sends its next request later by at most one pause; an
open loop must not pause. Pure.
"""

PAUSE_S = 0.001
_DECIDE_EVERY_S = 0.02
_MIN_EVENTS = 4  # that one wake-up should read
_OVERSLEPT_S = 2 * PAUSE_S
_OFF_S = 0.5  # after one pause that the system made longer: it is busy, and bytes would wait for this process
_MAX_UNSTAMPED = 20  # the first read of a socket may lack a stamp
_PAUSES_PER_GAP = 8  # between two events of one stream: what the streams do is not all that regular


class PollPacer:
    """Decides for `streams` streams of about equal pace. Off until enough is known, and whenever it would gain nothing."""

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._since_s = 0.0
        self._served = 0
        self._unstamped = 0
        self.pause_s = 0.0
        self._off_until_s = 0.0

    def pause_after(self, served: int, now_s: float) -> float:
        """Seconds to pause after a poll that read `served` streams and ended at `now_s`."""
        self._served += served
        counted_s = now_s - self._since_s
        if counted_s >= _DECIDE_EVERY_S:
            expected = self._served / counted_s * PAUSE_S  # events within one pause
            seldom_twice = expected * _PAUSES_PER_GAP <= self._streams
            allowed = now_s >= self._off_until_s and self._unstamped <= _MAX_UNSTAMPED
            self.pause_s = PAUSE_S if allowed and expected >= _MIN_EVENTS and seldom_twice else 0.0
            self._since_s, self._served = now_s, 0
        return self.pause_s

    def note_unstamped(self) -> None:
        """Count a read without a kernel stamp: a pause would be reported as latency."""
        self._unstamped += 1

    def note_pause(self, slept_at_s: float, now_s: float) -> None:
        """Turn pauses off for a while if the one from `slept_at_s` to `now_s` lasted too long."""
        if now_s - slept_at_s > _OVERSLEPT_S:
            self.pause_s, self._off_until_s = 0.0, now_s + _OFF_S
