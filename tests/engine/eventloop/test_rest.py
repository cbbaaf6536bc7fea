"""When the engine rests between two looks at its streams, and when it must not."""

import pytest

from loadgen.engine.eventloop.rest import REST_S, Rest


def rests(streams: int, gap_s: float, at_once: int = 1, for_s: float = 0.2) -> float:
    """The rest after `for_s` of streams that each bring an event every `gap_s`, `at_once` of them with one waking."""
    rest, now_s, last_s = Rest(streams), 0.0, 0.0
    while now_s < for_s:
        now_s += gap_s / streams * at_once
        last_s = rest.after(at_once, now_s)
    return last_s


def test_events_one_by_one_are_gathered() -> None:
    assert rests(100, 0.010) == rests(1000, 0.010) == REST_S


@pytest.mark.parametrize(
    ("streams", "gap_s"), [(100, 0.005), (10_000, 0.001)], ids=["100 streams, 5 ms", "10,000 streams, 1 ms"]
)
def test_a_stream_that_would_bring_a_second_event_meanwhile_is_read_at_once(streams: int, gap_s: float) -> None:
    assert rests(streams, gap_s) == 0


def test_a_few_slow_streams_are_read_at_once() -> None:
    assert rests(10, 0.010) == 0


def test_events_that_come_together_are_gathered_too() -> None:
    assert rests(1000, 0.010, at_once=50) == REST_S


def test_reads_that_nobody_stamped_are_not_kept_waiting() -> None:
    rest = Rest(100)
    for _ in range(21):
        rest.unstamped()
    assert rest.after(1000, 0.1) == 0
    other = Rest(100)
    other.unstamped()
    assert other.after(1000, 0.1) == REST_S


def test_a_rest_that_lasted_too_long_is_the_last_one_for_a_while() -> None:
    rest, now_s = Rest(100), 0.0

    def events(for_s: float) -> float:
        nonlocal now_s
        until_s, last_s = now_s + for_s, 0.0
        while now_s < until_s:
            now_s += 0.0001
            last_s = rest.after(1, now_s)
        return last_s

    assert events(0.1) == REST_S
    assert rest.woken(now_s, now_s + 1.5 * REST_S) == now_s + 1.5 * REST_S
    assert events(0.001) == REST_S
    rest.woken(now_s, now_s + 5 * REST_S)
    assert events(0.4) == 0
    assert events(0.3) == REST_S
