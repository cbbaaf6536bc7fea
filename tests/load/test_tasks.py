"""Tasks for small models: right replies, wrong ones, and a split that keeps test prompts out of training."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.load.tasks import TASKS, WRONG_REPLIES, Example, example, examples, split_of


def _right(prompt: str) -> str | None:
    """The reply to a prompt, worked out from its text alone."""
    name, _, asked = prompt.removesuffix("=").partition(" ")
    if name == "copy":
        return asked
    if name == "sort":
        return "".join(sorted(asked))
    if name == "add":
        a, b = asked.split("+")
        return str(int(a) + int(b))
    if name == "find":
        *pairs, key = asked.split()
        return next(pair[1:] for pair in pairs if pair[0] == key)
    return None


@given(task=st.sampled_from(sorted(TASKS)), split=st.sampled_from(["train", "test"]), index=st.integers(0, 10_000))
def test_an_example_has_one_right_reply_and_wrong_ones_of_its_kind(task: str, split: str, index: int) -> None:
    drawn = example(task, "train" if split == "train" else "test", seed=1, index=index)
    assert _right(drawn.prompt) in (drawn.reply, None)
    assert len(set(drawn.wrong)) == WRONG_REPLIES
    assert drawn.reply not in drawn.wrong
    assert all(re.fullmatch(r"[a-z0-9]{1,10}", reply) for reply in (drawn.reply, *drawn.wrong))
    assert re.fullmatch(r"[a-z]+ [a-z0-9+ ]+=", drawn.prompt)
    assert split_of(drawn.prompt) == split


@pytest.mark.parametrize(
    ("subject", "reply", "other_number"),
    [
        ("the dog", "barks", "bark"),
        ("the dogs", "bark", "barks"),
        ("the mice", "squeak", "squeaks"),
        ("the snake", "hisses", "hiss"),
    ],
)
def test_the_verb_agrees_with_the_first_noun(subject: str, reply: str, other_number: str) -> None:
    drawn = [each for each in examples("agree", "train", seed=3, count=2000) if f"agree {subject} " in each.prompt]
    assert len(drawn) > 10
    assert {each.reply for each in drawn} == {reply}
    assert all(each.wrong[0] == other_number for each in drawn)


def test_training_and_test_prompts_are_disjoint() -> None:
    for task in TASKS:
        trained = {each.prompt for seed in (0, 1) for each in examples(task, "train", seed=seed, count=3000)}
        tested = {each.prompt for each in examples(task, "test", seed=0, count=500)}
        assert not trained & tested


def test_the_same_seed_and_index_give_the_same_example() -> None:
    assert example("find", "test", seed=5, index=7) == example("find", "test", seed=5, index=7)
    assert example("find", "test", seed=5, index=7) != example("find", "test", seed=6, index=7)
    assert example("copy", "test", seed=0, index=0) == Example(
        "copy", "copy augjctngm=", "augjctngm", ("uagjctngm", "agujctngm", "aujgctngm")
    )


def test_more_prompts_than_a_task_has_are_refused() -> None:
    with pytest.raises(ValueError, match="the task add has fewer different prompts than asked: 5000; ask for fewer"):
        list(examples("add", "test", seed=0, count=5000))


def test_an_unknown_task_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="swim"):
        example("swim", "test", seed=0, index=0)
