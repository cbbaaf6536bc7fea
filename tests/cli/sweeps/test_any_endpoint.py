"""Endpoints as they are found in the wild, measured by the command: what is asked, what is stored, and what is said of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, codes
from tests.servers.odd_endpoint import OddEndpoint, listed, odd_endpoint

LOAD = ("--concurrency", "2", "--requests", "8", "--input-tokens", "4", "--output-tokens", "2")
SECRET = "s3cret-key-of-ours"


def measured(cli: Cli, url: str, *flags: str) -> dict[str, Any]:
    """The document of one run."""
    said = cli("run", "--url", url, *LOAD, *flags, "--json")
    assert said.measured, said.err
    document: dict[str, Any] = json.loads(said.out)
    assert document["outcomes"]["ok"] == 8
    return document


def test_the_only_listed_model_is_taken(cli: Cli) -> None:
    with odd_endpoint(OddEndpoint(pages=listed("vendor/only"))) as url:
        document = measured(cli, url)
    assert document["spec"]["model"] == document["server"]["model"] == "vendor/only"


def test_of_several_models_one_must_be_named(cli: Cli) -> None:
    with odd_endpoint(OddEndpoint(pages=listed("a", "b"))) as url:
        said = cli("run", "--url", url, *LOAD)
    assert said.code == 2
    assert said.err.endswith(
        f"loadgen: --model is missing and {url} serves 2 models: 'a', 'b'; choose one with --model NAME\n"
    )


@pytest.mark.parametrize(
    ("path", "flags", "asked"),
    [
        ("/v1/chat/completions", (), "chat"),
        ("/v1/completions", (), "completions"),
        ("/v1", (), "completions"),
        ("/v1/chat/completions", ("--endpoint", "completions"), "completions"),
        ("/v1/completions", ("--endpoint", "chat"), "chat"),
    ],
)
def test_the_path_of_an_endpoint_decides_unless_one_is_given(
    cli: Cli, path: str, flags: tuple[str, ...], asked: str
) -> None:
    endpoint = OddEndpoint(pages=listed("m"))
    with odd_endpoint(endpoint) as url:
        assert measured(cli, url + path, *flags)["spec"]["endpoint"] == asked
    assert all(("messages" in body) == (asked == "chat") for body in endpoint.asked)


def test_a_query_is_sent_with_every_request_and_its_key_is_stored_nowhere(cli: Cli, tmp_path: Path) -> None:
    endpoint = OddEndpoint(pages=listed("m"))
    with odd_endpoint(endpoint) as url:
        document = measured(cli, f"{url}/v1?api-version=2024-10-21&key={SECRET}", "--model", "m")
    assert len(endpoint.asked) > 8
    assert all(path.endswith(f"?api-version=2024-10-21&key={SECRET}") for path in endpoint.heard)
    assert document["spec"]["url"].endswith("?api-version=2024-10-21&key=[redacted]")
    assert SECRET not in json.dumps(document)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("status", [400, 401, 404, 422, 503])
def test_a_key_in_a_query_is_not_repeated_by_a_refusal(cli: Cli, status: int) -> None:
    refusal = (status, {"error": {"message": f"the model says that {SECRET} is wrong"}})
    endpoint = OddEndpoint(lambda body: refusal, listed("m"), headers=(("Retry-After", "3600"),))
    with odd_endpoint(endpoint) as url:
        said = cli("run", "--url", f"{url}?key={SECRET}", *LOAD, "--request-timeout-s", "5")
    assert said.code in (2, 5)
    assert SECRET not in said.err
    assert "[redacted] is wrong" in said.err


@pytest.mark.parametrize(
    ("status", "document", "said"),
    [
        (401, {"detail": "who are you"}, "refused the key (HTTP 401: who are you); name the environment variable"),
        (404, {"detail": "no such model"}, "does not serve the model 'n' (HTTP 404: no such model); it lists 'm'"),
        (400, {"message": "the model is asleep"}, "(HTTP 400: the model is asleep); it lists 'm'"),
    ],
)
def test_only_the_endpoint_refuses_and_with_its_own_words(
    cli: Cli, status: int, document: dict[str, Any], said: str
) -> None:
    with odd_endpoint(OddEndpoint(lambda body: (status, document), listed("m"))) as url:
        told = cli("run", "--url", url, "--model", "n", *LOAD)
    assert told.code == 2
    assert said in told.err
    assert told.err.count("\n") == 1


def test_refused_fields_are_said_and_every_request_is_alike(cli: Cli) -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        for field in ("max_tokens", "temperature", "stream_options"):
            if field in body:
                return 400, {"error": {"message": f"{field} is not known", "param": field}}
        return None

    endpoint = OddEndpoint(refuse, listed("m"))
    with odd_endpoint(endpoint) as url:
        document = measured(cli, url, "--endpoint", "chat")
    assert document["server"]["adapted_fields"] == [
        {"field": "max_tokens", "sent_as": "max_completion_tokens"},
        {"field": "temperature", "sent_as": None},
        {"field": "stream_options", "sent_as": None},
    ]
    assert {"fields_adapted", "tokens_assumed", "length_unknown"} <= codes(document)
    assert len({frozenset(body) for body in endpoint.asked[-10:]}) == 1  # warm-up and measured
    assert endpoint.asked[-1]["max_completion_tokens"] == 2


def test_an_endpoint_that_takes_no_length_is_measured(cli: Cli) -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        field = next((field for field in body if field.startswith("max_")), None)
        return (
            None
            if field is None
            else (422, {"detail": [{"loc": ["body", field], "msg": "Extra inputs are not permitted"}]})
        )

    with odd_endpoint(OddEndpoint(refuse, listed("m"))) as url:
        document = measured(cli, url)
    assert document["server"]["adapted_fields"] == [{"field": "max_tokens", "sent_as": None}]
    (finding,) = [each for each in document["verdict"]["findings"] if each["code"] == "fields_adapted"]
    assert "the model decides how long its replies are" in finding["hint"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_and_the_wait_is_said(cli: Cli, status: int) -> None:
    endpoint = OddEndpoint(pages=listed("m"), headers=(("Retry-After", "0.1"),))
    endpoint.refuse = lambda body: (status, {"error": "busy"}) if len(endpoint.asked) <= 3 else None
    with odd_endpoint(endpoint) as url:
        said = cli("run", "--url", url, *LOAD)
    assert said.measured, said.err
    line = f"the first question to {url} went unanswered (HTTP {status}); asking again in 0.1 s, for at most 60 s"
    assert said.err.count(line) == 3


def test_a_first_question_that_goes_unanswered_is_said(cli: Cli) -> None:
    endpoint = OddEndpoint(pages=listed("m"), headers=(("Retry-After", "3600"),))
    endpoint.refuse = lambda body: (503, {"error": "busy"}) if len(endpoint.asked) <= 1 else None
    with odd_endpoint(endpoint) as url:
        document = measured(cli, url)
    assert document["server"]["first_question_problem"] == "HTTP 503"
    assert "first_question_unanswered" in codes(document)


@pytest.mark.parametrize("model", ["m", "m:nitro", "vendor/m", "M"])
def test_a_model_that_is_not_listed_is_measured_with_a_note(cli: Cli, model: str) -> None:
    with odd_endpoint(OddEndpoint(pages=listed("m:latest"))) as url:
        document = measured(cli, url, "--model", model)
    (finding,) = [each for each in document["verdict"]["findings"] if each["code"] == "model_not_listed"]
    assert finding["severity"] == "note"
    assert finding["message"] == f"The server's list of models does not confirm '{model}': it lists 'm:latest'."


def test_a_base_path_without_a_list_is_measured(cli: Cli) -> None:
    endpoint = OddEndpoint(paths=("/api/paas/v4/chat/completions",))
    with odd_endpoint(endpoint) as url:
        base = f"{url}/api/paas/v4"
        for given, flags in ((f"{base}/chat/completions", ()), (base, ("--endpoint", "chat"))):
            endpoint.heard.clear()
            document = measured(cli, given, "--model", "m", *flags)
            assert document["spec"]["endpoint"] == "chat"
            assert document["ttft_s"]["n"] == 8
            assert "model_not_listed" in codes(document)
            assert set(endpoint.heard[-8:]) == {"/api/paas/v4/chat/completions"}
