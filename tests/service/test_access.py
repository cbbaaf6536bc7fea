"""The gate: who reads, who asks for something, and what other sites, wrong tokens and guesses come to."""

import asyncio
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loadgen.service.access import COOKIE, Access, AccessMiddleware
from loadgen.service.tokens import MAX_FAILURES
from tests.service.conftest import BEARER, SPEC
from tests.service.started import TOKEN

WRONG = {"Authorization": "Bearer not-the-token-at-all"}
OURS = {"Origin": "http://127.0.0.1:8080"}


def log_in(client: TestClient, token: str = TOKEN, goes_to: str = "/jobs", **headers: str) -> Any:
    sent = headers or {"Origin": str(client.base_url).rstrip("/")}
    return client.post("/login", data={"token": token, "next": goes_to}, headers=sent)


def test_on_this_machine_reading_needs_no_token_and_asking_does(client: TestClient) -> None:
    for path in ("/", "/jobs", "/jobs.json", "/api/v1/jobs", "/api/v1/sweeps", "/api/v1/openapi.json"):
        assert client.get(path).status_code == 200
    without = client.post("/api/v1/sweeps", json=SPEC)
    assert (without.status_code, without.headers["www-authenticate"]) == (401, "Bearer")
    assert client.post("/api/v1/sweeps", json=SPEC, headers=WRONG).status_code == 401
    assert client.get("/api/v1/jobs").json()["jobs"] == []
    assert client.post("/api/v1/sweeps", json=SPEC, headers=BEARER).status_code == 202


def test_without_configuration_nothing_is_taken(reader: TestClient) -> None:
    assert reader.get("/").status_code == 200
    for path in ("/api/v1/sweeps", "/api/v1/jobs/j1/cancel", "/jobs/j1/resume"):
        answer = reader.post(path, json=SPEC, headers=BEARER)
        assert answer.status_code == 403
        assert "--token-env" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1", "", "["])
def test_a_name_that_was_made_to_stand_for_this_machine_reads_nothing(reader: TestClient, host: str) -> None:
    answer = reader.get("/sweeps.json", headers={"Host": host})
    assert answer.status_code == 403
    assert "127.0.0.1" in answer.json()["error"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost:1",
        "LOCALHOST:99999",
        "localhost:",
        "[::1]:1",
        "evil@127.0.0.1",
        "127.0.0.1/evil.example",
        "127.0.0.1?evil.example",
        "localhost#evil.example",
        "localhost:8080@evil.example",
        "localhost evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::1",
        "[127.0.0.1]x",
    ],
)
def test_a_host_that_is_not_wholly_this_machine_does_not_read(reader: TestClient, host: str) -> None:
    assert reader.get("/sweeps.json", headers={"Host": host}).status_code in (401, 403)


def test_two_host_headers_are_refused(reader: TestClient) -> None:
    headers = [("Host", "127.0.0.1:8080"), ("Host", "evil.example")]
    assert reader.get("/sweeps.json", headers=headers).status_code == 400


