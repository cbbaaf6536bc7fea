"""Keys, header values and passwords: sent where they belong, and found nowhere else, even when the server repeats them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.cli.console.terminal import Terminal
from tests.cli.conftest import Cli
from tests.servers.http_server import QuietHandler, listening

FLAGS = ("--model", "m", "--concurrency", "2", "--input-tokens", "8", "--output-tokens", "2", "--requests", "12")
HEADERS = ("--api-key-env", "THE_KEY", "--header", "x-team=h3ader-s3cret")


class Echo(QuietHandler):
    """An OpenAI-like server which repeats the request's headers in every error; a few answers are in order."""

    protocol_version = "HTTP/1.1"
    broken_from = 0  # answers that are in order before the first error
    answered = 0
    heard: list[dict[str, str]]

    def do_GET(self) -> None:
        listing = {"data": [{"id": "m", "owned_by": "acme"}]}
        self.respond(200, listing) if self.path == "/v1/models" else self.respond(404, {}, "text/plain")

    def do_POST(self) -> None:
        self.read_body()
        kind = type(self)
        kind.heard.append({name.lower(): value for name, value in self.headers.items()})
        number, kind.answered = kind.answered, kind.answered + 1
        key = self.headers["Authorization"].removeprefix("Bearer ")
        echo = f"no quota for {key}: {dict(self.headers)}"[:290]
        chunk = {"choices": [{"index": 0, "text": "a", "finish_reason": None}]}
        ending: dict[str, object] = {"choices": [{"index": 0, "text": "b", "finish_reason": "length"}]}
        if number >= kind.broken_from:
            if number % 2:
                self.respond(429, {"error": {"message": echo}})
                return
            ending = {"error": {"message": echo, "code": 500}}
        events = "".join(f"data: {json.dumps(each)}\n\n" for each in (chunk, ending)) + "data: [DONE]\n\n"
        self.respond(200, events, "text/event-stream")


@pytest.fixture(params=[0, 4], ids=["from the warm-up on", "after some answers in order"])
def echo(request: pytest.FixtureRequest) -> Iterator[tuple[str, type[Echo]]]:
    """The URL of an echo and what it heard."""
    handler = type("Handler", (Echo,), {"broken_from": request.param, "heard": []})
    with listening(handler) as url:
        yield url, handler


@pytest.mark.loopback
def test_secrets_are_sent_and_kept_nowhere(
    cli: Cli, echo: tuple[str, type[Echo]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "k3y-s3cret")
    url, server = echo
    said = cli("run", "--url", url, *FLAGS, *HEADERS, "--json", "-v")
    assert {heard["authorization"] for heard in server.heard} == {"Bearer k3y-s3cret"}
    assert {heard["x-team"] for heard in server.heard} == {"h3ader-s3cret"}
    if server.broken_from:
        assert said.code == 3
        outcomes = said.json["outcomes"]
        assert outcomes["ok"] > 0
        assert outcomes["http_error"] > 0
        assert outcomes["stream_error"] > 0
        told = cli("export", "latest", "--format", "csv", "--requests").out
    else:
        assert said.code in (2, 5)
        told = said.err
    assert "no quota for [redacted]" in told
    cli("report", "latest", "-o", "page.html")
    cli("export", "latest", "--format", "csv", "-o", "runs.csv")
    cli("export", "latest", "--format", "csv", "--requests", "-o", "requests.csv")
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir()) + f"{said.out}{said.err}".encode()
    assert b"THE_KEY" in kept
    assert b"x-team" in kept
    assert b"s3cret" not in kept


def test_the_next_command_is_named_without_the_databases_password(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal("postgresql://u:s3cret@h/db", quiet=False, verbose=False)
    assert terminal.db_flag == " --db postgresql://u:***@h/db"
    assert terminal.shown_db == "postgresql://u:***@h/db"
    monkeypatch.setenv("LOADGEN_DB", terminal.db)
    assert terminal.db_flag == ""


def test_a_password_in_a_url_is_in_no_message(cli: Cli, tmp_path: Path) -> None:
    said = [cli("run", "--url", "http://user:s3cret@127.0.0.1:9", *FLAGS)]
    said += [cli(command, "latest", "--db", "sqlite://u:s3cret@h/x.db") for command in ("show", "export")]
    assert [each.code for each in said] == [2, 2, 2]
    assert "s3cret" not in "".join(each.out + each.err for each in said)
    assert list(tmp_path.iterdir()) == []
