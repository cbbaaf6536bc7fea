"""What an endpoint refuses is changed or left out once, however it says so; what no body escapes is its last word."""

import json
from typing import Any

import pytest

from loadgen.load.body import Dialect, FieldChange
from loadgen.load.spec import Endpoint
from loadgen.servers.asking import RetryPolicy
from loadgen.servers.counting import MAX_QUESTIONS, Enquiry, enquire
from loadgen.servers.refusals import read_refusal
from tests.servers.endpoints import facts_of
from tests.servers.odd_endpoint import OddEndpoint, Refuse, flat, odd_endpoint

LENGTH, OTHER_LENGTH = "max_tokens", "max_completion_tokens"
RENAMED = (LENGTH, OTHER_LENGTH)


def asked_of(endpoint: OddEndpoint, kind: Endpoint = "chat", dialect: Dialect = "openai") -> Enquiry:
    with odd_endpoint(endpoint) as url:
        return enquire(facts_of(url, dialect=dialect), "m", kind, (), retries=RetryPolicy(pause=lambda wait_s: None))


def named(fields: dict[str, Any]) -> Refuse:
    """Refuses any body that has one of `fields`, with the status and document given for it; in their order."""

    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        return next((refusal for field, refusal in fields.items() if field in flat(body)), None)

    return refuse


def openai(param: str | None, message: str, status: int = 400) -> tuple[int, Any]:
    return status, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}


def pydantic(*steps: str, message: str = "Extra inputs are not permitted") -> tuple[int, Any]:
    detail = {"type": "extra_forbidden", "loc": ["body", *steps], "msg": message, "input": {"max_tokens": 2}}
    return 422, {"detail": [detail]}


SERDE = (
    b"Failed to deserialize the JSON body into the target type: ignore_eos: unknown field `ignore_eos`, expected one of "
    b"`messages`, `model`, `max_tokens`, `stream`, `stream_options`, `temperature` at line 1 column 120"
)

