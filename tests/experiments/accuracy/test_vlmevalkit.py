"""A command in the place of VLMEvalKit: how it is called, and what is read of the files that it leaves."""

import os
import sys
from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.experiments.accuracy.external import evaluate, read_folder
from loadgen.experiments.accuracy.results import TaskResult

URL = "http://127.0.0.1:8000/v1/chat/completions"
COMMAND = """
import os, sys
from pathlib import Path
url, model, folder = sys.argv[1:]
assert url == os.environ["OPENAI_API_BASE"]
out = Path(folder) / model / "T20261130"
out.mkdir(parents=True)
(out / f"{model}_MMMU_DEV_VAL_acc.csv").write_text('"split","Overall","Art"\\n"validation","0.43","0.5"\\n')
(out / f"{model}_MME_score.csv").write_text("perception,reasoning\\n1500.5,320\\n")
(out / "notes.csv").write_text("a,b\\n1,2\\n")
"""


def run(folder: Path, code: str, words: str = "{url} {model} {folder}") -> tuple[TaskResult, ...]:
    script = folder / "run.py"
    script.write_text(code)
    out = folder / "out"
    out.mkdir()
    return evaluate(f"{sys.executable} {script} {words}", out, url=URL, model="vl2", environ=dict(os.environ))


def test_the_figures_of_its_files_are_results_by_data_set(tmp_path: Path) -> None:
    assert run(tmp_path, COMMAND) == (
        TaskResult("MME", "perception", 1500.5, None, None, None),
        TaskResult("MME", "reasoning", 320.0, None, None, None),
        TaskResult("MMMU_DEV_VAL", "Overall", 0.43, None, None, None),
    )


def test_a_program_is_found_by_a_path_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.py").write_text(COMMAND)
    (tmp_path / "out").mkdir()
    template = f"{sys.executable} run.py {{url}} {{model}} {{folder}}"
    assert evaluate(template, tmp_path / "out", url=URL, model="vl2", environ=dict(os.environ))


def test_each_split_of_several_is_named(tmp_path: Path) -> None:
    (tmp_path / "vl2_BLINK_acc.csv").write_text("split,Overall\nval,0.5\ntest,0.25\n")
    found = [(result.task, result.metric, result.value) for result in read_folder(tmp_path, "vl2")]
    assert found == [("BLINK", "Overall (val)", 0.5), ("BLINK", "Overall (test)", 0.25)]


@pytest.mark.parametrize(
    ("code", "words", "sentence"),
    [
        ("import sys; sys.exit('no such data set')", "{folder}", r"failed \(exit code 1: no such data set\)"),
        ("pass", "{folder}", "left no figure"),
        ("pass", "{model}", "does not say where its files go"),
        ("pass", "'{folder}", "cannot be read"),
    ],
)
def test_a_command_that_gives_nothing_is_one_sentence(tmp_path: Path, code: str, words: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        run(tmp_path, code, words)
    assert "\n" not in str(caught.value)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="/no/program cannot be started"):
        evaluate("/no/program {folder}", tmp_path, url=URL, model="m", environ={})
