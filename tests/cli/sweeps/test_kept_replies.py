"""Replies kept by `--keep-replies`: as the server sent them in the data, harmless wherever they are shown, and without our secrets."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadgen.engine.capture.sample import MAX_CHARACTERS
from tests.cli.conftest import Cli
from tests.servers.odd_endpoint import OddEndpoint, listed, odd_endpoint

LOAD = (
    "--concurrency",
    "2",
    "--requests",
    "4",
    "--input-tokens",
    "4",
    "--output-tokens",
    "2",
    "--warmup-requests",
    "0",
)
KEY, TEAM = "sk-our-own-k3y-0001", "h3ader-s3cret"
HEADERS = ("--api-key-env", "THE_KEY", "--header", f"x-team={TEAM}")
SCRIPT = "<script>document.title='taken'</script><img src=x onerror=alert(1)>"

pytestmark = pytest.mark.loopback

Choice = dict[str, Any]


def stream_of(*choices: Choice) -> bytes:
    """An event of each, the last one with the end of the reply."""
    ended = [*choices, {"delta": {}, "finish_reason": "stop"}]
    events = [json.dumps({"choices": [{"index": 0} | choice]}) for choice in ended]
    return b"".join(b"data: %b\n\n" % event.encode() for event in [*events, "[DONE]"])


def contents(*texts: str) -> bytes:
    return stream_of(*({"delta": {"content": text}} for text in texts))


def kept(cli: Cli, stream: bytes, *flags: str) -> list[dict[str, Any]] | None:
    """What a run against a server that sends `stream` keeps."""
    with odd_endpoint(OddEndpoint(pages=listed("m"), stream=stream)) as url:
        said = cli("run", "--url", url, "--endpoint", "chat", *LOAD, *flags, "--json")
    assert said.measured, said.err
    replies: list[dict[str, Any]] | None = said.json["replies"]
    return replies


CALL = {"delta": {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "find", "arguments": '{"q":1}'}}]}}
PARTS = {"delta": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (contents("one", " two"), "one two"),
        (stream_of({"delta": {"reasoning_content": "hm "}}, {"delta": {"content": "yes"}}), "hm yes"),
        (stream_of(CALL), 'find{"q":1}'),
        (stream_of(PARTS), "ab"),
        (stream_of({"delta": {"refusal": "no"}}), "no"),
        (contents("half \xff").replace(b"\\u00ff", b"\xff\xfe"), "half \ufffd\ufffd"),
        (contents("zero\0byte"), "zero\ufffdbyte"),
        (contents("right-to-left \u202e and \u2028 line"), "right-to-left \u202e and \u2028 line"),
        (contents(SCRIPT), SCRIPT),
        (contents("\x1b]0;taken\x07\x1b[31mred\r\nx"), "\x1b]0;taken\x07\x1b[31mred\r\nx"),
        (stream_of(*({"index": 0, "text": word} for word in "ab")), "ab"),
    ],
)
def test_the_text_is_kept_as_it_came(cli: Cli, stream: bytes, text: str) -> None:
    replies = kept(cli, stream, "--keep-replies", "1")
    assert replies is not None
    assert [reply["text"] for reply in replies] == [text]
    assert replies[0]["characters"] == len(text)


def test_half_of_a_surrogate_pair_costs_no_run(cli: Cli) -> None:
    replies = kept(cli, contents("half \ud83d"), "--keep-replies", "1")
    assert replies is not None
    assert replies[0]["text"].startswith("half ")
    assert cli("show", "latest").code == 0
    assert cli("report", "latest", "-o", "report.html").code == 0


def test_without_the_option_none_is_kept(cli: Cli, tmp_path: Path) -> None:
    assert kept(cli, contents("a word to be found")) is None
    assert b"a word to be found" not in _stored(tmp_path)


def test_of_a_reply_of_100_000_tokens_the_beginning_is_kept(cli: Cli) -> None:
    replies = kept(cli, contents(*["word "] * 100_000), "--keep-replies", "1", "--max-reply-bytes", "100000000")
    assert replies is not None
    assert (len(replies[0]["text"]), replies[0]["characters"]) == (MAX_CHARACTERS, 500_000)


@pytest.mark.parametrize(
    "stream",
    [
        contents(f"your key is {KEY}, your team {TEAM}"),
        contents(f"Bearer {KEY} {TEAM}"),
        contents(f"it is {KEY[:7]}", f"{KEY[7:]} and {TEAM[:3]}", TEAM[3:]),
        contents("x" * (MAX_CHARACTERS - 5) + KEY + TEAM),
        stream_of(
            {"delta": {"tool_calls": [{"function": {"name": "f", "arguments": json.dumps({"k": [KEY, TEAM]})}}]}}
        ),
        stream_of({"delta": {"reasoning": KEY + TEAM}}),
    ],
)
def test_no_secret_of_ours_is_kept(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stream: bytes) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    replies = kept(cli, stream, "--keep-replies", "2", *HEADERS)
    assert replies
    run_id = cli("show", "latest", "--json").json["runs"][0]["run_id"]
    assert cli("report", run_id, "-o", "report.html").code == 0
    everything = json.dumps(replies).encode() + _stored(tmp_path) + (tmp_path / "report.html").read_bytes()
    for secret in (KEY, KEY[:12], TEAM):
        assert secret.encode() not in everything


def test_what_is_shown_is_harmless(cli: Cli, tmp_path: Path) -> None:
    kept(cli, contents(SCRIPT, "\x1b]0;taken\x07\x1b[31mred\x9b2J"), "--keep-replies", "1")
    run_id = cli("show", "latest", "--json").json["runs"][0]["run_id"]
    shown = cli("show", run_id)
    assert "document.title" in shown.out
    assert not {"\x1b", "\x07", "\x9b"} & {*shown.out, *shown.err}
    assert cli("report", run_id, "-o", "report.html").code == 0
    page = (tmp_path / "report.html").read_text()
    assert "&lt;script&gt;document.title" in page
    assert "<script>document.title" not in page
    assert "<img src=x" not in page


def test_tables_for_other_programs_have_no_text(cli: Cli, tmp_path: Path) -> None:
    kept(cli, contents("a word to be found"), "--keep-replies", "1")
    for flags in (("csv",), ("csv", "--requests"), ("vllm-bench",)):
        said = cli("export", "latest", "--format", *flags)
        assert said.code == 0, said.err
        assert "a word to be found" not in said.out
    assert "a word to be found" in cli("export", "latest", "--format", "json").out


def _stored(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("loadgen.db*"))