@pytest.mark.parametrize(("version", "status"), [("1.1", 400), ("1.0", 403)])
def test_without_a_host_header_a_request_is_refused(version: str, status: int) -> None:
    """By itself in HTTP/1.1, and else as one by a name that is not this machine's."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def never(*_: object) -> Any:
        raise AssertionError

    gate = AccessMiddleware(never, Access(None, loopback_reads=True), {})
    scope = {"type": "http", "http_version": version, "method": "GET", "path": "/", "query_string": b"", "headers": []}
    asyncio.run(gate(scope, never, send))
    assert sent[0]["status"] == status


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1:8080", "[::1]:8080", "a.localhost", "localhost\t"]
)
def test_the_names_of_this_machine_read(reader: TestClient, host: str) -> None:
    assert reader.get("/sweeps.json", headers={"Host": host}).status_code == 200


def test_beyond_this_machine_every_page_needs_the_token(far_client: TestClient) -> None:
    for path in ("/", "/jobs", "/sweeps/s1", "/runs/r1?x=1"):
        page = far_client.get(path)
        assert page.status_code == 303
        assert page.headers["location"].startswith("/login?next=%2F")
    for path in ("/sweeps.json", "/api/v1/sweeps", "/api/v1/openapi.json", "/sweeps/s1/events", "/compare.csv"):
        assert far_client.get(path).status_code == 401
        assert far_client.get(path, headers=WRONG).status_code == 401
    assert far_client.get("/api/v1/sweeps", headers=BEARER).status_code == 200
    assert far_client.get("/login").status_code == 200
    assert far_client.get("/static/style.css").status_code == 200


@pytest.mark.parametrize("host", ["x/login?", "x/static/?", "x/login#"])
def test_a_host_that_holds_a_path_opens_nothing(far_client: TestClient, host: str) -> None:
    assert far_client.get("/sweeps.json", headers={"Host": host}).status_code == 401
    assert far_client.post("/api/v1/sweeps", json=SPEC, headers={"Host": host}).status_code == 401


def test_a_loopback_name_does_not_open_what_is_reached_from_elsewhere(far_client: TestClient) -> None:
    assert far_client.get("/sweeps.json", headers={"Host": "localhost"}).status_code == 401


def test_a_browser_logs_in_with_the_token_and_gets_a_cookie_that_no_script_reads(far_client: TestClient) -> None:
    answer = log_in(far_client, goes_to="/jobs?before=j1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?before=j1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert far_client.get("/").status_code == 200
    assert far_client.post("/logout", headers={"Origin": "http://bench.example"}).status_code == 303
    assert far_client.get("/").status_code == 303


def test_the_cookie_is_for_https_alone_where_that_is_spoken(far_client: TestClient) -> None:
    answer = far_client.post(
        "https://bench.example/login", data={"token": TOKEN}, headers={"Origin": "https://bench.example"}
    )
    assert "Secure" in answer.headers["set-cookie"]


def test_a_wrong_token_in_the_form_is_said_on_the_page(far_client: TestClient) -> None:
    answer = log_in(far_client, token='"><script>alert(1)</script>', goes_to='/"><script>alert(2)</script>')
    assert answer.status_code == 401
    assert "not the token" in answer.text
    assert "<script>alert" not in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "goes_to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\n/evil", ""]
)
def test_logging_in_leads_to_no_other_site(client: TestClient, goes_to: str) -> None:
    answer = log_in(client, goes_to=goes_to)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://127.0.0.1:8080.evil.example"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"},
    ],
)
def test_another_site_asks_for_nothing_in_the_name_of_who_is_logged_in(
    client: TestClient, headers: dict[str, str]
) -> None:
    assert log_in(client).status_code == 303
    for path in ("/api/v1/sweeps", "/jobs/j1/cancel", "/logout"):
        assert client.post(path, json=SPEC, headers=headers).status_code == 403
    assert client.get("/api/v1/jobs").json()["jobs"] == []
    assert client.post("/api/v1/sweeps", json=SPEC, headers=OURS).status_code == 202


def test_another_site_logs_nobody_in(client: TestClient) -> None:
    assert log_in(client, Origin="http://evil.example").status_code == 403


def test_made_up_and_broken_cookies_are_nobody(far_client: TestClient) -> None:
    for cookie in (f"{COOKIE}=guess", f"{COOKIE}=", "a=b; ;;=", f'{COOKIE}="', "\x00"):
        assert far_client.get("/api/v1/sweeps", headers={"Cookie": cookie}).status_code == 401


def test_guesses_are_slowed_down_and_the_logged_in_go_on(far_client: TestClient) -> None:
    assert log_in(far_client).status_code == 303
    for _ in range(MAX_FAILURES):
        assert far_client.get("/api/v1/sweeps", headers=WRONG).status_code == 401
    waits = far_client.get("/api/v1/sweeps", headers=WRONG)
    assert waits.status_code == 429
    assert int(waits.headers["retry-after"]) > 0
    assert log_in(far_client, token="x").status_code == 429
    assert far_client.get("/api/v1/sweeps").status_code == 200
    far_client.cookies.clear()
    assert (
        far_client.get("/api/v1/sweeps", headers=BEARER).status_code == 200
    )  # who has the token waits for nobody's guesses
    assert log_in(far_client).status_code == 303


def test_a_large_form_is_not_read(client: TestClient) -> None:
    assert log_in(client, token="x" * 5_000).status_code == 413


def test_what_the_gate_refuses_has_the_headers_of_every_answer(far_client: TestClient) -> None:
    for answer in (far_client.get("/"), far_client.post("/api/v1/sweeps"), far_client.get("/sweeps.json")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_the_token_is_in_no_answer(client: TestClient, far_client: TestClient) -> None:
    log_in(far_client)
    for path in ("/", "/jobs", "/jobs.json", "/login", "/api/v1/openapi.json", "/nowhere"):
        for each in (client, far_client):
            answer = each.get(path, headers=BEARER)
            assert TOKEN not in answer.text + str(answer.headers)
    assert TOKEN not in repr(Access(None, loopback_reads=True))
