"""The prefix cache is emptied where a server lets us, and what it answers is told."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from loadgen.servers import endpoint
from loadgen.servers.endpoint import EndpointFacts, reset_prefix_cache
from tests.servers.endpoints import facts_of
from tests.servers.http_server import QuietHandler, listening

FACTS = facts_of("http://127.0.0.1:1", has_tokenize=True, has_metrics=True)


class Cache(QuietHandler):
    """Answers what its class is told to, one answer after the other, the last one for good."""

    answers: ClassVar[list[tuple[int, bytes]]] = []
    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.respond(*(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]))


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[EndpointFacts]:
    monkeypatch.setattr(endpoint, "_RESET_PAUSE_S", 0.001)
    Cache.asked.clear()
    with listening(Cache) as url:
        yield replace(FACTS, base_url=url)


def said(success: Any) -> tuple[int, bytes]:
    return 200, json.dumps({"success": success}).encode()


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("answers", "expected", "times"),
    [
        ([said(True)], True, 1),
        ([said(False), said(False), said(True)], True, 3),
        ([said(False)], False, 5),
        ([(404, b"Not Found")], None, 1),
        ([(405, b"")], None, 1),
        ([(200, b"")], None, 1),
        ([(200, b"[]")], None, 1),
    ],
)
def test_what_the_server_answers(
    cache: EndpointFacts, answers: list[tuple[int, bytes]], expected: bool | None, times: int
) -> None:
    Cache.answers[:] = answers
    assert reset_prefix_cache(cache) is expected
    assert Cache.asked == ["/reset_prefix_cache"] * times


def test_a_server_that_is_no_vllm_is_not_asked() -> None:
    assert reset_prefix_cache(replace(FACTS, dialect="openai", base_url="http://192.0.2.7")) is None


def test_a_server_that_is_gone_cannot_be_asked() -> None:
    assert reset_prefix_cache(FACTS) is None
