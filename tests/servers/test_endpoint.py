"""Finding out what a server is, over real sockets against scripted answers, and the sentence for each way it can go wrong."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from loadgen.errors import ServerError, UsageError
from loadgen.servers.endpoint import check_lengths, error_text, is_alive, probe
from loadgen.servers.reported_tokens import token_counter
from loadgen.servers.server_url import normalise_url
from tests.servers.endpoints import facts_of
from tests.servers.http_server import QuietHandler, listening
from tests.servers.launcher.launches import free_port

Answers = dict[str, tuple[int, Any]]  # path -> status and JSON body

VLLM: Answers = {
    "/v1/models": (200, {"object": "list", "data": [{"id": "m", "owned_by": "vllm", "max_model_len": 100}]}),
    "/version": (200, {"version": "0.32.0"}),
    "/metrics": (200, {}),
    "/tokenize": (200, {"count": 1, "max_model_len": 100, "tokens": [5]}),
}


@contextmanager
def served(answers: Answers, heard: list[tuple[str, dict[str, str], bytes]] | None = None) -> Iterator[str]:
    """A server that answers by `answers`, 404 otherwise, and notes what it heard; gives its URL."""

    class Handler(QuietHandler):
        def _answer(self) -> None:
            body = self.read_body()
            if heard is not None:
                heard.append((self.path, dict(self.headers), body))
            self.respond(*answers.get(self.path, (404, {"detail": "Not Found"})))

        do_GET = do_POST = _answer

    with listening(Handler) as url:
        yield url


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000"),
        (" https://Example.org/base/v1 ", "https://example.org/base"),
        ("https://example.org/openai/v1/chat/completions", "https://example.org/openai"),
        ("https://example.org/v1/completions", "https://example.org"),
        ("https://example.org/v1beta/openai", "https://example.org/v1beta/openai"),
        ("http://[::1]:80/v1", "http://[::1]:80"),
    ],
)
def test_a_url_is_taken_as_users_paste_it(given: str, base: str) -> None:
    assert normalise_url(given) == base
    assert normalise_url(base) == base


@pytest.mark.parametrize(
    "given", ["", "localhost:8000", "ftp://h", "http:///x", "http://h:99999", "http://h:x", "http://[::1", "http://h:0"]
)
def test_what_is_no_url_is_named(given: str) -> None:
    with pytest.raises(UsageError, match="is not a URL of a server"):
        normalise_url(given)


@pytest.mark.parametrize(
    "given",
    [
        "http://user:s3cret@h:8000",
        "http://user:s3cret@[::1",
        "http://user:s3cret/+@h",
        "user:s3cret@h:8000",
        "ftp://s3cret@h",
    ],
)
def test_a_url_with_a_password_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(UsageError, match=r"--api-key-env.*--header") as caught:
        normalise_url(given)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("given", ["http://h:x?key=s3cret", "h?key=s3cret", "http://h#s3cret"])
def test_a_key_in_a_query_is_not_repeated(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        normalise_url(given)
    assert "s3cret" not in str(caught.value)


@pytest.mark.loopback
def test_vllm_says_what_it_is() -> None:
    with served(VLLM) as url:
        facts = probe(url, "m", ())
    said = {"name": "vLLM", "version": "0.32.0", "models": ("m",), "max_model_len": 100}
    assert facts == facts_of(url, **said, has_tokenize=True, has_metrics=True)
    assert facts.completions_url("chat") == f"{url}/v1/chat/completions"


@pytest.mark.loopback
def test_a_vocabulary_of_characters_is_seen() -> None:
    characters = {"/tokenize": (200, {"count": 40, "max_model_len": 100, "tokens": [*range(8, 34), *range(8, 22)]})}
    with served(VLLM | characters) as url:
        assert probe(url, "m", ()).prompt_ids == tuple(range(8, 34))


@pytest.mark.loopback
def test_the_simulator_is_known_as_such() -> None:
    answers = VLLM | {
        "/v1/models": (200, {"data": [{"id": "m", "owned_by": "loadgen-simulator"}]}),
        "/version": (200, {"version": "1", "simulated": True}),
    }
    with served(answers) as url:
        facts = probe(url, "m", ())
    assert (facts.simulated, facts.name, facts.dialect) == (True, "loadgen simulator", "vllm")


@pytest.mark.loopback
def test_a_plain_openai_server_is_asked_for_nothing_special() -> None:
    with served({"/v1/models": (200, {"data": [{"id": "m", "owned_by": "acme"}]})}) as url:
        facts = probe(url, "m", ())
    assert (facts.dialect, facts.name, facts.has_tokenize, facts.has_metrics) == ("openai", "acme", False, False)
    assert facts.max_model_len is None


@pytest.mark.loopback
def test_a_server_that_cannot_list_its_models_is_used_all_the_same() -> None:
    with served({"/v1/models": (500, {})}) as url:
        facts = probe(url, "any", ())
    assert (facts.models, facts.dialect) == ((), "openai")


@pytest.mark.loopback
def test_a_gateway_without_v1() -> None:
    with served({"/v1beta/openai/models": (200, {"data": [{"id": "m"}]})}) as url:
        facts = probe(f"{url}/v1beta/openai", "m", ())
    assert facts.completions_url("completions") == f"{url}/v1beta/openai/completions"


@pytest.mark.loopback
def test_a_model_that_is_not_listed_is_a_note_with_those_there_are() -> None:
    with served(VLLM) as url:
        facts = probe(url, "x", ())
    assert facts.model_list_problem == "it lists 'm'"
    assert (facts.dialect, facts.name) == ("vllm", "vLLM")


@pytest.mark.loopback
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_points_to_the_flag(status: int) -> None:
    with served({"/v1/models": (status, {})}) as url, pytest.raises(UsageError, match="--api-key-env"):
        probe(url, "m", (("Authorization", "Bearer k3y"),))


@pytest.mark.loopback
def test_headers_are_sent_along() -> None:
    heard: list[tuple[str, dict[str, str], bytes]] = []
    with served(VLLM, heard) as url:
        probe(url, "m", (("X-Team", "a"),))
    assert {headers.get("X-Team") for _, headers, _ in heard} == {"a"}


@pytest.mark.loopback
def test_a_dead_url() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServerError) as caught:
        probe(url, "m", ())
    assert str(caught.value) == f"nothing answers at {url}: connection refused; is the server running?"
    assert not is_alive(url, ())


@pytest.mark.loopback
def test_a_server_that_does_not_speak_http_or_tls() -> None:
    with served(VLLM) as url, pytest.raises(ServerError, match=r"nothing answers at https://.*TLS failed"):
        probe(url.replace("http:", "https:"), "m", ())


@pytest.mark.loopback
def test_a_server_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServerError, match=f"nothing answers at {url} in time"):
            probe(url, "m", (), timeout_s=0.2)
        assert is_alive(url, (), timeout_s=0.2)


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (
            "chat",
            {"model": "m", "messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": True},
        ),
        ("completions", {"model": "m", "prompt": "hi", "add_special_tokens": True}),
    ],
)
def test_tokens_are_counted_by_the_server(endpoint: Any, body: dict[str, Any]) -> None:
    heard: list[tuple[str, dict[str, str], bytes]] = []
    with served(VLLM | {"/tokenize": (200, {"count": 7})}, heard) as url:
        facts = probe(url, "m", ())
        with token_counter(facts, "m", endpoint, ()) as count:
            assert count("hi") == 7
    assert json.loads(heard[-1][2]) == body


@pytest.mark.loopback
def test_a_tokenizer_that_fails_says_why() -> None:
    answers = dict(VLLM)
    with served(answers) as url:
        facts = probe(url, "m", ())
        answers["/tokenize"] = (400, {"error": {"message": "no template"}})
        with token_counter(facts, "m", "chat", ()) as count, pytest.raises(ServerError, match=r"400 .*: no template"):
            count("hi")


def test_lengths_that_do_not_fit_are_refused() -> None:
    facts = facts_of("http://h", max_model_len=100)
    check_lengths(facts, 60, 40)
    with pytest.raises(UsageError, match="60 input \\+ 41 output tokens are 101, more than the 100"):
        check_lengths(facts, 60, 41)
    check_lengths(replace(facts, max_model_len=None), 60, 4100)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error":{"message":"The model `x` does not exist.","code":404}}', "The model `x` does not exist."),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"error":{"message":"caf\\u00e9 \\"q\\"\\nline"}}', 'café "q" line'),
        (b"Internal  Server\nError", "Internal Server Error"),
        (b"\xff", "\ufffd"),
        (b"x" * 400, "x" * 299 + "…"),
    ],
)
def test_the_words_of_an_error_body(body: bytes, text: str) -> None:
    assert error_text(body) == text


@pytest.mark.loopback
@pytest.mark.parametrize("path", ["/base/v1/completions", "/base/v1/chat/completions"])
def test_a_server_without_a_list_of_models_is_known_by_its_endpoints(path: str) -> None:
    with served({path: (400, {"error": {"message": "no prompt"}})}) as url:
        assert probe(f"{url}/base", "m", ()).models == ()


@pytest.mark.loopback
@pytest.mark.parametrize("answers", [{}, {"/base/v1/completions": (405, {})}])
def test_a_path_under_which_nothing_is_served_is_named(answers: Answers) -> None:
    with (
        served(answers) as url,
        pytest.raises(
            UsageError, match=r"nothing OpenAI-compatible at http://.*/base/v1/models: HTTP 404; check the path"
        ),
    ):
        probe(f"{url}/base", "m", ())
