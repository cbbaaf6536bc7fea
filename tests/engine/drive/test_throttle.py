"""When a request may go, and what a 429 asks for: on moments and bytes of our own choosing."""

import pytest

from loadgen.engine.drive.throttle import Throttle, retry_after_s
from loadgen.load.rate_limits import RateLimits

S = 1_000_000_000
MINUTE = 60 * S + 100_000_000  # with the margin for what one request may take longer to the provider than another


def test_without_a_limit_or_a_pause_nothing_is_looked_at() -> None:
    assert not Throttle().engaged
    paused = Throttle()
    paused.pause_until(5)
    assert paused.engaged
    assert paused.free_at_ns(1000) == 5


def test_both_limits_hold() -> None:
    throttle = Throttle(RateLimits(requests_per_minute=2, tokens_per_minute=100))
    throttle.note_sent(90, S)
    assert throttle.free_at_ns(10) == 0
    assert throttle.free_at_ns(11) == S + MINUTE, "by the tokens"
    throttle.note_sent(10, 2 * S)
    assert throttle.free_at_ns(0) == S + MINUTE, "by the requests"
    assert throttle.free_at_ns(0, requests=2) == 2 * S + MINUTE


def test_the_longest_pause_counts() -> None:
    throttle = Throttle(RateLimits(requests_per_minute=1))
    throttle.pause_until(9 * S)
    throttle.pause_until(3 * S)
    assert throttle.free_at_ns(1) == 9 * S


@pytest.mark.parametrize(
    ("head", "wait_s"),
    [
        ("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n", 7.0),
        ("HTTP/1.1 429 Too Many Requests\r\nretry-after: 0.25\r\n", 0.25),
        ("HTTP/1.1 429 Too Many Requests\r\nretry-after: 86400\r\n", 86400.0),
        # A date is reckoned from the server's own clock where it tells it, from the arrival's otherwise.
        (
            "HTTP/1.1 429 X\r\nDate: Sun, 06 Nov 1994 08:49:30 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            7.0,
        ),
        ("HTTP/1.1 429 X\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 3.0),
        ("HTTP/1.1 429 X\r\nRetry-After: Sun, 06 Nov 1994 08:00:00 GMT\r\n", 0.0),
        ("HTTP/1.1 429 X\r\n", None),
        ("HTTP/1.1 429 X\r\nRetry-After: soon\r\n", None),
        ("HTTP/1.1 429 X\r\nRetry-After: -3\r\n", None),
        ("HTTP/1.1 429 X\r\nRetry-After: nan\r\n", None),
        ("HTTP/1.1 429 X\r\nRetry-After: .\r\n", None),
        ("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n", None),
        ("SSH-2.0-OpenSSH\r\n", None),
    ],
)
def test_what_an_answer_asks_for(head: str, wait_s: float | None) -> None:
    answer = f"{head}content-length: 2\r\n\r\n{{}}".encode()
    assert retry_after_s([answer], 784111774.0) == wait_s  # 08:49:34 of that day
    assert retry_after_s([answer[:20], answer[20:41], answer[41:]], 784111774.0) == wait_s


def test_an_interim_answer_is_passed_over() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 429 X\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n"
    assert retry_after_s([answer], None) == 2.0


def test_a_date_that_nobody_can_reckon_from_asks_for_nothing() -> None:
    assert retry_after_s([b"HTTP/1.1 429 X\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"], None) is None
