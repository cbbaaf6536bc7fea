"""Lengths on servers without `/tokenize`: prompts fitted to what is asked, and what is said where they cannot be."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.servers.http_server import QuietHandler, listening

pytestmark = pytest.mark.loopback

Usage = Callable[[str, int, int], dict[str, Any] | None]
"""(text, requests so far, output tokens) -> the usage of a reply."""


def counted(count: Callable[[str], Any]) -> Usage:
    return lambda text, _, output_tokens: {"prompt_tokens": count(text), "completion_tokens": output_tokens}


def words(text: str) -> int:
    return len(text.split())


@contextmanager
def gateway(usage: Usage, output_tokens: int | None = None, max_prompt_words: int = 10**9) -> Iterator[str]:
    """The URL of a server that answers with words; with `output_tokens`, with as many whatever is asked."""
    seen = 0

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.respond(404, {"detail": "Not Found"})

        def do_POST(self) -> None:
            nonlocal seen
            body = self.read_json()
            if not self.path.endswith("completions"):
                self.respond(404, {})
                return
            is_chat = "messages" in body
            text = body["messages"][-1]["content"] if is_chat else body["prompt"]
            if words(text) > max_prompt_words:
                self.respond(400, {"error": {"message": "the prompt is too long"}})
                return
            seen += 1
            tokens = body["max_tokens"] if output_tokens is None else output_tokens
            events: list[dict[str, Any]] = []
            for place in range(tokens):
                reason = "length" if place == tokens - 1 else None
                part = {"delta": {"content": " word"}} if is_chat else {"text": " word"}
                events.append({"choices": [{"index": 0, "finish_reason": reason} | part]})
            if (told := usage(text, seen, tokens)) is not None:
                events.append({"choices": [], "usage": told})
            stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            self.respond(200, stream, "text/event-stream")

    with listening(Handler) as url:
        yield url


def measured(cli: Cli, url: str, *arguments: str) -> dict[str, Any]:
    """The document of a run of 64 → 4 tokens, which must be kept and never invalid for its lengths."""
    load = ("--concurrency", "2", "--requests", "20", "--input-tokens", "64", "--output-tokens", "4")
    said = cli("run", "--url", url, "--model", "m", *load, *arguments, "--json")
    document: dict[str, Any] = said.json
    assert document["outcomes"]["ok"] == document["outcomes"]["planned"]
    for code, finding in findings(document).items():
        assert not code.endswith("length_off") or finding["severity"] != "invalid"
    return document


def findings(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {finding["code"]: finding for finding in document["verdict"]["findings"]}


@pytest.mark.parametrize(
    ("count", "arguments"),
    [
        (lambda text: words(text) + 11, ("--endpoint", "completions")),
        (lambda text: 2 * words(text) - 1, ()),
        (lambda text: len(text) + 3, ()),
        (lambda text: max(1, len(text) // 4), ()),
        (lambda text: round(1.4 * words(text)) + 5, ()),
        (lambda text: 7 * words(text), ()),
        (lambda text: words(text) + 50, ("--warmup-requests", "0")),
        (lambda text: 2 * words(text) + 9, ("--requests-per-minute", "100000")),
        (lambda text: words(text) + 6, ("--range-ratio", "0.5")),
        (lambda text: 3 * words(text), ("--prefix-tokens", "32", "--prefix-groups", "2")),
    ],
    ids=["template", "words and spaces", "bytes", "quarter of the characters", "1.4 a word", "7 a word", "no warm-up",
         "limits", "varied lengths", "prefix"],
)  # fmt: skip
def test_prompts_have_the_length_asked(cli: Cli, count: Callable[[str], int], arguments: tuple[str, ...]) -> None:
    with gateway(counted(count)) as url:
        document = measured(cli, url, *(arguments if "--endpoint" in arguments else ("--endpoint", "chat", *arguments)))
    length = document["lengths"]["prompt_tokens"]
    assert length["mean"] == pytest.approx(length["asked"], rel=0.02)
    assert "input_length_off" not in findings(document)
    assert length["fitted_by"] == "usage"


def test_the_long_question_is_refused(cli: Cli) -> None:
    with gateway(counted(lambda text: 2 * words(text) + 5), max_prompt_words=200) as url:
        document = measured(cli, url, "--endpoint", "chat")
    assert document["lengths"]["prompt_tokens"]["mean"] == pytest.approx(64, rel=0.02)


def test_a_system_prompt_longer_than_what_was_asked_is_said(cli: Cli) -> None:
    with gateway(counted(lambda text: words(text) + 500)) as url:
        document = measured(cli, url, "--endpoint", "chat")
    finding = findings(document)["input_length_off"]
    assert finding["severity"] == "doubtful"
    assert "none can have fewer than 501" in finding["message"]
    assert finding["hint"] == "ask for --input-tokens 501 or more"


@pytest.mark.parametrize(
    "usage",
    [lambda *_: None, lambda *_: {}, counted(lambda text: 0), counted(lambda text: None)],
    ids=["no usage", "empty usage", "zero", "null"],
)
def test_without_usage_lengths_are_unknown(cli: Cli, usage: Usage) -> None:
    with gateway(usage) as url:
        document = measured(cli, url, "--endpoint", "chat")
    assert "input_length_off" not in findings(document)
    assert document["lengths"]["prompt_tokens"]["mean"] is None
    assert findings(document)["length_unknown"]["severity"] == "note"


@pytest.mark.parametrize("tokens", [10, 300])
def test_counts_that_do_not_grow_are_not_relied_on(cli: Cli, tokens: int) -> None:
    with gateway(counted(lambda text: tokens)) as url:
        document = measured(cli, url, "--endpoint", "chat")
    assert document["lengths"]["prompt_tokens"]["fitted_by"] == "uncounted"
    finding = findings(document)["input_length_off"]
    assert finding["severity"] == "doubtful"
    assert "do not grow" in finding["hint"]


def test_a_server_that_counts_more_after_a_while_is_doubtful(cli: Cli) -> None:
    usage: Usage = lambda text, seen, tokens: {  # noqa: E731
        "prompt_tokens": words(text) + (0 if seen < 8 else 40),
        "completion_tokens": tokens,
    }
    with gateway(usage) as url:
        document = measured(cli, url, "--endpoint", "chat")
    assert findings(document)["input_length_off"]["severity"] == "doubtful"


def test_a_server_that_ignores_max_tokens_is_doubtful(cli: Cli) -> None:
    with gateway(counted(words), output_tokens=72) as url:
        document = measured(cli, url, "--endpoint", "chat")
    assert document["lengths"]["output_tokens"]["mean"] == 72
    finding = findings(document)["output_length_off"]
    assert (finding["severity"], document["lengths"]["output_tokens"]["asked"]) == ("doubtful", 4)
    assert "not comparable" in finding["message"]


@pytest.mark.parametrize("asked", ["1", "2", "3"])
def test_the_shortest_prompts(cli: Cli, asked: str) -> None:
    with gateway(counted(words)) as url:
        document = measured(cli, url, "--endpoint", "chat", "--input-tokens", asked)
    assert document["lengths"]["prompt_tokens"]["mean"] == int(asked)


def test_a_conversation_s_turns(cli: Cli) -> None:
    with gateway(counted(lambda text: 2 * words(text) + 7)) as url:
        document = measured(cli, url, "--endpoint", "chat", "--turns", "2")
    assert document["by_turn"][0]["prompt_tokens_mean"] == pytest.approx(64, abs=2)
