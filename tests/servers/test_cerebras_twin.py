"""The simulated twin of Cerebras' API, over real sockets: its key, its fields, its limits, its errors, and what it tells of its time."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from loadgen.errors import UsageError
from loadgen.servers.counting import enquire
from loadgen.servers.endpoint import probe
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess

# Of OpenAI's own fields, those that its compatibility page names.
UNSUPPORTED = ("frequency_penalty", "logit_bias", "presence_penalty", "parallel_tool_calls", "service_tier")

pytestmark = pytest.mark.loopback

KEY = "csk-simulated"
CHAT: dict[str, Any] = {
    "model": "twin",
    "messages": [{"role": "user", "content": "one two three"}],
    "max_completion_tokens": 5,
}


def twin(**changes: Any) -> SimulatorProcess:
    options = {"model": "twin", "provider": "cerebras", "ttft_s": 0.02, "gap_s": 0.005, **changes}
    return SimulatorProcess(SimulatorOptions(**options))


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorProcess]:
    with twin() as process:
        yield process


def post(
    server: SimulatorProcess, body: dict[str, Any], path: str = "chat/completions", **headers: str
) -> httpx2.Response:
    return httpx2.post(f"{server.url}/v1/{path}", json=body, headers=headers, trust_env=False)


def events(answer: httpx2.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_what_it_is_found_to_be(server: SimulatorProcess) -> None:
    facts = probe(server.url, "twin", ())
    assert (facts.dialect, facts.simulated) == ("cerebras", True)
    assert facts.name == "loadgen simulator of Cerebras"
    assert not facts.has_tokenize
    assert not facts.has_metrics
    told = enquire(facts, "twin", "chat", ())
    assert (told.chunk_counts, told.template_tokens) == ((), 4)


def test_none_of_vllms_own_paths_is_there(server: SimulatorProcess) -> None:
    for path in ("version", "metrics", "tokenize"):
        assert httpx2.get(f"{server.url}/{path}", trust_env=False).status_code == 404


def test_its_stream_and_the_times_at_its_end(server: SimulatorProcess) -> None:
    server.reset_truth()
    chunks = events(post(server, CHAT | {"stream": True}))
    contents = [chunk["choices"][0]["delta"].get("content") for chunk in chunks if chunk["choices"]]
    assert contents == [None, " this", " answer", " is", " simulated", " and", None]
    assert [chunk["choices"][0].get("finish_reason") for chunk in chunks[:-1]] == [None] * 6 + ["length"]
    last = chunks[-1]
    assert last["usage"] == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    times = last["time_info"]
    (truth,) = server.truth()["requests"]
    sent_ns = truth["sent_ns"]
    assert truth["start_ns"] is not None
    assert times["queue_time"] == (truth["start_ns"] - truth["arrival_ns"]) / 1e9
    assert times["prompt_time"] == (sent_ns[0] - truth["start_ns"]) / 1e9 >= 0.02
    assert times["completion_time"] == (sent_ns[-1] - sent_ns[0]) / 1e9
    assert times["total_time"] == (sent_ns[-1] - truth["arrival_ns"]) / 1e9


def test_an_answer_in_one_piece_tells_them_too(server: SimulatorProcess) -> None:
    document = post(server, CHAT).json()
    assert document["choices"][0]["message"]["content"] == " this answer is simulated and"
    times = document["time_info"]
    assert times["prompt_time"] >= 0.02
    assert times["completion_time"] >= 0.015
    text = post(server, {"model": "twin", "prompt": "one", "max_tokens": 1}, "completions").json()
    assert text["choices"][0]["text"] == " this"


@pytest.mark.parametrize(
    "field",
    [
        *({name: 1} for name in UNSUPPORTED),
        {"ignore_eos": True},
        {"return_token_ids": True},
        {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}},
    ],
    ids=lambda field: list(field)[-1],
)
def test_fields_that_it_does_not_have_are_refused(server: SimulatorProcess, field: dict[str, Any]) -> None:
    answer = post(server, CHAT | field)
    assert answer.status_code == 400
    error = answer.json()
    assert "is unsupported" in error["message"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "wrong_api_format")


def test_another_model_and_a_prompt_that_is_too_long(server: SimulatorProcess) -> None:
    assert post(server, CHAT | {"model": "other"}).json()["code"] == "model_not_found"
    too_long = CHAT | {"messages": [{"role": "user", "content": "word " * 40_000}]}
    assert post(server, too_long).status_code == 400


def test_without_its_key_nobody_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_KEY", KEY)
    with twin(api_key_env="TWIN_KEY") as server:
        for headers in ({}, {"Authorization": "Bearer other"}):
            answer = post(server, CHAT, **headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "wrong_api_key")
        assert post(server, CHAT, Authorization=f"Bearer {KEY}").status_code == 200
        with pytest.raises(UsageError, match="refused the key"):
            probe(server.url, "twin", ())
        assert KEY not in server.options.to_json()


def test_its_limits_are_buckets_and_told_in_headers() -> None:
    with twin(requests_per_minute=3, tokens_per_minute=40, minute_s=3600.0) as server:
        first = post(server, CHAT)
        assert first.headers["x-ratelimit-limit-tokens-minute"] == "40"
        assert first.headers["x-ratelimit-remaining-tokens-minute"] == "28", "7 of the prompt, 5 asked"
        assert 1079 < float(first.headers["x-ratelimit-reset-tokens-minute"]) <= 1080
        unbounded = {key: value for key, value in CHAT.items() if key != "max_completion_tokens"}
        refused = post(server, unbounded)
        assert (refused.status_code, refused.json()["code"]) == (429, "token_quota_exceeded")
        assert int(refused.headers["retry-after"]) == 1080, (
            "it counts as the longest sequence, so the bucket must be full"
        )
        assert post(server, CHAT).status_code == post(server, CHAT).status_code == 200
        last = post(server, CHAT | {"max_completion_tokens": 1})
        assert last.json() == {
            "message": "Requests per minute limit exceeded - too many requests sent.",
            "type": "too_many_requests_error",
            "param": "quota",
            "code": "request_quota_exceeded",
        }


def test_its_answers_end_by_themselves() -> None:
    with twin(answer_tokens=8, gap_s=0.0, ttft_s=0.0) as server:
        endings = []
        for _ in range(20):
            document = post(server, CHAT | {"max_completion_tokens": 9}).json()
            choice = document["choices"][0]
            endings.append((choice["finish_reason"], document["usage"]["completion_tokens"]))
    assert {"stop", "length"} == {reason for reason, _ in endings}
    assert all(tokens == 9 if reason == "length" else 4 <= tokens < 9 for reason, tokens in endings)


def test_what_only_a_provider_has() -> None:
    with pytest.raises(UsageError, match="api_key_env needs a provider"):
        SimulatorOptions(api_key_env="KEY")
    with pytest.raises(UsageError, match="provider is 'acme'; known values: cerebras"):
        SimulatorOptions(provider="acme")  # type: ignore[arg-type]
