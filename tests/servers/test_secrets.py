"""Header values are hidden in whatever text repeats them."""

import pytest

from loadgen.servers.endpoint import TokenCounter, error_text, probe
from loadgen.servers.secrets import redact
from tests.servers.test_endpoint import VLLM, served

HEADERS = (("Authorization", "Bearer k3y-s3cret"), ("X-Team", "h3ader-s3cret"), ("X-Tier", "a"))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("no quota for Bearer k3y-s3cret", "no quota for [redacted]"),
        ("no quota for key k3y-s3cret.", "no quota for key [redacted]."),
        ("{'x-team': 'h3ader-s3cret'}", "{'x-team': '[redacted]'}"),
        ("a short value is a word", "a short value is a word"),
    ],
)
def test_values_and_bare_keys_are_hidden(text: str, hidden: str) -> None:
    assert redact(text, HEADERS) == hidden


def test_a_value_is_hidden_in_its_json_form_too() -> None:
    assert redact(r"{\"v\": \"pa\"}", (("X-Key", 'quo"ted'),)) == r"{\"v\": \"pa\"}"
    assert redact(r'{"v": "quo\"ted"}', (("X-Key", 'quo"ted'),)) == '{"v": "[redacted]"}'


def test_a_secret_that_the_cut_would_halve_leaves_nothing() -> None:
    assert "k3y" not in error_text(b"x" * 290 + b"k3y-s3cret", HEADERS)


@pytest.mark.loopback
def test_what_a_server_says_of_itself_is_cleaned_before_it_is_kept() -> None:
    echo = "for k3y-s3cret and h3ader-s3cret"
    answers = VLLM | {
        "/v1/models": (200, {"data": [{"id": "m", "owned_by": echo}]}),
        "/version": (200, {"version": echo}),
    }
    with served(answers) as url:
        facts = probe(url, "m", HEADERS)
        answers["/tokenize"] = (429, {"error": {"message": echo}})
        with TokenCounter(facts, "m", "chat", HEADERS) as count, pytest.raises(Exception, match="redacted") as caught:
            count("hi")
    assert "s3cret" not in f"{facts}{caught.value}"
