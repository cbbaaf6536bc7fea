"""What prompts are made of: shared beginnings, images, spread lengths. Pure."""

import base64
import json
import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from loadgen.load.body import Dialect, RequestForm
from loadgen.load.prompts import data_url, png, url_bytes
from loadgen.load.sampling import length_bounds, lengths
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import Endpoint, RunSpec
from loadgen.load.workload import Images, SharedPrefix, Workload

SPEC = RunSpec("http://h", "m", ClosedLoop(4), input_tokens=48, output_tokens=8, requests=20)
SHARED = replace(SPEC, workload=Workload(prefix=SharedPrefix(tokens=32, groups=4)))
PICTURED = replace(SPEC, endpoint="chat", workload=Workload(images=Images(16, 8, per_request=2)))


def bodies(spec: RunSpec, prompt_seed: str = "x", dialect: Dialect = "vllm") -> list[dict[str, Any]]:
    return [json.loads(body) for body in build(spec, 20, prompt_seed=prompt_seed, form=RequestForm(dialect)).bodies]


def test_shared_prefixes_of_token_ids_are_exact_and_the_rest_is_unique() -> None:
    prompts = [body["prompt"] for body in bodies(SHARED)]
    assert {len(prompt) for prompt in prompts} == {48}
    beginnings = [tuple(prompt[:32]) for prompt in prompts]
    assert sorted(beginnings.count(one) for one in set(beginnings)) == [5, 5, 5, 5]
    assert len({tuple(prompt[32:]) for prompt in prompts}) == 20


def test_no_two_runs_share_a_prefix() -> None:
    here, there = ({tuple(body["prompt"][:16]) for body in bodies(SHARED, seed)} for seed in ("here", "there"))
    assert len(here | there) == 8


def test_who_shares_with_whom_follows_the_numeric_seed() -> None:
    def groups(spec: RunSpec, prompt_seed: str) -> list[int]:
        beginnings = [tuple(body["prompt"][:32]) for body in bodies(spec, prompt_seed)]
        return [beginnings.index(one) for one in beginnings]

    assert groups(SHARED, "here") == groups(SHARED, "there")
    assert groups(SHARED, "here") != groups(replace(SHARED, seed=1), "here")


@pytest.mark.parametrize("endpoint", ["completions", "chat"])
def test_shared_prefixes_of_text_are_fitted_to_the_whole_length(endpoint: Endpoint) -> None:
    def count_tokens(text: str) -> int:  # a template of 9, words in pieces of three letters
        return 9 + sum(-(-len(word) // 3) for word in text.split())

    schedule = build(
        replace(SHARED, endpoint=endpoint), 20, prompt_seed="x", form=RequestForm("openai"), counts=count_tokens
    )
    documents = [json.loads(body) for body in schedule.bodies]
    texts = [one["messages"][0]["content"] if endpoint == "chat" else one["prompt"] for one in documents]
    assert {count_tokens(text) for text in texts} == {48}
    # The words of a prefix that is worth 32 tokens with the template: at least seven, of at most three pieces each.
    assert len({tuple(text.split()[:7]) for text in texts}) == 4
    assert len(set(texts)) == 20


def test_lengths_are_spread_evenly_within_their_bounds_and_follow_the_seed() -> None:
    assert length_bounds(100, 0.25) == (75, 125)
    assert length_bounds(1, 0.5) == (1, 2)
    drawn = lengths(100, 0.25, requests=20_000, seed=3, source="input_tokens")
    assert (drawn.min(), drawn.max()) == (75, 125)
    assert np.bincount(drawn)[75:].min() > 300  # 392 expected of each
    assert drawn.tolist() == lengths(100, 0.25, requests=20_000, seed=3, source="input_tokens").tolist()
    assert drawn.tolist() != lengths(100, 0.25, requests=20_000, seed=4, source="input_tokens").tolist()
    assert drawn.tolist() != lengths(100, 0.25, requests=20_000, seed=3, source="output_tokens").tolist()
    assert set(lengths(100, 0.0, requests=5, seed=3, source="input_tokens").tolist()) == {100}


def test_each_request_asks_for_its_own_length() -> None:
    schedule = build(replace(SPEC, workload=Workload(range_ratio=0.5)), 20, prompt_seed="x", form=RequestForm("vllm"))
    documents = [json.loads(body) for body in schedule.bodies]
    assert [len(one["prompt"]) for one in documents] == schedule.prompt_tokens.tolist()
    assert [one["max_tokens"] for one in documents] == schedule.output_tokens.tolist()
    assert len(set(schedule.prompt_tokens.tolist())) > 5


def test_a_png_is_what_its_specification_says() -> None:
    file = png(5, 3, np.random.default_rng(0))
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(file):
        size, kind = struct.unpack(">I4s", file[at : at + 8])
        content = file[at + 8 : at + 8 + size]
        assert struct.unpack(">I", file[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (5, 3, 8, 2, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(3, 16)
    assert set(rows[:, 0].tolist()) == {0}
    assert len(set(rows[:, 1:].ravel().tolist())) > 30


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (512, 384)])
def test_the_size_of_an_image_is_known_before_it_is_made(size: tuple[int, int]) -> None:
    assert url_bytes(*size) == pytest.approx(len(data_url(*size, np.random.default_rng(0))), rel=0.001, abs=4)


def test_images_are_parts_of_the_message_and_each_is_new() -> None:
    seen = set()
    for body in bodies(PICTURED):
        (message,) = body["messages"]
        *pictures, text = message["content"]
        assert [part["type"] for part in pictures] == ["image_url"] * 2
        assert len(text["text"].split()) == 48
        for part in pictures:
            kind, _, data = part["image_url"]["url"].partition(";base64,")
            assert kind == "data:image/png"
            seen.add(base64.b64decode(data))
    assert len(seen) == 40
    assert bodies(PICTURED) == bodies(PICTURED)


def test_only_the_server_can_tell_what_an_image_is_worth() -> None:
    assert set(build(PICTURED, 3, prompt_seed="x", form=RequestForm("vllm")).prompt_tokens.tolist()) == {-1}


@pytest.mark.parametrize("spec", [SHARED, PICTURED, replace(SPEC, workload=Workload(range_ratio=0.5))])
def test_a_workload_survives_json_and_counts_in_the_hash(spec: RunSpec) -> None:
    assert RunSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.hash != replace(spec, workload=Workload()).hash
    assert spec.workload.label


def test_a_plain_run_says_nothing_of_a_workload() -> None:
    assert "workload" not in SPEC.to_json()
    assert SPEC.workload.label == ""
