"""Experts in replies: the form that vLLM sends, layers without experts, and replies of something else."""

import base64
import io
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from loadgen.errors import ServerError, UsageError
from loadgen.servers.routed_experts import counts_of_replies, experts_of_replies, parse_routed_experts
from tests.servers.http_server import QuietHandler, listening

# 3 tokens × 3 layers × top-2 of 4 experts, as vLLM 0.32 writes it; the first layer is dense, and stays zero.
CHOSEN = [[[0, 0], [3, 1], [0, 1]], [[0, 0], [3, 2], [0, 1]], [[0, 0], [1, 3], [1, 0]]]
RECORDED = (
    "k05VTVBZAQB2AHsnZGVzY3InOiAnfHUxJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDMsIDMsIDIpLCB9ICAg"
    "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAMBAAEAAAMCAAEAAAEDAQA="
)


def encoded(array: npt.NDArray[Any]) -> str:
    with io.BytesIO() as buffer:
        np.save(buffer, array, allow_pickle=False)
        return base64.b64encode(buffer.getvalue()).decode()


def test_a_recorded_reply_is_read() -> None:
    assert parse_routed_experts(RECORDED).tolist() == CHOSEN


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_each_width_of_numbers_is_read(kind: Any) -> None:
    read = parse_routed_experts(encoded(np.array(CHOSEN, dtype=kind)))
    assert read.tolist() == CHOSEN
    assert read.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no .npy file"),
        ("not base64!", "no .npy file"),
        (RECORDED[:60], "no .npy file"),
        (encoded(np.zeros((2, 2), np.uint8)), "three|×"),
        (encoded(np.zeros((2, 2, 2), np.float32)), "whole numbers"),
        (encoded(np.full((1, 1, 1), -1, np.int32)), "negative"),
    ],
)
def test_anything_else_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_routed_experts(text)


def test_an_array_of_objects_is_not_unpickled() -> None:
    with io.BytesIO() as buffer:
        np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        text = base64.b64encode(buffer.getvalue()).decode()
    with pytest.raises(ValueError, match=r"no \.npy file"):
        parse_routed_experts(text)


@pytest.mark.parametrize("layers", [None, (1, 2)])
def test_layers_without_experts_are_left_out(layers: tuple[int, ...] | None) -> None:
    chosen = np.array(CHOSEN, dtype=np.int64)
    counts = counts_of_replies("m", [chosen, chosen[:1]], experts=4, layers=layers)
    assert counts.layers == (1, 2)
    assert counts.counts.tolist() == [[0, 3, 1, 4], [4, 4, 0, 0]]
    assert (counts.tokens, counts.experts_per_token, counts.source) == (4, 2, "routed_experts")


@pytest.mark.parametrize(
    ("replies", "experts", "layers", "complaint"),
    [
        ([CHOSEN, [[[1, 2]]]], 4, None, "different numbers"),
        ([np.zeros((0, 3, 2))], 4, None, "no tokens"),
        ([CHOSEN], 3, None, "an expert 3"),
        ([CHOSEN], 4, (1, 5), "of its 3 layers"),
        ([[[[0, 0]]]], 4, None, "none of those with experts"),
    ],
)
def test_replies_that_do_not_fit_are_refused(replies: Any, experts: int, layers: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        counts_of_replies("m", [np.array(each, dtype=np.int64) for each in replies], experts=experts, layers=layers)


class Completions(QuietHandler):
    """Answers every completion alike, and notes what was asked."""

    status: ClassVar[int] = 200
    reply: ClassVar[dict[str, Any]] = {}
    bodies: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.bodies.append(self.read_json())
        self.respond(self.status, self.reply)


@pytest.fixture
def url() -> Iterator[str]:
    Completions.bodies.clear()
    Completions.status = 200
    with listening(Completions) as base_url:
        yield f"{base_url}/v1/completions"


@pytest.mark.loopback
def test_every_prompt_is_asked_once_and_not_streamed(url: str) -> None:
    Completions.reply = {"choices": [{"text": "x", "routed_experts": RECORDED}]}
    replies = experts_of_replies(url, "m", ["a", "b", "c"], output_tokens=2)
    assert [reply.tolist() for reply in replies] == [CHOSEN] * 3
    assert sorted(body["prompt"] for body in Completions.bodies) == ["a", "b", "c"]
    assert {(body["stream"], body["max_tokens"], body["model"]) for body in Completions.bodies} == {(False, 2, "m")}


@pytest.mark.loopback
@pytest.mark.parametrize("reply", [{"choices": [{"text": "x", "routed_experts": None}]}, {"choices": []}, {}])
def test_a_server_without_the_feature_is_told_how_to_turn_it_on(url: str, reply: Any) -> None:
    Completions.reply = reply
    with pytest.raises(UsageError, match="--enable-return-routed-experts"):
        experts_of_replies(url, "m", ["a"], output_tokens=2)


@pytest.mark.loopback
def test_a_refusal_has_the_servers_words(url: str) -> None:
    Completions.status, Completions.reply = 400, {"error": {"message": "too long"}}
    with pytest.raises(ServerError, match="HTTP 400 too long"):
        experts_of_replies(url, "m", ["a"], output_tokens=2)
