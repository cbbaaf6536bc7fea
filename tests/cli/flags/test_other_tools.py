"""Options of other tools are answered with ours, by the table that the documents show."""

import re
from pathlib import Path

import pytest
import typer

from loadgen.cli.app import app
from loadgen.cli.flags.other_tools import COUNTERPARTS, counterpart
from tests.cli.conftest import Cli, run_in
from tests.cli.test_cli_document import COMMANDS, flags_of

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "options-of-other-tools.md"
OURS = set().union(*(flags_of(name) for name in COMMANDS))
OF_MEASURING = flags_of("run") | flags_of("sweep") | flags_of("search")


def test_the_document_has_the_table_of_the_code() -> None:
    rows = (f"| {', '.join(f'`{name}`' for name in row.names)} | {row.tools} | {row.ours} |" for row in COUNTERPARTS)
    assert "\n".join(("| there | tools | here |", "|---|---|---|", *rows)) in DOCUMENT.read_text()


def test_no_option_is_in_two_rows_and_none_is_ours() -> None:
    options = [option for row in COUNTERPARTS for option in row.names]
    assert len(options) == len(set(options))
    assert not set(options) & OF_MEASURING


@pytest.mark.parametrize("row", COUNTERPARTS, ids=lambda row: row.names[0])
def test_what_a_row_names_exists(row: object) -> None:
    named = re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", row.ours)  # type: ignore[attr-defined]
    assert set(named) <= OURS
    for command in re.findall(r"loadgen ([a-z]+)", row.ours):  # type: ignore[attr-defined]
        assert command in COMMANDS


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        (("run", "--num-prompts", "100"), "--requests N"),
        (("run", "--num-prompts=100"), "--requests N"),
        (("run", "--num_prompts", "100"), "--requests N"),
        (("sweep", "--request-rate", "4"), "--rate R"),
        (("sweep", "--max-concurrency", "4"), "--concurrency N"),
        (("run", "--random-input-len", "4"), "--input-tokens N"),
        (("run", "--random-output-len", "4"), "--output-tokens N"),
        (("search", "--goodput", "ttft:500"), "--slo ttft_s=S"),
        (("run", "--save-result"), "loadgen export"),
        (("run", "--target", "http://h"), "--url URL"),
        (("run", "--max-seconds", "3"), "--duration-s S"),
        (("run", "--isl", "4"), "--input-tokens N"),
        (("run", "--osl", "4"), "--output-tokens N"),
        (("run", "--users", "4"), "--concurrency N"),
        (("run", "-c", "4"), "--concurrency N"),
        (("run", "-c4"), "--concurrency N"),
        (("run", "-n", "4"), "--requests N"),
        (("run", "-z", "30s"), "--duration-s S"),
        (("run", "--api-key", "sk-1"), "--api-key-env NAME"),
        (("run", "--temperature", "1"), "no counterpart: made prompts"),
        (("run", "http://127.0.0.1:8000"), "--url"),
        (("sweep", "http://127.0.0.1:8000"), "--url"),
        (("sweep", "https://h/v1"), "--url"),
        (("bench", "serve"), "loadgen run"),
        (("run", "--no-stream"), "no counterpart: every reply is streamed"),
    ],
)
def test_the_answer_is_one_sentence_with_ours(cli: Cli, words: tuple[str, ...], ours: str) -> None:
    said = cli(*words)
    assert (said.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert ours in line
    assert "did you mean" not in line


def test_a_misspelt_option_of_ours_is_still_guessed(cli: Cli) -> None:
    assert "did you mean --concurrency" in cli("run", "--concurency", "1").err
    assert counterpart("--no-such-thing") is None


def help_screens() -> list[tuple[str, ...]]:
    screens: list[tuple[str, ...]] = [()]
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        screens.append((name,))
        screens += [(name, each) for each in getattr(command, "commands", {})]
    return screens


@pytest.mark.parametrize("words", help_screens(), ids=" ".join)
def test_help_shows_what_to_write_and_no_types(cli: Cli, words: tuple[str, ...]) -> None:
    said = cli(*words, "--help")
    assert said.code == 0
    assert not re.search(r"<\w|<=|INTEGER|FLOAT|BOOLEAN|list\[", said.out)


def test_an_empty_word_is_no_spec_file(cli: Cli) -> None:
    said = cli("sweep", "")
    assert (said.code, said.err) == (2, "loadgen: cannot read the spec file .: Is a directory\n")


def test_completion_scripts_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    said = run_in(tmp_path, "--show-completion", "bash")
    assert said.code == 0, said.err
    assert "_LOADGEN_COMPLETE" in said.out
