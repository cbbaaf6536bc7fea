"""The simulator's pure parts: schedule, tokens, requests and refusals, chunks on the wire."""

import json
from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.servers.simulator.dialect import StreamEncoder, whole_response
from loadgen.servers.simulator.generation import (
    REPLY_WORDS,
    Generation,
    SimulatedRefusal,
    chat_ids,
    parse_generation,
    parse_tokenize,
    reply_text,
    text_ids,
)
from loadgen.servers.simulator.metrics_page import Counters, expose
from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.service import Timetable

OPTIONS = SimulatorOptions(model="m", max_model_len=100)
MS = 1_000_000

# Facts about vLLM 0.32's wire: the keys of each kind of chunk, in their order.
COMPLETION_CHUNK = ["id", "object", "created", "model", "choices"]
COMPLETION_CHOICE = [
    "index",
    "text",
    "logprobs",
    "finish_reason",
    "stop_reason",
    "prompt_token_ids",
    "token_ids",
]
CHAT_CHOICE = ["index", "delta", "logprobs", "finish_reason", "token_ids"]
CHAT_LAST_CHOICE = ["index", "delta", "logprobs", "finish_reason", "stop_reason", "token_ids"]


def generation(**changes: Any) -> Generation:
    fields: dict[str, Any] = {
        "chat": False,
        "prompt_ids": [5, 6, 7],
        "output_tokens": 3,
        "choices": 1,
        "stream": True,
        "include_usage": False,
        "continuous_usage": False,
        "return_token_ids": False,
    }
    return Generation(**{**fields, **changes})


def events(asked: Generation) -> list[Any]:
    """The stream's events, through the chunked framing; the last one is the text [DONE]."""
    encoder = StreamEncoder(asked, "cmpl-1", 1_700_000_000, "m")
    wire = b"".join(encoder.token(token) for token in range(asked.output_tokens))
    body = b""
    while True:
        size, _, wire = wire.partition(b"\r\n")
        length = int(size, 16)
        body += wire[:length]
        assert wire[length : length + 2] == b"\r\n"
        wire = wire[length + 2 :]
        if not length:
            break
    assert wire == b""
    lines = [event.removeprefix(b"data: ") for event in body.split(b"\n\n") if event]
    assert lines[-1] == b"[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "prompt": "a b c", **fields}).encode()


def chat_body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "a b"}], **fields}).encode()


def test_tokens_are_due_on_an_absolute_schedule() -> None:
    timetable = Timetable(SimulatorOptions(ttft_s=0.05, gap_s=0.01), 1_000, 8, 0, 0)
    assert [timetable.due_ns(token) for token in range(3)] == [1_000 + 50 * MS, 1_000 + 60 * MS, 1_000 + 70 * MS]


def test_prompt_and_company_lengthen_the_schedule() -> None:
    options = SimulatorOptions(
        ttft_s=0.05, gap_s=0.01, ttft_per_prompt_token_s=0.001, ttft_per_running_s=0.002, gap_per_running_s=0.003
    )
    timetable = Timetable(options, 0, 10, 4, 0)
    assert timetable.due_ns(0) == (50 + 10 * 1 + 4 * 2) * MS
    assert timetable.due_ns(1) - timetable.due_ns(0) == (10 + 4 * 3) * MS