CASES: list[tuple[Dialect, dict[str, Any], set[tuple[str, str | None]]]] = [
    ("openai", {LENGTH: openai(LENGTH, "Unsupported parameter: 'max_tokens'.")}, {RENAMED}),
    ("openai", {LENGTH: openai(None, "Use 'max_completion_tokens' instead of 'max_tokens'.")}, {RENAMED}),
    ("openai", {LENGTH: (422, {"message": "maxTokens is not a known field"})}, {RENAMED}),
    ("openai", {LENGTH: openai(LENGTH, "no"), OTHER_LENGTH: openai(OTHER_LENGTH, "no")}, {(LENGTH, None)}),
    ("openai", {LENGTH: openai(LENGTH, "use max_output_tokens")}, {(LENGTH, "max_output_tokens")}),
    (
        "openai",
        {LENGTH: (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_tokens"], "msg": "no"}]})},
        {RENAMED},
    ),
    ("openai", {"temperature": openai("temperature", "Only the default (1) value is supported.")}, {("temperature", None)}),
    ("openai", {"temperature": (422, {"error": "Input validation error: `temperature` must be strictly positive"})}, {("temperature", None)}),
    ("openai", {"temperature": (400, {"object": "error", "message": "temperature: 0 is out of range", "code": 400})}, {("temperature", None)}),
    ("openai", {"stream_options": openai(None, "Unrecognized request argument supplied: stream_options")}, {("stream_options", None)}),
    ("openai", {"stream_options": pydantic("stream_options")}, {("stream_options", None)}),
    ("openai", {"stream_options": (400, b"bad request: unknown key \"stream_options\"")}, {("stream_options", None)}),
    ("openai", {"stream_options.continuous_usage_stats": pydantic("stream_options", "continuous_usage_stats")}, {("stream_options.continuous_usage_stats", None)}),
    ("openai", {"stream_options.continuous_usage_stats": openai("stream_options", "bad stream_options")}, {("stream_options.continuous_usage_stats", None)}),
    ("openai", {"stream_options.include_usage": openai(None, "include_usage is not allowed")}, {("stream_options.include_usage", None)}),
    ("openai", {"return_token_ids": openai("return_token_ids", "Unknown parameter: 'return_token_ids'.")}, {("return_token_ids", None)}),
    ("openai", {"return_token_ids": pydantic("ChatCompletionRequest", "return_token_ids")}, {("return_token_ids", None)}),
    ("openai", {"return_token_ids": (500, {"error": "got an unexpected keyword argument 'return_token_ids'"})}, {("return_token_ids", None)}),
    ("openai", {"return_token_ids": (400, {"errors": [{"instancePath": "/return_token_ids", "message": "must NOT have additional properties"}]})}, {("return_token_ids", None)}),
    ("vllm", {"ignore_eos": pydantic("ignore_eos")}, {("ignore_eos", None)}),
    ("vllm", {"ignore_eos": (422, SERDE)}, {("ignore_eos", None)}),
    ("vllm", {"ignore_eos": openai(None, "Unrecognized request arguments supplied: ignore_eos, return_token_ids"), "return_token_ids": openai(None, "x return_token_ids")}, {("ignore_eos", None), ("return_token_ids", None)}),
    ("openai", {LENGTH: openai(LENGTH, "no"), "temperature": openai("temperature", "no"), "stream_options": openai("stream_options", "no"), "return_token_ids": openai("return_token_ids", "no")}, {RENAMED, ("temperature", None), ("stream_options", None), ("return_token_ids", None)}),
    ("openai", {"temperature": (400, {"detail": "temperature and max_tokens are refused together"}), LENGTH: openai(LENGTH, "no")}, {RENAMED, ("temperature", None)}),
    ("openai", {"return_token_ids": (400, b"")}, {("return_token_ids", None)}),
    ("openai", {"temperature": (400, {"error": {"message": "Invalid request"}})}, {("temperature", None)}),
    ("openai", {"stream_options": (422, {"message": "Unprocessable Entity"}), "return_token_ids": (422, b"<html>no</html>")}, {("stream_options", None), ("return_token_ids", None)}),
    ("openai", {"return_token_ids": (400, {"error": {"message": json.dumps({"error": {"param": "return_token_ids", "message": "unknown"}})}})}, {("return_token_ids", None)}),
    ("openai", {"return_token_ids": (400, {"error": {"message": "unknown field"}, "request": {"temperature": 0, "return_token_ids": True}})}, {("return_token_ids", None)}),
    ("openai", {"return_token_ids": (200, {"error": {"message": "return_token_ids is not supported"}})}, {("return_token_ids", None)}),
    ("openai", {"return_token_ids": (200, b'data: {"error": {"message": "return_token_ids is not supported"}}\n\n')}, {("return_token_ids", None)}),
]  # fmt: skip


@pytest.mark.loopback
@pytest.mark.parametrize(("dialect", "fields", "changes"), CASES)
@pytest.mark.parametrize("kind", ["chat", "completions"])
def test_a_refused_field_is_changed_and_the_others_stay(
    kind: Endpoint, dialect: Dialect, fields: dict[str, Any], changes: set[tuple[str, str | None]]
) -> None:
    endpoint = OddEndpoint(named(fields))
    found = asked_of(endpoint, kind, dialect)
    assert found.refusal is None
    assert found.problem is None
    assert {(change.field, change.sent_as) for change in found.adaptation} == changes
    assert len(endpoint.asked) <= MAX_QUESTIONS + 1
    usual = {"model", "stream", LENGTH, "temperature", "stream_options"} - {field for field, _ in changes}
    assert usual <= set(endpoint.asked[-1])
    assert {sent_as for _, sent_as in changes if sent_as} <= set(endpoint.asked[-1])


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("refusal", "questions"),
    [
        (openai("model", "The model `m` does not exist"), 2),
        (openai("messages", "messages must have max_tokens words"), 2),
        (openai(None, "You have no credit"), 4),
        ((400, b""), 4),
        ((401, {"detail": "who are you"}), 1),
        ((403, {"detail": "not you"}), 1),
        ((402, {"detail": "pay first"}), 1),
    ],
)
def test_what_no_body_escapes_is_the_endpoints_last_word(refusal: tuple[int, Any], questions: int) -> None:
    endpoint = OddEndpoint(lambda body: refusal)
    found = asked_of(endpoint)
    assert found.refusal is not None
    assert found.refusal.status == refusal[0]
    assert len(endpoint.asked) <= questions
    assert found.adaptation == ()


@pytest.mark.loopback
def test_a_field_that_is_named_again_and_again_ends_the_questions() -> None:
    endpoint = OddEndpoint(lambda body: openai("temperature", "temperature is wrong"))
    assert asked_of(endpoint).refusal is not None
    assert len(endpoint.asked) <= MAX_QUESTIONS


@pytest.mark.loopback
def test_a_shortest_length_is_kept_in_the_question_alone() -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        is_short = body[LENGTH] < 16
        return openai(LENGTH, "Invalid 'max_tokens': expected a value >= 16, but got 2.") if is_short else None

    endpoint = OddEndpoint(refuse)
    assert asked_of(endpoint).adaptation == ()
    assert endpoint.asked[-1][LENGTH] == 16


@pytest.mark.loopback
@pytest.mark.parametrize(
    "refusal",
    [
        openai("prompt", "prompt must be a string"),
        pydantic("prompt", message="Input should be a valid string"),
        openai(None, "bad request"),
    ],
)
def test_an_endpoint_that_takes_no_token_ids_gets_text(refusal: tuple[int, Any]) -> None:
    endpoint = OddEndpoint(lambda body: refusal if isinstance(body["prompt"], list) else None)
    found = asked_of(endpoint, "completions", "vllm")
    assert (found.dialect, found.refusal, found.adaptation) == ("openai", None, ())
    assert endpoint.asked[-1]["prompt"] == "Hello"


@pytest.mark.loopback
def test_the_api_is_where_the_endpoint_answers() -> None:
    endpoint = OddEndpoint(paths=("/chat/completions",))
    with odd_endpoint(endpoint) as url:
        assert enquire(facts_of(url, dialect="openai", models=("m",)), "m", "chat", ()).api_url == url


def test_nothing_that_was_sent_is_taken_for_a_name() -> None:
    echo = {"detail": [{"loc": ["body", "ignore_eos"], "msg": "no", "input": {"temperature": 0, "max_tokens": 2}}]}
    refusal = read_refusal(json.dumps(echo).encode(), ("ignore_eos", "temperature", LENGTH))
    assert refusal.fields == ("ignore_eos",)


def test_a_repeated_request_in_words_names_nothing_either() -> None:
    said = {"message": "ignore_eos is unknown", "input": "{'temperature': 0, 'max_tokens': 2}"}
    refusal = read_refusal(json.dumps(said).encode(), ("ignore_eos", "temperature", LENGTH))
    assert refusal.fields == ("ignore_eos",)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"{}", b"3"])
def test_any_bytes_are_read(content: bytes) -> None:
    assert read_refusal(content, (LENGTH,)).fields == ()


def test_a_change_says_what_it_is() -> None:
    assert FieldChange(LENGTH, OTHER_LENGTH).to_json() == {"field": LENGTH, "sent_as": OTHER_LENGTH}
