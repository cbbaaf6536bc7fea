"""Conversations from flags to runs, and the sentence for each mistake."""

import pytest

from loadgen.errors import UsageError
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Sessions
from loadgen.spec.runs import resolve
from loadgen.spec.size import longest
from tests.spec.test_sweep_spec import OPEN, spec

CHAT: dict[str, object] = {"endpoint": "chat", "turns": "4"}


def test_conversations_are_part_of_what_a_run_is() -> None:
    (plain, _), (talk, _) = resolve(spec(endpoint="chat")), resolve(spec(**CHAT, think_time_s="1.5"))
    assert talk.workload.sessions == Sessions(4, 1.5)
    assert talk.hash != plain.hash
    assert RunSpec.from_json(talk.to_json()) == talk
    assert talk.workload.label == "conversations of 4 turns, 1.5 s to think"
    assert "sessions" not in plain.to_json().get("workload", {}), "so that hashes of before stay what they were"


def test_a_single_turn_is_no_conversation() -> None:
    assert resolve(spec(turns="1")) == resolve(spec())


@pytest.mark.parametrize(("concurrency", "turns", "requests"), [("1", "4", 32), ("1", "5", 35), ("16", "5", 320)])
def test_whole_conversations_by_default(concurrency: str, turns: str, requests: int) -> None:
    (run,) = resolve(spec(endpoint="chat", turns=turns, concurrency=concurrency))
    assert run.requests == requests


def test_the_longest_prompt_holds_the_whole_conversation() -> None:
    (run, _) = resolve(spec(**CHAT))
    assert longest(run) == (4 * 8 + 3 * 16, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"turns": "4"}, "--turns needs --endpoint chat"),
        ({"turns": "0"}, "--turns must be"),
        (CHAT | {"think_time_s": "-1"}, "--think-time-s must be"),
        (CHAT | {"think_time_s": "nan"}, "--think-time-s must be"),
        ({"think_time_s": "1"}, "--think-time-s needs --turns of 2 or more"),
        ({"turns": "1", "think_time_s": "1"}, "--think-time-s needs --turns of 2 or more"),
        (CHAT | OPEN, "--turns does not go with --rate"),
        (CHAT | OPEN | {"max_in_flight": "4"}, "--turns does not go with --rate"),
        (CHAT | {"max_in_flight": "4"}, "--max-in-flight needs --rate or --trace"),
        (CHAT | {"concurrency": None, "wave": "4"}, "--turns does not go with --wave"),
        (CHAT | {"concurrency": None, "trace": "t.jsonl", "input_tokens": None, "output_tokens": None}, "--turns does not go with --trace"),
        (CHAT | {"dataset": "d.jsonl", "input_tokens": None}, "--turns does not go with --dataset"),
        (CHAT | {"choices": "2"}, "--turns does not go with --choices"),
        (CHAT | {"tokens_per_minute": "900"}, "--tokens-per-minute does not go with --turns"),
        (CHAT | {"requests": "30"}, "does not come out even in conversations of 4 turns; ask for 28 or 32"),
        (CHAT | {"requests": "12"}, "fewer than one conversation of 4 turns for each of 4 callers; ask for 16 or more"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(spec(**changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