def test_jitter_is_seeded_only_delays_and_keeps_the_order() -> None:
    options = SimulatorOptions(ttft_s=0.05, gap_s=0.01, jitter_ratio=0.5, seed=3)

    def drawn(options: SimulatorOptions, ordinal: int) -> list[int]:
        timetable = Timetable(options, 0, 1, 0, ordinal)
        return [timetable.due_ns(token) for token in range(200)]

    plain = drawn(SimulatorOptions(ttft_s=0.05, gap_s=0.01), 0)
    first = drawn(options, 0)
    assert first == drawn(options, 0)
    assert first != drawn(options, 1)
    assert first == sorted(first)
    shift = first[0] - plain[0]
    assert 0 < shift <= 25 * MS
    delays = [jittered - exact - shift for jittered, exact in zip(first, plain, strict=True)]
    assert 0 <= min(delays) < max(delays) <= 5 * MS


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ttft_s": -0.1}, "ttft_s is -0.1"),
        ({"gap_s": float("nan")}, "gap_s is nan"),
        ({"jitter_ratio": 1.5}, "jitter_ratio is 1.5"),
        ({"port": 70000}, "port is 70000"),
        ({"max_running": 0}, "max_running is 0"),
        ({"max_model_len": 1}, "max_model_len is 1"),
        ({"model": ""}, "the model has no name"),
    ],
)
def test_options_out_of_range_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SimulatorOptions(**changes)


def test_options_survive_json() -> None:
    options = SimulatorOptions(port=8011, max_running=4, jitter_ratio=0.25)
    assert SimulatorOptions.from_json(options.to_json()) == options


def test_a_word_is_a_token() -> None:
    assert len(text_ids("one  two\nthree")) == 3
    assert len(chat_ids(["one two", "three"])) == 3 + 2 + 3 + 1 + 1
    assert len(chat_ids(["one two"], generation_prompt=False)) == 3 + 2
    assert all(word.split() == [word[1:]] for word in REPLY_WORDS)
    assert len(text_ids(reply_text(range(100)))) == 100


def test_a_request_is_read() -> None:
    asked = parse_generation(
        body(
            prompt=[4, 5],
            max_tokens=7,
            stream=True,
            stream_options={"include_usage": True, "continuous_usage_stats": True},
            return_token_ids=True,
            ignore_eos=True,
        ),
        False,
        OPTIONS,
    )
    assert asked == Generation(False, [4, 5], 7, 1, True, True, True, True)


def test_lengths_default_and_are_cut_to_the_context() -> None:
    assert parse_generation(body(), False, OPTIONS).output_tokens == 16
    assert parse_generation(chat_body(max_completion_tokens=5, max_tokens=9), True, OPTIONS).output_tokens == 5
    assert parse_generation(chat_body(max_tokens=9), True, OPTIONS).output_tokens == 9
    assert parse_generation(body(prompt=[1] * 90, max_tokens=50), False, OPTIONS).output_tokens == 10


def test_continuous_usage_needs_include_usage() -> None:
    asked = parse_generation(body(stream=True, stream_options={"continuous_usage_stats": True}), False, OPTIONS)
    assert not asked.continuous_usage


@pytest.mark.parametrize(
    ("raw", "status", "param", "said"),
    [
        (body(model="x"), 404, "model", "The model `x` does not exist."),
        (b'{"model":"m",', 400, "body.13", "JSON decode error"),
        (b"\xff\xfe\xff", 400, None, "error parsing the body"),
        (b"[1]", 400, "body", "valid dictionary"),
        (
            body(max_tokens=0),
            400,
            "max_tokens",
            "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)",
        ),
        (body(max_tokens=-1), 400, "max_tokens", "got -1."),
        (body(max_tokens="9"), 400, "max_tokens", "valid integer"),
        (body(prompt=""), 400, "prompt", "Either prompt or prompt_embeds must be provided and non-empty."),
        (body(prompt=["a", "b"]), 400, "prompt", "one string or one list"),
        (body(prompt=[5, 999999]), 400, None, "Token id 999999 is out of vocabulary"),
        (body(n=0), 400, "n", "n must be a whole number from 1"),
        (body(n=2, temperature=0), 400, None, "n must be 1 when using greedy sampling, got 2."),
        (body(stream_options={"include_usage": True}), 400, "stream_options", "only be defined when `stream=True`."),
        (
            body(prompt=[7] * 110),
            400,
            "input_tokens",
            "maximum context length is 100 tokens. However, your prompt contains 110",
        ),
        (body(stream="yes"), 400, "stream", "boolean"),
    ],
)
def test_refusals_are_those_of_vllm(raw: bytes, status: int, param: str | None, said: str) -> None:
    with pytest.raises(SimulatedRefusal) as refused:
        parse_generation(raw, False, OPTIONS)
    error: Any = refused.value.to_json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["code"], error["param"]) == (status, param)
    assert said in error["message"]


