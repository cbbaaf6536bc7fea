"""The prompt tokens in the replies to our questions, in the spellings that servers use."""

import json
from typing import Any

import pytest

from loadgen.servers.reported_tokens import prompt_tokens_in


def stream(*documents: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents)


@pytest.mark.parametrize(
    ("documents", "tokens"),
    [
        ([{"choices": [], "usage": {"prompt_tokens": 9}}], 9),
        ([{"choices": [], "usage": {"prompt_tokens": 9.0}}], 9),
        ([{"choices": [], "usage": {"prompt_tokens": "9"}}], 9),
        ([{"usage": {"input_tokens": 9}}], 9),
        ([{"choices": [{"index": 0, "usage": {"prompt_tokens": 9}}]}], 9),
        ([{"choices": [], "usage": {"prompt_tokens": 9}}, {"choices": [], "usage": {"prompt_tokens": 0}}], 9),
        ([{"choices": [], "usage": {"prompt_tokens": 0}}], None),
        ([{"choices": [], "usage": {"prompt_tokens": True}}], None),
        ([{"choices": [], "usage": {"prompt_tokens": 8.5}}], None),
        ([{"choices": "none", "usage": None}, "ping", 7], None),
        ([], None),
    ],
)
def test_the_last_usable_count_is_taken(documents: list[Any], tokens: int | None) -> None:
    assert prompt_tokens_in(stream(*documents)) == tokens
