"""Conversations in a schedule: what each turn adds, when it is due, and who carries it. Pure."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.load.body import RequestForm
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop
from loadgen.load.shards import shard, shard_rows
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Sessions, SharedPrefix, Workload

SPEC = RunSpec("http://127.0.0.1:1/v1", "m", ClosedLoop(4), 20, 7, endpoint="chat", requests=40)
TALK = replace(SPEC, workload=Workload(sessions=Sessions(4, 2.0), prefix=SharedPrefix(10)))


def test_a_later_turn_adds_a_message_of_its_own() -> None:
    schedule = build(TALK, 40, prompt_seed="x", form=RequestForm("vllm"))
    texts = [json.loads(body)["messages"][0]["content"].split() for body in schedule.bodies]
    assert schedule.turns == 4
    assert {len(text) for text in texts} == {20}
    shared = [tuple(text[:10]) for text in texts]
    assert len(set(shared[::4])) == 1, "all conversations begin alike"
    assert len(set(shared)) == 31, "and no later turn does"
    assert schedule.prompt_tokens.tolist() == [20, -1, -1, -1] * 10


def test_times_to_think_are_exponential_and_the_seeds() -> None:
    think_ns = build(TALK, 8000, prompt_seed="x", form=RequestForm("vllm")).think_ns
    assert think_ns is not None
    assert set(think_ns[::4].tolist()) == {0}
    later_s = think_ns.reshape(-1, 4)[:, 1:].ravel() / 1e9
    assert later_s.mean() == pytest.approx(2.0, rel=0.05)
    assert later_s.std() == pytest.approx(2.0, rel=0.08)
    elsewhere, otherwise = (
        build(TALK, 8000, prompt_seed="y", form=RequestForm("openai")),
        build(replace(TALK, seed=1), 8000, prompt_seed="x", form=RequestForm("vllm")),
    )
    assert elsewhere.think_ns is not None
    assert otherwise.think_ns is not None
    assert elsewhere.think_ns.tolist() == think_ns.tolist() != otherwise.think_ns.tolist()
    assert otherwise.hash != build(TALK, 8000, prompt_seed="x", form=RequestForm("vllm")).hash


def test_nobody_thinks_by_default() -> None:
    assert (
        build(
            replace(TALK, workload=Workload(sessions=Sessions(4))), 8, prompt_seed="x", form=RequestForm("vllm")
        ).think_ns
        is None
    )
    assert (
        build(SPEC, 8, prompt_seed="x", form=RequestForm("vllm")).turns,
        build(SPEC, 8, prompt_seed="x", form=RequestForm("vllm")).think_ns,
    ) == (1, None)


@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 5), st.integers(1, 6))
def test_workers_share_no_conversation(callers: int, rounds: int, turns: int, workers: int) -> None:
    requests = callers * rounds * turns
    workers = min(workers, ClosedLoop(callers).max_workers(requests, turns))
    dealt = [list(shard_rows(ClosedLoop(callers), requests, worker, workers, turns)) for worker in range(workers)]
    assert sorted(row for rows in dealt for row in rows) == list(range(requests))
    for rows in dealt:
        assert rows
        for at in range(0, len(rows), turns):
            assert rows[at] % turns == 0
            assert rows[at : at + turns] == list(range(rows[at], rows[at] + turns))


def test_a_worker_has_the_times_of_its_own_turns() -> None:
    schedule = build(TALK, 40, prompt_seed="x", form=RequestForm("vllm"))
    assert schedule.think_ns is not None
    part = shard(schedule, shard_rows(TALK.shape, 40, 1, 2, 4))
    assert part.turns == 4
    assert part.think_ns is not None
    assert part.think_ns.tolist()[:4] == schedule.think_ns.tolist()[4:8]


def test_what_a_cache_may_find_of_a_conversation() -> None:
    # Prompts of 10, 10 + 5 + 10 and 10 + 5 + 10 + 5 + 10 tokens, of which 15 and 30 were there before.
    assert Sessions(3).cached_ratio(10, 5) == pytest.approx(45 / 75)
    assert Sessions(3).cached_ratio(10, 5, prefix_tokens=4) == pytest.approx(49 / 75)
