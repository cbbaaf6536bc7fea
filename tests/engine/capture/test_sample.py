"""A few replies of a run are kept with their text, whatever order they come in."""

import random

import pytest

from loadgen.engine.capture.reply import Reply
from loadgen.engine.capture.sample import MAX_CHARACTERS, ReplySample, drawn, first_choice
from loadgen.engine.records.record import Outcome


def sampled(size: int, indexes: list[int], text: str = "word") -> ReplySample:
    sample = ReplySample(size)
    for index in indexes:
        if sample.wants(index):
            sample.add(index, Reply(finish_reason="stop"), text)
    return sample


@pytest.mark.parametrize(("size", "requests", "kept"), [(0, 9, 0), (3, 0, 0), (3, 2, 2), (3, 1000, 3)])
def test_the_sample_is_the_same_in_any_order(size: int, requests: int, kept: int) -> None:
    indexes = list(range(requests))
    first = sampled(size, indexes).kept
    random.Random(1).shuffle(indexes)
    assert sampled(size, indexes).kept == first
    assert len(first) == kept
    assert [reply.index for reply in first] == sorted(reply.index for reply in first)


def test_the_samples_of_workers_together_are_that_of_the_run() -> None:
    parts = [*sampled(3, list(range(0, 100, 2))).kept, *sampled(3, list(range(1, 100, 2))).kept]
    assert drawn(parts, 3) == sampled(3, list(range(100))).kept


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    (reply,) = sampled(1, [0], "x" * (MAX_CHARACTERS + 5)).kept
    assert (len(reply.text), reply.characters, reply.outcome) == (MAX_CHARACTERS, MAX_CHARACTERS + 5, Outcome.OK.label)


def test_the_text_is_that_of_the_first_choice() -> None:
    reply = Reply(arrival_choices=[0, 1, 0], arrival_texts=["a", "b", "c"])
    assert first_choice(reply) == "ac"
    assert first_choice(Reply(arrival_choices=[0])) == ""
