"""A first question that is asked again: of what, how often, and for how long. The clock is the test's own."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from loadgen.servers.asking import ASK_AGAIN_LIMIT_S, MAX_TIMEOUTS, Asker, RetryPolicy, UnansweredError
from loadgen.servers.http_client import fetch
from tests.clock import Clock

Step = int | tuple[int, str] | type[Exception]  # a status, one with a Retry-After, or what goes wrong


class WaitsHeard(Clock):
    """Time that passes while somebody waits, and the waits that were announced."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[tuple[str, float]] = []

    def hear(self, why: str, wait_s: float) -> None:
        self.waits.append((why, wait_s))


def asked(steps: Iterable[Step], clock: WaitsHeard, limit_s: float = ASK_AGAIN_LIMIT_S) -> tuple[int | str, int]:
    """The status in the end, or why there is none, and how often the server was asked; the last step lasts for ever."""
    script = list(steps)
    count = 0

    def handle(request: httpx2.Request) -> httpx2.Response:
        nonlocal count
        step = script[min(count, len(script) - 1)]
        count += 1
        if isinstance(step, type):
            raise step("lost")
        status, retry_after = step if isinstance(step, tuple) else (step, None)
        return httpx2.Response(status, headers={} if retry_after is None else {"Retry-After": retry_after})

    with httpx2.Client(transport=httpx2.MockTransport(handle)) as client:
        asker = Asker(client, (), 5.0, RetryPolicy(limit_s, clock.hear, clock, clock.sleep))
        try:
            return asker.ask("http://h/v1/completions", b"{}").status, count
        except UnansweredError as error:
            return str(error), count


@pytest.mark.parametrize(
    ("steps", "end", "count"),
    [
        ([200], 200, 1),
        ([400], 400, 1),
        ([500], 500, 1),
        ([404], 404, 1),
        ([503, 200], 200, 2),
        ([429, 429, 429, 200], 200, 4),
        ([(429, "3"), 200], 200, 2),
        ([(503, "0"), (503, "0"), 200], 200, 3),
        ([(503, "soon"), 200], 200, 2),
        ([(503, "-5"), 200], 200, 2),
        ([(503, "nan"), 200], 200, 2),
        ([(429, "59"), 200], 200, 2),
        ([(429, "61"), 200], "HTTP 429", 1),
        ([(429, "inf"), 200], "HTTP 429", 1),
        ([502, 504, 408, 425, 200], 200, 5),
        ([httpx2.ReadTimeout, 200], 200, 2),
        ([httpx2.ReadTimeout, httpx2.ReadTimeout, 200], 200, 3),
        ([httpx2.ReadTimeout], "no response in 5 s", MAX_TIMEOUTS),
        ([httpx2.RemoteProtocolError, 200], 200, 2),
        ([httpx2.ReadError], "lost", MAX_TIMEOUTS),
        ([503, httpx2.ReadTimeout, 429, 200], 200, 4),
        ([httpx2.ConnectError, 200], "lost", 1),
    ],
)
def test_what_is_asked_again_and_how_often(steps: list[Step], end: int | str, count: int) -> None:
    assert asked(steps, WaitsHeard()) == (end, count)


@pytest.mark.parametrize("limit_s", [1.0, 10.0, ASK_AGAIN_LIMIT_S])
def test_a_busy_server_is_asked_no_longer_than_the_limit(limit_s: float) -> None:
    clock = WaitsHeard()
    end, count = asked([503], clock, limit_s)
    assert end == "HTTP 503"
    assert count == len(clock.waits) + 1
    assert clock.now_s < limit_s
    assert sum(wait_s for _, wait_s in clock.waits) == clock.now_s


def test_a_retry_after_is_obeyed() -> None:
    clock = WaitsHeard()
    assert asked([(503, "7.5"), 200], clock) == (200, 2)
    assert clock.waits == [("HTTP 503", 7.5)]
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    clock = WaitsHeard()
    assert asked([(503, at), 200], clock) == (200, 2)
    assert 25 < clock.now_s <= 30


class LeftOpen(httpx2.SyncByteStream):
    """A body of which nothing comes after its pieces, and which does not end."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        raise httpx2.ReadTimeout("no response")


@pytest.mark.parametrize(
    ("pieces", "is_whole"),
    [
        ((b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n"), True),
        ((b'data: {"choices":[]}\n\ndata: [DO', b"NE]\n\n"), True),
        ((b"data: [DONE]",), True),
        ((b'data: {"choices":[]}\n\n',), False),
        ((b'{"text":"data: [DONE]"}',), False),
    ],
)
def test_a_question_is_answered_at_done_although_the_body_stays_open(pieces: tuple[bytes, ...], is_whole: bool) -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, stream=LeftOpen(*pieces)))
    with httpx2.Client(transport=transport) as client:
        if is_whole:
            assert fetch(client, "http://server/v1/completions", b"{}").content == b"".join(pieces)
        else:
            with pytest.raises(httpx2.ReadTimeout):
                fetch(client, "http://server/v1/completions", b"{}")
