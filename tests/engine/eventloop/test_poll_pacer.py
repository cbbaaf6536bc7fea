"""When the engine pauses between two polls of its streams, and when it must not."""

import pytest

from loadgen.engine.eventloop.selector import PAUSE_S, PollPacer


def pause_after_a_while(streams: int, gap_s: float, at_once: int = 1, for_s: float = 0.2) -> float:
    """The pause after `for_s` of streams that each bring an event every `gap_s`, `at_once` of them with one waking."""
    pacer, now_s, last_s = PollPacer(streams), 0.0, 0.0
    while now_s < for_s:
        now_s += gap_s / streams * at_once
        last_s = pacer.pause_after(at_once, now_s)
    return last_s


def test_events_one_by_one_are_gathered() -> None:
    assert pause_after_a_while(100, 0.010) == pause_after_a_while(1000, 0.010) == PAUSE_S


@pytest.mark.parametrize(
    ("streams", "gap_s"), [(100, 0.005), (10_000, 0.001)], ids=["100 streams, 5 ms", "10,000 streams, 1 ms"]
)
def test_a_stream_that_would_bring_a_second_event_meanwhile_is_read_at_once(streams: int, gap_s: float) -> None:
    assert pause_after_a_while(streams, gap_s) == 0


def test_a_few_slow_streams_are_read_at_once() -> None:
    assert pause_after_a_while(10, 0.010) == 0


def test_events_that_come_together_are_gathered_too() -> None:
    assert pause_after_a_while(1000, 0.010, at_once=50) == PAUSE_S


def test_reads_that_nobody_stamped_are_not_kept_waiting() -> None:
    pacer = PollPacer(100)
    for _ in range(21):
        pacer.note_unstamped()
    assert pacer.pause_after(1000, 0.1) == 0
    other = PollPacer(100)
    other.note_unstamped()
    assert other.pause_after(1000, 0.1) == PAUSE_S


def test_a_pause_that_lasted_too_long_is_the_last_one_for_a_while() -> None:
    pacer, now_s = PollPacer(100), 0.0

    def events(for_s: float) -> float:
        nonlocal now_s
        until_s, last_s = now_s + for_s, 0.0
        while now_s < until_s:
            now_s += 0.0001
            last_s = pacer.pause_after(1, now_s)
        return last_s

    assert events(0.1) == PAUSE_S
    pacer.note_pause(now_s, now_s + 1.5 * PAUSE_S)
    assert events(0.001) == PAUSE_S
    pacer.note_pause(now_s, now_s + 5 * PAUSE_S)
    assert events(0.4) == 0
    assert events(0.3) == PAUSE_S
