"""The schedule is data: exact lengths, no shared prefixes, arrivals that only the seed moves."""

import json
from dataclasses import replace

import pytest

from loadgen.load.body import ChunkCounts, RequestForm
from loadgen.load.prompts import FIRST_SAFE_TOKEN_ID, LAST_SAFE_TOKEN_ID, generator, ordinary_ids, text_prompt
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Workload

SPEC = RunSpec("http://127.0.0.1:1/v1", "m", ClosedLoop(4), input_tokens=48, output_tokens=7, requests=20)


ASKED: tuple[ChunkCounts, ...] = ("token_ids", "usage")


def test_planned_requests_follows_the_shape() -> None:
    assert SPEC.planned_requests() == 20
    assert replace(SPEC, shape=Wave(9), requests=None).planned_requests() == 9
    assert replace(SPEC, shape=OpenLoop(10.0, "constant"), requests=None, duration_s=3.0).planned_requests() == 30
    assert replace(SPEC, requests=None, duration_s=3.0).planned_requests() is None


def test_token_prompts_are_exact_safe_and_share_no_prefix() -> None:
    bodies = [
        json.loads(body)
        for seed in ("a", "b")
        for body in build(SPEC, 20, prompt_seed=seed, form=RequestForm("vllm", ASKED)).bodies
    ]
    prompts = [body["prompt"] for body in bodies]
    assert {len(prompt) for prompt in prompts} == {48}
    assert min(map(min, prompts)) >= FIRST_SAFE_TOKEN_ID
    assert max(map(max, prompts)) <= LAST_SAFE_TOKEN_ID
    assert len({tuple(prompt[:16]) for prompt in prompts}) == 40  # 16: the smallest block a server caches
    assert {body["max_tokens"] for body in bodies} == {7}
    assert all(body["ignore_eos"] and body["stream"] and body["return_token_ids"] for body in bodies)


def test_prompts_of_a_vocabulary_of_characters_have_only_ids_that_it_has() -> None:
    ids = ordinary_ids([*range(40, 8, -1), 9])
    assert ids == tuple(range(9, 41))
    bodies = build(SPEC, 20, prompt_seed="a", form=RequestForm("vllm", prompt_ids=ids)).bodies
    prompts = [json.loads(body)["prompt"] for body in bodies]
    assert {len(prompt) for prompt in prompts} == {48}
    assert {token for prompt in prompts for token in prompt} == set(ids)


@pytest.mark.parametrize("seen", [[], [5], [*range(20), 300]])
def test_other_vocabularies_have_the_safe_range(seen: list[int]) -> None:
    assert ordinary_ids(seen) == ()


def test_several_choices_are_sampled_and_their_tokens_add_up() -> None:
    schedule = build(replace(SPEC, workload=Workload(choices=3)), 2, prompt_seed="a", form=RequestForm("vllm"))
    body = json.loads(schedule.bodies[0])
    assert (body["n"], body["max_tokens"], body["temperature"]) == (3, 7, 1)
    assert (schedule.choices, schedule.output_tokens.tolist()) == (3, [21, 21])
    single = json.loads(build(SPEC, 2, prompt_seed="a", form=RequestForm("vllm")).bodies[0])
    assert "n" not in single
    assert single["temperature"] == 0


def test_prompts_follow_their_own_seed_and_arrivals_the_numeric_one() -> None:
    spec = replace(SPEC, shape=OpenLoop(5.0))
    here, there = (
        build(spec, 10, prompt_seed="here", form=RequestForm("vllm")),
        build(spec, 10, prompt_seed="there", form=RequestForm("vllm")),
    )
    assert here.hash == build(spec, 10, prompt_seed="here", form=RequestForm("vllm")).hash
    assert here.bodies != there.bodies
    assert here.offsets_ns is not None
    assert there.offsets_ns is not None
    assert here.offsets_ns.tolist() == there.offsets_ns.tolist()


def test_the_openai_dialect_gets_text_and_no_private_fields() -> None:
    body = json.loads(build(SPEC, 1, prompt_seed="x", form=RequestForm("openai")).bodies[0])
    assert len(body["prompt"].split()) == 48
    assert "ignore_eos" not in body
    assert "return_token_ids" not in body


def test_a_server_is_asked_for_the_counts_that_it_can_tell() -> None:
    plain, ids, running = (
        json.loads(build(SPEC, 1, prompt_seed="x", form=RequestForm("vllm", counts)).bodies[0])
        for counts in (ASKED[:0], ASKED[:1], ASKED[1:])
    )
    assert "return_token_ids" not in plain
    assert plain["stream_options"] == {"include_usage": True}
    assert ids == plain | {"return_token_ids": True}
    assert running == plain | {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}


def test_chat_carries_one_user_message() -> None:
    body = json.loads(build(replace(SPEC, endpoint="chat"), 1, prompt_seed="x", form=RequestForm("vllm")).bodies[0])
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert "prompt" not in body


@pytest.mark.parametrize("length", [12, 33, 128, 1000])
def test_text_is_fitted_to_a_tokenizer_that_splits_words(length: int) -> None:
    def count_tokens(text: str) -> int:  # a template of 9, letters whole, words in pieces of three letters
        return 9 + sum(-(-len(word) // 3) for word in text.split())

    for seed in range(20):
        text = text_prompt(length, generator(str(seed)), count_tokens)
        assert count_tokens(text) == length


def test_a_length_below_the_template_gives_the_shortest_text() -> None:
    assert len(text_prompt(3, generator("x"), lambda text: 9 + len(text.split())).split()) == 1


def test_specs_survive_json_and_hash_by_content() -> None:
    for shape in (ClosedLoop(4), OpenLoop(2.5, "constant"), Wave(64)):
        spec = replace(SPEC, shape=shape, slo=(("ttft_s", 0.5),), header_names=("X-Team",))
        again = RunSpec.from_json(json.loads(json.dumps(spec.to_json())))
        assert again == spec
        assert again.hash == spec.hash
    assert SPEC.hash != replace(SPEC, seed=1).hash
    assert SPEC.point == replace(SPEC, seed=1).point
