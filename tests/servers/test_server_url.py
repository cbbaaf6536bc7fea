"""What users paste as the URL of a server, and what of it may be shown."""

import pytest

from loadgen.errors import UsageError
from loadgen.servers.server_url import api_urls, normalise_url, parse_url, redacted_url


@pytest.mark.parametrize(
    ("given", "base", "query", "endpoint"),
    [
        ("http://h:8000", "http://h:8000", "", None),
        ("http://h/v1/", "http://h", "", None),
        ("http://h/v1/models", "http://h", "", None),
        ("http://h/v1/chat/completions", "http://h", "", "chat"),
        ("http://h/v1/chat/completions/", "http://h", "", "chat"),
        ("http://h/v1/completions", "http://h", "", "completions"),
        ("http://h/chat/completions", "http://h", "", "chat"),
        ("https://h/api/paas/v4", "https://h/api/paas/v4", "", None),
        ("https://h/api/paas/v4/chat/completions", "https://h/api/paas/v4", "", "chat"),
        ("https://h/openai/v1", "https://h/openai", "", None),
        ("https://h/v1beta/openai/", "https://h/v1beta/openai", "", None),
        (
            "https://h/inference/openai/deployments/NAME/chat/completions?api-version=2024-10-21",
            "https://h/inference/openai/deployments/NAME",
            "api-version=2024-10-21",
            "chat",
        ),
        ("https://h/openai/deployments/a.b_C?api-version=1&x=", "https://h/openai/deployments/a.b_C", "api-version=1&x=", None),
        ("https://H.example/V1/Chat/Completions", "https://h.example/V1", "", "chat"),
        ("http://h?api-version=1", "http://h", "api-version=1", None),
        ("http://h/?", "http://h", "", None),
        ("http://[::1]:8000/v1?a=b", "http://[::1]:8000", "a=b", None),
        ("http://h//v1//", "http://h", "", None),
        ("http://h/engines/llama.cpp/v1", "http://h/engines/llama.cpp", "", None),
        ("http://h/v1/v1", "http://h/v1", "", None),
    ],
)  # fmt: skip
def test_the_parts_of_a_url(given: str, base: str, query: str, endpoint: str | None) -> None:
    url = parse_url(given)
    assert (url.base, url.query, url.endpoint) == (base, query, endpoint)
    assert normalise_url(given) == (f"{base}?{query}" if query else base)


@pytest.mark.parametrize("endpoint", ["responses", "embeddings", "messages"])
def test_an_endpoint_that_is_not_measured_is_named(endpoint: str) -> None:
    with pytest.raises(UsageError, match=f"/{endpoint}; loadgen measures"):
        parse_url(f"http://h/v1/{endpoint}")


@pytest.mark.parametrize("given", ["http://h/#x", "http://h /v1", "http://h/\nv1", "//h/v1", "http://h?ü=1"])
def test_what_cannot_be_sent_is_refused(given: str) -> None:
    with pytest.raises(UsageError):
        parse_url(given)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("api-version=2024-10-21", "api-version=2024-10-21"),
        ("key=s3cret", "key=[redacted]"),
        ("api_key=s3cret&api-version=1", "api_key=[redacted]&api-version=1"),
        ("apikey=s3cret", "apikey=[redacted]"),
        ("subscription-key=s3cret", "subscription-key=[redacted]"),
        ("sig=a%2Bb%3D", "sig=[redacted]"),
        ("access_token=s3cret", "access_token=[redacted]"),
        ("X-Amz-Signature=s3cret", "X-Amz-Signature=[redacted]"),
        ("api%5Fkey=s3cret", "api%5Fkey=[redacted]"),
        ("KEY=s3cret", "KEY=[redacted]"),
        ("code=s3cret", "code=[redacted]"),
        ("password=s3cret", "password=[redacted]"),
        ("t=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "t=[redacted]"),
        ("model=a-model&stream=true", "model=a-model&stream=true"),
        ("key=", "key="),
        ("monkey=1", "monkey=[redacted]"),
        ("deployment=gpt-4o-mini-2024-07-18", "deployment=gpt-4o-mini-2024-07-18"),
        ("model=meta-llama-3.1-70b-instruct-turbo", "model=meta-llama-3.1-70b-instruct-turbo"),
        ("modelkey=meta-llama-3.1-70b-instruct-turbo", "modelkey=[redacted]"),
        ("", ""),
    ],
)
def test_values_that_may_be_keys_are_hidden(query: str, shown: str) -> None:
    assert redacted_url(f"http://h/v1?{query}") == (f"http://h/v1?{shown}")
    assert bool(parse_url(f"http://h/v1?{query}").secrets) == ("[redacted]" in shown)


def test_a_secret_is_known_as_it_is_written_and_as_it_is_meant() -> None:
    assert {value for _, value in parse_url("http://h?sig=a%2Bb%3D").secrets} == {"a%2Bb%3D", "a+b="}
    assert "s3cret" not in repr(parse_url("http://h?key=s3cret"))


@pytest.mark.parametrize(
    ("base", "first"),
    [
        ("http://h", "http://h/v1"),
        ("http://h/openai", "http://h/openai/v1"),
        ("http://h/api/paas/v4", "http://h/api/paas/v4"),
        ("http://h/v1beta/openai", "http://h/v1beta/openai"),
        ("http://h/openai/deployments/x", "http://h/openai/deployments/x"),
    ],
)
def test_the_likelier_place_of_the_api_comes_first(base: str, first: str) -> None:
    assert api_urls(base)[0] == first
    assert set(api_urls(base)) == {base, f"{base}/v1"}
