"""docs/study.md: every command in it works, every file in it is sound, and its figures are those that the commands print."""

import json
import re
import shlex
from pathlib import Path

import pytest

from loadgen.study.schema import Study
from loadgen.study.study_file import study_names
from tests.cli.conftest import Cli

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "study.md").read_text()
COMMANDS = list(dict.fromkeys(re.findall(r"^    loadgen (.+)$", DOCUMENT, re.MULTILINE)))
FEW = ["--only", "batch=1,16", "--only", "input_tokens=128"]
"""Every prediction would take minutes."""


def block(begin: str) -> str:
    """The indented block of the document that begins so."""
    lines = DOCUMENT.split("\n")
    first = next(at for at, line in enumerate(lines) if line.startswith(f"    {begin}"))
    taken = []
    for line in lines[first:]:
        if not line.startswith("    "):
            break
        taken.append(line[4:])
    return "\n".join(taken) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with the files of the document, and the results that it imports."""
    for name, begin in (
        ("models/qwen3-235b-a22b/config.json", "{"),
        ("server_profiles/qwen3-235b-tp8.yaml", "extends: vllm"),
        ("studies/qwen3-235b.yaml", "title: Qwen3-235B"),
    ):
        assert f"`{name}`" in DOCUMENT
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(block(begin))
    (tmp_path / "results").symlink_to(ROOT / "results")
    return tmp_path


def expanded(command: str, folder: Path) -> list[str]:
    """The words of a command, with the files that a shell would put in place of a pattern."""
    words: list[str] = []
    for word in shlex.split(command):
        words += sorted(str(path.relative_to(folder)) for path in folder.glob(word)) if "*" in word else [word]
    return words


@pytest.mark.parametrize("command", [each for each in COMMANDS if "--check" not in each])
def test_every_command_works(cli: Cli, folder: Path, command: str) -> None:
    words = expanded(command, folder)
    match words[:2]:
        case ["study", "run"]:  # needs GPUs; its points are looked up
            kept = [word for word in words[2:] if word not in ("--resume", "--again")]
            if "--url" in kept:
                at = kept.index("--url")
                del kept[at : at + 2]
            words = ["study", "plan", *kept]
        case ["study", "predict"]:
            words += [] if "--only" in words else FEW
        case ["study", "report" | "plot"]:
            assert cli("study", "predict", "fig06", "qwen3-235b", *FEW, "-q").code == 0
    said = cli(*words)
    assert (said.code, "Traceback" in said.err) == (0, False), said.err


def test_the_plan_of_the_example_is_the_one_described(cli: Cli, folder: Path) -> None:
    plan = cli("study", "plan", "qwen3-235b", "--json").json
    assert f"It has {plan['points']} points on four servers" in DOCUMENT
    assert [server["problem"] for server in plan["servers"]] == [None] * 4
    said = " ".join(cli("study", "plan", "fig06").out.split())
    for part in ("148 points", "444 runs", "at least 4 h 54 min"):
        assert part in said
        assert part in DOCUMENT


def test_the_errors_are_those_that_the_command_prints(cli: Cli, folder: Path) -> None:
    (command,) = [each for each in COMMANDS if "--check" in each]
    totals = cli(*expanded(command, folder), "--json").json["totals"]
    for name in ("fitted", "held out"):
        (cells,) = re.findall(rf"^\| {name} \| (\d+) \| (.+) \|$", DOCUMENT, re.MULTILINE)
        median = totals[name]["median"]
        assert int(cells[0]) == totals[name]["runs"]
        assert cells[1] == " | ".join(
            f"{median[figure]:.1%}".replace("%", " %") for figure in ("throughput", "e2e", "ttft", "tpot")
        )


def test_it_names_every_study_and_every_key_of_a_study() -> None:
    assert set(re.findall(r"`((?:fig|table)\d+|quick)`", DOCUMENT)) == set(study_names())
    table = DOCUMENT.split("Key by key:")[1].split("\n\n")[1]
    heads = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    keys = {key for head in heads for key in re.findall(r"`(\w+)`", head)}
    assert keys == (Study.model_fields.keys() - {"name"}) | {"points_of"}


def test_the_configuration_in_it_is_json() -> None:
    assert json.loads(block("{"))["num_experts"] == 128