@pytest.mark.parametrize("messages", [None, [], ["hello"], [{"role": "user", "content": 5}]])
def test_chat_without_messages_is_refused(messages: object) -> None:
    with pytest.raises(SimulatedRefusal, match="message"):
        parse_generation(chat_body(messages=messages), True, OPTIONS)


def test_tokenize_counts_as_the_endpoints_do() -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a b"}]},
    ]
    raw = chat_body(messages=messages)
    assert parse_tokenize(raw, OPTIONS) == parse_generation(raw, True, OPTIONS).prompt_ids
    assert len(parse_tokenize(chat_body(messages=messages, add_generation_prompt=False), OPTIONS)) == 10
    assert parse_tokenize(body(), OPTIONS) == parse_generation(body(), False, OPTIONS).prompt_ids
    with pytest.raises(SimulatedRefusal, match="prompt or messages"):
        parse_tokenize(body(prompt=[1, 2]), OPTIONS)


def test_completion_chunks_have_vllms_shape() -> None:
    chunks = events(generation())
    assert [list(chunk) for chunk in chunks] == [
        COMPLETION_CHUNK,
        COMPLETION_CHUNK,
        [*COMPLETION_CHUNK, "system_fingerprint"],
    ]
    assert [list(chunk["choices"][0]) for chunk in chunks] == [COMPLETION_CHOICE] * 3
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "length"]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == reply_text(range(3))


def test_chat_chunks_have_vllms_shape() -> None:
    role, first, middle, last, usage = events(generation(chat=True, include_usage=True))
    assert list(role) == [*COMPLETION_CHUNK, "prompt_token_ids", "prompt_text"]
    assert list(role["choices"][0]) == ["index", "delta", "logprobs", "finish_reason"]
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [list(chunk) for chunk in (first, middle, last)] == [COMPLETION_CHUNK] * 3
    assert [list(chunk["choices"][0]) for chunk in (first, middle, last)] == [
        CHAT_CHOICE,
        CHAT_CHOICE,
        CHAT_LAST_CHOICE,
    ]
    assert last["choices"][0]["finish_reason"] == "length"
    assert list(usage) == [*COMPLETION_CHUNK, "usage", "system_fingerprint"]
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 3, "total_tokens": 6, "completion_tokens": 3}


def test_usage_runs_along_when_asked() -> None:
    chunks = events(generation(include_usage=True, continuous_usage=True))
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [1, 2, 3, 3]
    chat = events(generation(chat=True, include_usage=True, continuous_usage=True))
    assert [chunk["usage"]["completion_tokens"] for chunk in chat] == [0, 1, 2, 3, 3]
    assert list(chat[1]) == [*COMPLETION_CHUNK, "usage"]


def test_token_ids_are_told_when_asked() -> None:
    chunks = events(generation(return_token_ids=True))
    assert [chunk["choices"][0]["prompt_token_ids"] for chunk in chunks] == [[5, 6, 7], None, None]
    assert [chunk["choices"][0]["token_ids"] for chunk in chunks] == [
        [token] for token in text_ids(reply_text(range(3)))
    ]
    chat = events(generation(chat=True, return_token_ids=True))
    assert chat[0]["prompt_token_ids"] == [5, 6, 7]
    assert [chunk["choices"][0]["token_ids"] for chunk in chat[1:]] == [
        [token] for token in text_ids(reply_text(range(3)))
    ]
    assert events(generation())[0]["choices"][0]["token_ids"] is None


