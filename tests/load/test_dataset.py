"""Prompts of the user's own: what a line may be, in which order they go out, and the sentence for each mistake."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.load.content import Workload
from loadgen.load.dataset import read_dataset
from loadgen.load.schedule import build
from loadgen.load.spec import ClosedLoop, Endpoint, RunSpec


def written(folder: Path, *lines: object) -> Path:
    path = folder / "own.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def asked(path: Path, endpoint: Endpoint, requests: int, seed: int = 0) -> list[dict[str, Any]]:
    dataset = read_dataset(path, endpoint)
    workload = Workload(dataset=dataset.source)
    spec = RunSpec("http://h", "m", ClosedLoop(1), None, 9, endpoint, requests=requests, seed=seed, workload=workload)
    schedule = build(spec, requests, "x", "vllm", dataset=dataset)
    assert set(schedule.prompt_tokens.tolist()) == {-1}
    bodies = [json.loads(body) for body in schedule.bodies]
    assert [body["max_tokens"] for body in bodies] == schedule.output_tokens.tolist()
    return bodies


def test_prompts_go_out_as_they_are(tmp_path: Path) -> None:
    talk = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "two"}]
    shared = [{"from": "system", "value": "no"}, {"from": "human", "value": "three"}, {"from": "gpt", "value": "no"}]
    lines = ({"prompt": "öne", "output_tokens": 3}, {"messages": talk, "max_tokens": 4}, "", {"conversations": shared})
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
    ("{", "own.jsonl line 2 is not JSON"),
    (b"\xff".decode("latin-1"), "own.jsonl line 2 is not JSON"),
    ([1], "own.jsonl line 2 is not a JSON object"),
    ({"text": "a"}, "own.jsonl line 2 has neither 'prompt' nor 'messages' nor 'conversations'"),
    ({"prompt": ""}, "own.jsonl line 2: 'prompt' must be a text that is not empty"),
    ({"prompt": [1]}, "own.jsonl line 2: 'prompt' must be a text"),
    ({"messages": []}, "own.jsonl line 2: 'messages' must be a list of objects"),
    ({"messages": [{"role": "user"}]}, "own.jsonl line 2: each of 'messages' must have a 'role' and a 'content'"),
    ({"messages": [{"role": "user", "content": "a"}]}, "own.jsonl line 2 has 'messages', which only a chat takes"),
    ({"conversations": [{"from": "gpt", "value": "a"}]}, "own.jsonl line 2: 'conversations' has no turn of a human"),
    ({"prompt": "a", "max_tokens": 0}, "own.jsonl line 2: 'max_tokens' must be a whole number of at least 1, not 0"),
    ({"prompt": "a", "output_tokens": True}, "own.jsonl line 2: 'output_tokens' must be a whole number"),
]


@pytest.mark.parametrize(("line", "sentence"), MISTAKES, ids=[sentence for _, sentence in MISTAKES])
def test_a_mistake_is_named_with_its_line(tmp_path: Path, line: object, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_dataset(written(tmp_path, {"prompt": "good"}, line), "completions")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the dataset"):
        read_dataset(tmp_path / "none.jsonl", "chat")
    with pytest.raises(UsageError, match=r"jq -c '\.\[\]' own.jsonl"):
        read_dataset(written(tmp_path, [{"prompt": "a"}]), "chat")
    with pytest.raises(UsageError, match="has no line"):
        read_dataset(written(tmp_path, ""), "chat")
