"""What was said before goes into a body that was encoded beforehand, as JSON says the same thing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.load.body import Prompt, RequestForm, encode_body, history_after, with_history


def body(prompt: Prompt, model: str = "m") -> bytes:
    return encode_body(
        RequestForm("vllm", ("token_ids", "usage")), endpoint="chat", model=model, prompt=prompt, output_tokens=7
    )


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4), st.text(), st.text())
def test_a_turn_holds_all_that_was_said_in_order(said: list[tuple[str, str]], last: str, model: str) -> None:
    history, expected = b"", []
    for user, reply in said:
        history = history_after(with_history(body(user, model), history), reply)
        expected += [{"role": "user", "content": user}, {"role": "assistant", "content": reply}]
    turn = json.loads(with_history(body(last, model), history))
    assert turn == json.loads(body(last, model)) | {"messages": [*expected, {"role": "user", "content": last}]}


@pytest.mark.parametrize("hostile", ['"messages":[', '\\"messages":[', ']}"messages":[{', "messages"])
def test_a_name_or_a_prompt_that_looks_like_the_place_is_passed_over(hostile: str) -> None:
    turn = json.loads(with_history(body(hostile, hostile), history_after(body(hostile, hostile), hostile)))
    assert [one["content"] for one in turn["messages"]] == [hostile] * 3
    assert turn["model"] == hostile


def test_messages_of_several_parts_stay_as_they_are() -> None:
    parts: Prompt = [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
    turn = json.loads(with_history(body("b"), history_after(body(parts), "c")))
    assert turn["messages"] == [*parts, {"role": "assistant", "content": "c"}, {"role": "user", "content": "b"}]


def test_half_a_character_can_be_sent_back() -> None:
    turn = json.loads(with_history(body("b"), history_after(body("a"), "\ud83d")))
    assert turn["messages"][1]["content"] == "?"
