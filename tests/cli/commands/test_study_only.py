"""Points by their coordinates, `--only K=V`, on the command line."""

from pathlib import Path

import pytest

from loadgen.cli.commands.study import where
from loadgen.study.claims import Where
from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("given", "only"),
    [
        (None, {}),
        (["batch=1,16", "model=olmoe-1b-7b"], {"batch": [1, 16], "model": ["olmoe-1b-7b"]}),
        (["batch=1", "batch=16"], {"batch": [1, 16]}),
        (["expert_parallel=true", "pruning_ratio=0.5"], {"expert_parallel": [True], "pruning_ratio": [0.5]}),
        (["model=[x", "length=1024/256"], {"model": ["[x"], "length": ["1024/256"]}),
    ],
)
def test_values_are_read_as_in_a_file(given: list[str] | None, only: Where) -> None:
    assert where(given) == only


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("fig06", "--only", "rate=2"),
            "unknown coordinate 'rate' in --only; the 'rate' of a load is the coordinate 'batch'",
        ),
        (("fig06", "--only", "modle=x"), "unknown coordinate 'modle' in --only; did you mean 'model'?"),
        (("fig06", "--only", "batch=5"), "no point of the study has batch 5; known values: 1, 4, 8"),
        (("table1",), "the study table1 is arithmetic and needs no server"),
        (("fig15", "--only", "profile=molmoe-1b"), "molmoe-1b cannot be started: no server has MolmoE's experts"),
    ],
)
def test_a_study_that_would_measure_nothing_starts_nothing(cli: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    said = cli("study", "run", *arguments)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err


def test_a_study_of_which_no_server_can_be_started_says_why(cli: Cli) -> None:
    Path("none.yaml").write_text(
        "title: t\nquestion: q\nservers: [{profile: olmoe-tp1, cannot_run: it is gone}]\nloads: [{wave: 1, lengths: [8]}]\n"
    )
    said = cli("study", "run", "none.yaml")
    assert said.code == 2
    assert "no server of the study none can be started: it is gone" in said.err