def test_an_answer_of_one_token_is_first_and_last() -> None:
    (only,) = events(generation(output_tokens=1))
    assert only["choices"][0]["finish_reason"] == "length"
    role, only = events(generation(chat=True, output_tokens=1))
    assert role["choices"][0]["finish_reason"] is None
    assert only["choices"][0]["finish_reason"] == "length"


def test_whole_answers_have_vllms_shape() -> None:
    completion: Any = whole_response(generation(stream=False), "cmpl-1", 1, "m")
    tail = ["service_tier", "system_fingerprint", "usage"]
    transfer = ["kv_transfer_params", "ec_transfer_params", "metrics"]
    assert list(completion) == [*COMPLETION_CHUNK, *tail, *transfer]
    assert list(completion["choices"][0]) == [
        "index",
        "text",
        "logprobs",
        "finish_reason",
        "stop_reason",
        "token_ids",
        "prompt_logprobs",
        "prompt_token_ids",
        "routed_experts",
    ]
    chat: Any = whole_response(generation(chat=True, stream=False, return_token_ids=True), "chatcmpl-1", 1, "m")
    assert list(chat) == [*COMPLETION_CHUNK, *tail, "prompt_logprobs", "prompt_token_ids", "prompt_text", *transfer]
    assert list(chat["choices"][0]) == [
        "index",
        "message",
        "logprobs",
        "finish_reason",
        "stop_reason",
        "token_ids",
        "routed_experts",
    ]
    assert chat["usage"]["completion_tokens"] == len(chat["choices"][0]["token_ids"]) == 3


def test_metrics_carry_vllms_names_and_labels() -> None:
    counters = Counters(
        prompt_tokens=2,
        generation_tokens=3,
        finished_requests=4,
        aborted_requests=5,
        prefix_cache_queries_tokens=6,
    )
    text = expose(counters, 7, 8, 0.5, 'odd"name\\')
    labels = 'engine="0",model_name="odd\\"name\\\\"'
    ends = 'engine="0",finished_reason="{}",model_name="odd\\"name\\\\"'
    lines = [line for line in text.splitlines() if not line.startswith("#") and "_seconds" not in line]
    assert lines == [
        f"vllm:num_requests_running{{{labels}}} 7.0",
        f"vllm:num_requests_waiting{{{labels}}} 8.0",
        f"vllm:kv_cache_usage_perc{{{labels}}} 0.5",
        f"vllm:prefix_cache_queries_total{{{labels}}} 6.0",
        f"vllm:prefix_cache_hits_total{{{labels}}} 0.0",
        f"vllm:num_preemptions_total{{{labels}}} 0.0",
        f"vllm:prompt_tokens_total{{{labels}}} 2.0",
        f"vllm:generation_tokens_total{{{labels}}} 3.0",
        f"vllm:request_success_total{{{ends.format('stop')}}} 0.0",
        f"vllm:request_success_total{{{ends.format('length')}}} 4.0",
        f"vllm:request_success_total{{{ends.format('abort')}}} 5.0",
        f"vllm:request_success_total{{{ends.format('error')}}} 0.0",
    ]


def test_histograms_count_a_value_in_every_bucket_from_its_own_on() -> None:
    counters = Counters()
    for value_ns, times in ((10 * MS, 1), (10 * MS + 1, 2), (100_000 * MS, 1)):
        counters.step.observe_ns(value_ns, times)
    lines = expose(counters, 0, 0, 0.0, "m").splitlines()
    told = [line for line in lines if line.startswith("vllm:inter_token_latency_seconds")]
    buckets = {line.split('le="')[1].split('"')[0]: float(line.split()[-1]) for line in told if "_bucket" in line}
    assert list(buckets.values()) == [1.0] + [3.0] * 18 + [4.0]
    assert (next(iter(buckets)), list(buckets)[-1]) == ("0.01", "+Inf")
    assert told[-2].endswith(" 4.0")
    assert float(told[-1].split()[-1]) == pytest.approx(100.030000002)
