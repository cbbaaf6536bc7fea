"""The sliding window on moments of our own choosing."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.load.rate_limits import RateLimits, SlidingWindow


def test_there_is_room_until_the_window_is_full_and_again_when_the_oldest_has_left_it() -> None:
    window = SlidingWindow(3, length_ns=100)
    assert window.free_at_ns(3) == 0
    window.note(1, 10)
    window.note(2, 40)
    assert window.free_at_ns(1) == 110
    assert window.free_at_ns(2) == 140, "the first that leaves makes room for one alone"
    window.note(1, 110)
    assert window.free_at_ns(1) == 140


def test_what_fits_in_no_window_goes_alone() -> None:
    window = SlidingWindow(5, length_ns=100)
    assert window.free_at_ns(9) == 0
    window.note(9, 7)
    assert window.free_at_ns(1) == 107
    assert window.free_at_ns(9) == 107


@given(
    most=st.integers(1, 20),
    asked=st.lists(st.tuples(st.integers(0, 80), st.integers(1, 20)), max_size=40),
)
def test_no_window_ever_holds_more_and_none_waits_longer_than_it_must(most: int, asked: list[tuple[int, int]]) -> None:
    """Against the plain definition: the sum over everything of the last 100 ns."""
    window, sent, now_ns = SlidingWindow(most, length_ns=100), deque[tuple[int, int]](), 0

    def held_by(moment_ns: int) -> int:
        return sum(units for then_ns, units in sent if moment_ns - 100 < then_ns <= moment_ns)

    for apart_ns, units in asked:
        units = min(units, most)
        now_ns += apart_ns
        free_ns = window.free_at_ns(units)
        assert free_ns <= now_ns or held_by(free_ns - 1) + units > most
        now_ns = max(now_ns, free_ns)
        assert held_by(now_ns) + units <= most
        window.note(units, now_ns)
        sent.append((now_ns, units))


@pytest.mark.parametrize(
    ("limits", "label"),
    [
        (RateLimits(), ""),
        (RateLimits(60), "at most 60 requests per minute"),
        (RateLimits(None, 100_000), "at most 100,000 tokens per minute"),
        (RateLimits(60, 100_000), "at most 60 requests and 100,000 tokens per minute"),
    ],
)
def test_limits_have_a_label(limits: RateLimits, label: str) -> None:
    assert limits.label == label
