"""Prompts of the user's own: what a line may be, in which order they go out, and the sentence for each mistake."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.load.body import RequestForm
from loadgen.load.dataset import read_dataset
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import Endpoint, RunSpec
from loadgen.load.workload import Workload


def written(folder: Path, *lines: object) -> Path:
    path = folder / "own.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def asked(path: Path, endpoint: Endpoint, requests: int, seed: int = 0) -> list[dict[str, Any]]:
    dataset = read_dataset(path, endpoint)
    workload = Workload(dataset=dataset.source)
    spec = RunSpec("http://h", "m", ClosedLoop(1), None, 9, endpoint, requests=requests, seed=seed, workload=workload)
    schedule = build(spec, requests, prompt_seed="x", form=RequestForm("vllm"), dataset=dataset)
    assert set(schedule.prompt_tokens.tolist()) == {-1}
    bodies = [json.loads(body) for body in schedule.bodies]
    assert [body["max_tokens"] for body in bodies] == schedule.output_tokens.tolist()
    return bodies


def test_prompts_go_out_as_they_are(tmp_path: Path) -> None:
    talk = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "two"}]
    shared = [{"from": "system", "value": "no"}, {"from": "human", "value": "three"}, {"from": "gpt", "value": "no"}]
    lines = ({"prompt": "öne", "output_tokens": 3}, {"messages": talk, "max_tokens": "4"}, {"conversations": shared})
    bodies = asked(written(tmp_path, *lines), "chat", 3)
    by_length = {body["max_tokens"]: body["messages"] for body in bodies}
    assert by_length == {
        3: [{"role": "user", "content": "öne"}],
        4: talk,
        9: [{"role": "user", "content": "three"}],
    }


def test_the_seed_decides_the_order_and_none_comes_twice_before_all_came_once(tmp_path: Path) -> None:
    path = written(tmp_path, *({"prompt": str(number)} for number in range(20)))

    def order(seed: int) -> list[str]:
        return [body["prompt"] for body in asked(path, "completions", 50, seed)]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert len(set(order(1)[:20])) == len(set(order(1)[20:40])) == 20
    assert order(1)[:20] != order(1)[20:40]


def test_the_source_knows_the_file_by_its_content(tmp_path: Path) -> None:
    first = read_dataset(written(tmp_path, {"prompt": "a"}), "chat").source
    assert (first.name, first.prompts) == ("own.jsonl", 1)
    assert first == read_dataset(written(tmp_path, {"prompt": "a"}), "chat").source
    assert first.hash != read_dataset(written(tmp_path, {"prompt": "b"}), "chat").source.hash
    workload = Workload(dataset=first)
    assert Workload.from_json(json.loads(json.dumps(workload.to_json()))) == workload


MISTAKES: list[tuple[object, str]] = [
    ('{"prompt": "a", "temperature": NaN}', "own.jsonl line 2 has NaN, which is not a number in JSON"),
    ('{"prompt": "a", "temperature": -Infinity}', "own.jsonl line 2 has -Infinity, which is not a number in JSON"),
    ('{"prompt": "a", "temperature": 1e999}', "own.jsonl line 2 has a number that is too large to be sent"),
    ('{"prompt": "a", "prompt": "b"}', 'own.jsonl line 2 has the key "prompt" twice in one object'),
    ('{"prompt": "a", "seed": ' + "9" * 5000 + "}", "own.jsonl line 2 "),
    ("[" * 100_000, "own.jsonl line 2 is nested too deeply"),
    ('{"prompt": "a \\ud83d b"}', "own.jsonl line 2 has half a character, \\ud83d without its other half"),
    ('{"prompt": "a", "stop": ["\\udc00"]}', "own.jsonl line 2 has half a character, \\udc00 without its other half"),
    ({"text": "a"}, 'own.jsonl line 2 has the unknown key "text"'),
    ({"prompt": "a", "temprature": 1}, "own.jsonl line 2 has the unknown key \"temprature\"; did you mean 'temperature'?"),
    ({"prompt": "a", "Max-Tokens": 1}, "own.jsonl line 2 has the unknown key \"Max-Tokens\"; did you mean 'max_tokens'?"),
    ({"promt": "a"}, "own.jsonl line 2 has the unknown key \"promt\"; did you mean 'prompt'?"),
    ({"prompt": "a", "system": "be brief"}, 'own.jsonl line 2 has the unknown key "system"'),
    ({"prompt": "a", "n": 4}, "own.jsonl line 2: 'n' cannot be 4 there; leave it out and say --choices"),
    ({"prompt": "a", "messages": [{"role": "user", "content": "a"}]}, "own.jsonl line 2 has both 'prompt' and 'messages'"),
    ({"messages": [{"role": "user", "content": "a"}]}, "own.jsonl line 2 has 'messages', which only a chat takes"),
    ({"prompt": "a", "max_tokens": 0}, "own.jsonl line 2: 'max_tokens' must be a whole number of at least 1, not 0"),
    ({"prompt": "a", "max_tokens": "many"}, "own.jsonl line 2: 'max_tokens' must be a whole number of at least 1, not"),
    ({"prompt": "a", "max_tokens": 2.5}, "own.jsonl line 2: 'max_tokens' must be a whole number of at least 1, not 2.5"),
    ({"prompt": "a", "output_tokens": True}, "own.jsonl line 2: 'output_tokens' must be a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "sentence"), MISTAKES, ids=[f"{row[0]!s:.30}" for row in MISTAKES])
def test_a_mistake_is_named_with_its_line(tmp_path: Path, line: object, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_dataset(written(tmp_path, {"prompt": "good"}, line), "completions")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


USER = {"role": "user", "content": "hi"}
ODD: list[tuple[object, str]] = [
    ('{"prompt": "cut o', "is not JSON: unterminated string starting at character 12"),
    ('{"prompt": "a"} {"prompt": "b"}', "is not JSON: extra data at character 17"),
    ("\0\0\0", "is not JSON: expecting value at character 1"),
    ("", "is empty"),
    (" \t", "is empty"),
    ("null", "is not a JSON object"),
    ("8", "is not a JSON object"),
    ("true", "is not a JSON object"),
    ('"only words"', "is not a JSON object"),
    ([{"prompt": "a"}], "is not a JSON object"),
    ({}, "has neither 'prompt' nor 'messages' nor 'conversations'"),
    ({"id": 7}, "has neither 'prompt' nor 'messages' nor 'conversations'"),
    ({"prompt": None}, "has neither 'prompt' nor 'messages' nor 'conversations'"),
    ({"prompt": ""}, "has an empty 'prompt'"),
    ({"prompt": " \n"}, "has an empty 'prompt'"),
    ({"prompt": 5}, "has a 'prompt' that is not a text: 5"),
    ({"prompt": [1, 2]}, "has a 'prompt' that is not a text"),
    ({"messages": []}, "has an empty 'messages'"),
    ({"messages": "hi"}, "has 'messages' that are not a list of objects"),
    ({"messages": ["hi"]}, "has 'messages' that are not a list of objects"),
    ({"messages": [{"content": "hi"}]}, "has a message without a 'role'"),
    ({"messages": [USER, {"role": "user"}]}, "has a message with neither 'content' nor 'tool_calls'"),
    ({"messages": [{"role": "system", "content": "be brief"}]}, "has no message of a user with a content"),
    ({"messages": [{"role": "user", "content": ""}]}, "has no message of a user with a content"),
    ({"messages": [{"role": "assistant", "content": "hi"}]}, "has no message of a user with a content"),
    ({"conversations": []}, "has an empty 'conversations'"),
    ({"conversations": 3}, "has no human turn with a text in its 'conversations'"),
    ({"conversations": [None, {"from": "gpt", "value": "a"}]}, "has no human turn with a text"),
    ({"conversations": [{"from": "human", "value": None}]}, "has no human turn with a text"),
]


@pytest.mark.parametrize(("line", "why"), ODD, ids=[f"{row[0]!s:.30}" for row in ODD])
def test_an_odd_row_is_skipped_and_counted(tmp_path: Path, line: object, why: str) -> None:
    source = read_dataset(written(tmp_path, {"prompt": "good"}, line, {"prompt": "too"}, "", ""), "chat").source
    assert (source.prompts, source.skipped_rows) == (2, 1)
    assert source.first_skipped is not None
    assert source.first_skipped.startswith(f"own.jsonl line 2 {why}")
    assert source.notes[0] == f"1 row was skipped in own.jsonl, the first because {source.first_skipped}"


def test_a_file_of_odd_rows_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no prompt in any of its 2 rows: own.jsonl line 1 is not a JSON object"):
        read_dataset(written(tmp_path, "null", {"prompt": ""}), "chat")


def test_what_was_skipped_is_in_the_document_and_not_in_the_hash(tmp_path: Path) -> None:
    source = read_dataset(written(tmp_path, {"prompt": "good", "id": 1}, "null"), "chat").source
    spec = RunSpec("http://h", "m", ClosedLoop(1), None, 9, requests=2, workload=Workload(dataset=source))
    told = spec.to_json()["workload"]["dataset"]
    assert (told["skipped_rows"], told["left_out_keys"]) == (1, ["id"])
    assert RunSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    bare = replace(source, skipped_rows=0, first_skipped=None, left_out_keys=())
    assert bare.to_json().keys() == {"name", "hash", "prompts", "mean_bytes"}
    assert replace(spec, workload=Workload(dataset=bare)).hash == spec.hash


def test_fields_of_a_request_are_sent_as_they_are(tmp_path: Path) -> None:
    called = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "the time?"}]},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
    ]
    fields = {
        "tools": [{"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "seed": 3,
        "stop": ["END"],
        "response_format": {"type": "json_object"},
        "logit_bias": {"17": -100},
        "guided_json": {"type": "object"},
        "guided_something_new": "x",
        "chat_template_kwargs": {"enable_thinking": False},
        "reasoning_effort": "low",
    }
    asides = {"n": 1, "id": "a", "source": "made", "model": "another", "stream": False, "category": None, "idx": 1}
    (body,) = asked(written(tmp_path, {"messages": talk, "max_completion_tokens": "8", **fields, **asides}), "chat", 1)
    assert body["messages"] == talk
    assert {key: body[key] for key in fields} == fields
    assert (body["max_tokens"], body["model"], body["stream"]) == (8, "m", True)
    assert not {"id", "source", "category", "idx", "n", "max_completion_tokens"} & body.keys()


def test_the_first_human_turn_of_a_conversation_is_asked(tmp_path: Path) -> None:
    lines = (
        {"id": "1", "conversations": [{"from": "human", "value": "one"}, {"from": "gpt", "value": "\ud83d"}]},
        {"id": "2", "conversations": []},
        {"id": "3", "conversations": [{"from": "gpt", "value": "no"}, {"from": "human", "value": "three"}]},
        {"id": "4", "conversations": [{"from": "system", "value": "no"}, {"from": "user", "value": "four"}]},
        {"conversation": [{"role": "user", "content": "five"}, {"role": "assistant", "content": "no"}]},
    )
    dataset = read_dataset(written(tmp_path, *lines), "completions")
    assert [entry.prompt for entry in dataset.entries] == ["one", "three", "four", "five"]
    assert dataset.source.skipped_rows == 1


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    for content in ("", "[]", " \n", "[\n]\n"):
        (tmp_path / "own.jsonl").write_text(content)
        with pytest.raises(UsageError, match=r"has no line|no prompt in any"):
            read_dataset(tmp_path / "own.jsonl", "chat")
