"""By which means a server tells the tokens of its chunks: asked of servers that tell more or less, and of some that refuse."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from loadgen.load.body import ChunkCounts, Dialect
from loadgen.load.spec import Endpoint
from loadgen.servers.asking import ASK_AGAIN_LIMIT_S, RetryPolicy
from loadgen.servers.counting import LONG_PROMPT_TOKENS, chunk_counts_to_ask, enquire
from loadgen.servers.endpoint import probe
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.simulator.options import Tells
from tests.servers.endpoints import facts_of
from tests.servers.http_server import QuietHandler, listening

Counts = tuple[ChunkCounts, ...]


@pytest.mark.loopback
@pytest.mark.parametrize("endpoint", ["completions", "chat"])
@pytest.mark.parametrize(
    ("tells", "told"), [("token_ids", ("token_ids", "usage")), ("usage", ("usage",)), ("final", ()), ("nothing", ())]
)
def test_what_a_server_tells_is_found_out(endpoint: Endpoint, tells: Tells, told: Counts) -> None:
    with SimulatorProcess(SimulatorOptions(ttft_s=0, gap_s=0, tells=tells)) as simulator:
        facts = probe(simulator.url, "simulated-moe", ())
        assert enquire(facts, "simulated-moe", endpoint, ()).chunk_counts == told


@contextmanager
def strict(refused: set[str], status: int, heard: list[dict[str, Any]]) -> Iterator[str]:
    """A server that answers `status` to a body with any of the `refused` fields, else one chunk with what was asked for."""

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.read_json()
            heard.append(body)
            fields = set(body) | set(body.get("stream_options", {}))
            choice = {"index": 0, "text": "x", "token_ids": [7] if "return_token_ids" in fields else None}
            usage = {"completion_tokens": 1} if "continuous_usage_stats" in fields else None
            event = b"data: " + json.dumps({"choices": [choice], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"
            self.send_response(status if fields & refused else 200)
            self.end_headers()
            self.wfile.write(b"" if fields & refused else event)

    with listening(Handler) as url:
        yield url


@pytest.mark.loopback
@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    ("refused", "told"),
    [
        (set(), ("token_ids", "usage")),
        ({"return_token_ids"}, ("usage",)),
        ({"continuous_usage_stats"}, ("token_ids",)),
        ({"return_token_ids", "continuous_usage_stats"}, ()),
    ],
)
def test_a_field_that_is_refused_is_left_out(refused: set[str], told: Counts, status: int) -> None:
    heard: list[dict[str, Any]] = []
    with strict(refused, status, heard) as url:
        assert enquire(facts_of(url, dialect="openai"), "m", "completions", ()).chunk_counts == told
    assert heard[0]["max_tokens"] == 2
    assert not (refused & set(heard[-1]) and told)


@pytest.mark.loopback
def test_a_usage_in_the_last_chunk_alone_does_not_run() -> None:
    class Handler(QuietHandler):
        def do_POST(self) -> None:
            self.read_body()
            self.send_response(200)
            self.end_headers()
            for usage in (None, {"completion_tokens": 2}):
                document = {"choices": [{"index": 0, "text": "x"}]} | ({"usage": usage} if usage else {})
                self.wfile.write(b"data: " + json.dumps(document).encode() + b"\n\n")

    with listening(Handler) as url:
        assert enquire(facts_of(url, dialect="openai"), "m", "completions", ()).chunk_counts == ()


@pytest.mark.loopback
@pytest.mark.parametrize(("dialect", "told"), [("vllm", ("token_ids",)), ("openai", ())])
def test_a_server_in_trouble_is_taken_for_what_its_dialect_promises(dialect: Dialect, told: Counts) -> None:
    heard: list[dict[str, Any]] = []
    waits: list[tuple[str, float]] = []
    now_s = 0.0

    def pause(wait_s: float) -> None:
        nonlocal now_s
        now_s += wait_s

    with strict({"model"}, 503, heard) as url:
        facts = facts_of(url, dialect=dialect)
        found = enquire(
            facts,
            "m",
            "completions",
            (),
            retries=RetryPolicy(
                on_wait=lambda why, wait_s: waits.append((why, wait_s)), clock_s=lambda: now_s, pause=pause
            ),
        )
    assert (found.chunk_counts, found.problem, found.refusal) == (told, "HTTP 503", None)
    assert len(heard) == len(waits) + 1
    assert {why for why, _ in waits} == {"HTTP 503"}
    assert ASK_AGAIN_LIMIT_S - 8 <= now_s < ASK_AGAIN_LIMIT_S
    assert enquire(facts, "m", "completions", ()).chunk_counts == told  # nobody listens there any more


@pytest.mark.parametrize(
    ("told", "prompt_tokens", "asked"),
    [
        (("token_ids", "usage"), LONG_PROMPT_TOKENS, ("token_ids",)),
        (("token_ids", "usage"), LONG_PROMPT_TOKENS + 1, ("usage",)),
        (("token_ids", "usage"), None, ("usage",)),
        (("token_ids",), None, ("token_ids",)),
        (("token_ids",), 100_000, ("token_ids",)),
        (("usage",), 8, ("usage",)),
        ((), 8, ()),
    ],
)
def test_long_prompts_are_not_asked_to_be_sent_back(told: Counts, prompt_tokens: int | None, asked: Counts) -> None:
    assert chunk_counts_to_ask(told, prompt_tokens) == asked


@pytest.mark.loopback
@pytest.mark.parametrize(("ids", "sent"), [((), [300, 301, 302, 303]), (tuple(range(8, 40)), [8, 9, 10, 11])])
def test_the_first_question_has_ids_that_the_vocabulary_has(ids: tuple[int, ...], sent: list[int]) -> None:
    heard: list[dict[str, Any]] = []
    with strict(set(), 400, heard) as url:
        enquire(replace(facts_of(url), prompt_ids=ids), "m", "completions", ())
    assert heard[0]["prompt"] == sent
