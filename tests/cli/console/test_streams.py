"""What reaches the terminal: any text in any encoding, no control character of a server or a name, one sentence for a failed write."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.cli.console import streams
from loadgen.cli.console.clean_console import clean_console
from loadgen.cli.console.streams import CheckedOutput, TextOutput, clean, clean_json, one_line
from loadgen.errors import OutputError
from loadgen.load.shapes import ClosedLoop
from tests.cli.conftest import Cli
from tests.report.documents import fill, specs, sweep_row

HOSTILE = "m\x1b[31mred\x07\x9b2J\u202egnp\rover"
CONTROLS = ("\x1b", "\x07", "\x9b", "\u202e", "\r", "\x00", "\x7f")


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("plain", "plain"),
        ("ünï – ☃ 🙂", "ünï – ☃ 🙂"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb", "a\nb"),
        ("a\rb", "a\ufffdb"),
        ("\x1b[2J", "\ufffd[2J"),
        ("\x1b]0;title\x07", "\ufffd]0;title\ufffd"),
        ("\x9b31m", "\ufffd31m"),
        ("\u202eevil", "\ufffdevil"),
        ("\u2066\u2069\u200f\u061c", "\ufffd\ufffd\ufffd\ufffd"),
        ("\ud83d", "\ufffd"),
        ("\x00\x08\x0b\x0c\x7f", "\ufffd" * 5),
        ("line\u2028sep\u2029", "line\ufffdsep\ufffd"),
    ],
)
def test_clean_replaces_what_steers_a_terminal(given: str, cleaned: str) -> None:
    assert clean(given) == cleaned


def test_a_sentence_stays_on_one_line() -> None:
    assert one_line("the server said: a\r\n  loadgen: all is well\nb") == "the server said: a loadgen: all is well b"


def test_json_keeps_them_as_escapes() -> None:
    assert clean_json('{"a": "\u202e\x9b"}') == '{"a": "\\u202e\\u009b"}'


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "koi8-r"])
def test_any_text_can_be_written_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    with streams.prepared():
        sys.stdout.write("→ ✓ ü 🙂 \x1b[1m \ud800\n")
        clean_console(width=60).print("[x] → \x1b[1m")
        sys.stdout.flush()
    written = raw.getvalue().decode(encoding)
    assert "\x1b" not in written
    assert "[x]" in written


class _Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_device_is_a_sentence_on_stdout_and_nothing_on_stderr() -> None:
    with pytest.raises(OutputError, match="no space left on device"):
        TextOutput(CheckedOutput(_Full(), ignores_failures=False)).write("x")
    TextOutput(CheckedOutput(_Full(), ignores_failures=True)).write("x")


def test_a_reader_who_left_is_no_failure_of_ours() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        TextOutput(CheckedOutput(Gone(), ignores_failures=False)).write("x")


@pytest.fixture
def hostile() -> None:
    planned = specs([ClosedLoop(4)], model=HOSTILE)
    row = sweep_row("s261123-100000-aaaa", planned, HOSTILE)
    row.server.update(name=HOSTILE, version=HOSTILE, model=HOSTILE)
    for document in fill(Path("loadgen.db"), row, planned):
        document["server"].update(model=HOSTILE, name=HOSTILE, version=HOSTILE)


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("list", "--json"),
        ("show", "latest"),
        ("show", "latest", "--json"),
        ("compare", "latest", HOSTILE),
        ("show", HOSTILE),
        ("run", "--url", "simulator", "--model", HOSTILE, "--profile", HOSTILE),
        ("run", "--url", HOSTILE),
        ("sweep", "--dataset", HOSTILE, "--url", "simulator", "--concurrency", "1", "--output-tokens", "1"),
        ("serve", "up", HOSTILE),
        ("profiles", "show", HOSTILE),
        ("profiles", "check", HOSTILE),
        ("plot", HOSTILE),
        ("import", HOSTILE),
        ("export", "latest", "--format", HOSTILE),
        (HOSTILE,),
        ("list", f"--{HOSTILE}"),
        ("list", "--db", f"sqlite:///{HOSTILE}/x"),
    ],
)
def test_no_name_steers_the_terminal(cli: Cli, command: tuple[str, ...]) -> None:
    said = cli(*command)
    for character in CONTROLS:
        assert character not in said.out
        assert character not in said.err


def in_shell(line: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run `line` in a shell where $LOADGEN is this loadgen."""
    command = f"{sys.executable} -m loadgen.cli"
    return subprocess.run(
        ["bash", "-c", line.replace("LOADGEN", command)],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "LOADGEN sweep --help"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "LOADGEN profiles list"),
        ({}, "LOADGEN list >&-"),
        ({}, "LOADGEN --help 2>&- >&- <&-"),
        ({}, "LOADGEN --version 2>/dev/full"),
    ],
)
def test_no_surroundings_are_a_failure(environ: dict[str, str], line: str) -> None:
    fill(Path("loadgen.db"), sweep_row("s261123-100000-aaaa", specs([ClosedLoop(4)])), specs([ClosedLoop(4)]))
    said = in_shell(line, **environ)
    assert said.returncode == 0, said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_stdout_is_one_sentence() -> None:
    said = in_shell("LOADGEN --help >/dev/full")
    assert said.returncode == 2
    (line,) = said.stderr.splitlines()
    assert line.startswith("loadgen: cannot write to standard output: no space left on device")
