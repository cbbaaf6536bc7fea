"""Accuracy by lm-eval on a small model that has learnt its tasks, served by a real vLLM: in Figure 17's study, and with half of its experts."""

import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from loadgen.load.tasks import TASKS
from loadgen.servers.launcher.stop import stop
from loadgen.store.repository import Store
from loadgen.store.rows import AccuracyRow, SweepRow
from loadgen.study.accuracy import MeanAccuracy, by_task, mean_accuracy
from tests.real.command import loadgen_command
from tests.real.vllm_server import ROOT, free_port, skip_without_vllm

pytestmark = pytest.mark.vllm

PROFILE = "trained-mixtral"
STUDY = ("study", "run", "fig17", "--scale", "tiny", "--repeats", "1", "--only", "model=mixtral-8x7b")
STUDY_SAMPLES, SAMPLES = 20, 25
CHOICE = "find_choice"
HALF = f"{PROFILE}-inter50"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What two evaluations left in one database."""

    temporary: Path  # where its processes put their files
    sweep: SweepRow  # of the study
    pruned: tuple[AccuracyRow, ...]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluated]:
    """The study on its Mixtral, and an evaluation of a running server of the same model with half of its experts."""
    skip_without_vllm()
    if not (ROOT / ".venv-lm-eval/bin/lm_eval").exists():
        pytest.skip("lm-eval is not installed: run `make accuracy`")
    folder = tmp_path_factory.mktemp("accuracy")
    temporary = Path(tempfile.mkdtemp(prefix="acc"))  # short: vLLM's sockets are in it
    try:
        studied = run(folder, temporary, *STUDY)
        assert studied.returncode in (0, 3), studied.stderr  # whether a small run is valid is not the question here
        target = folder / "trained_models" / HALF  # a folder of that name holds small models
        target.parent.mkdir()
        half = ("moe", "prune", f"trained_models/{PROFILE}", "-o", str(target), "--inter", "0.5")
        up = ("serve", "up", PROFILE, "--model", str(target), "--port", str(free_port()))
        for command in (half, up):
            ended = run(folder, temporary, *command)
            assert ended.returncode == 0, ended.stderr
        asked = ("--tasks", f"built-in,{CHOICE}", "--limit", str(SAMPLES), "--json")
        alone = run(folder, temporary, "accuracy", *asked)
        assert alone.returncode == 0, alone.stderr
        with Store.open(database(folder), read_only=True) as store:
            (sweep,) = store.sweeps()
            pruned = store.evaluation(json.loads(alone.stdout)["evaluation_id"]).rows
            yield Evaluated(temporary, sweep, pruned)
    finally:
        stop(folder)
        shutil.rmtree(temporary, ignore_errors=True)


def run(folder: Path, temporary: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command from where the profiles find engine and model, with a state and a database of the test's own."""
    environment = {name: value for name, value in psutil.Process().environ().items() if name != "LOADGEN_LM_EVAL"}
    environment |= {"LOADGEN_STATE_DIR": str(folder), "LOADGEN_DB": database(folder), "TMPDIR": str(temporary)}
    return subprocess.run(
        loadgen_command(*arguments), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def database(folder: Path) -> str:
    return f"sqlite:///{folder / 'loadgen.db'}"


def mean(rows: tuple[AccuracyRow, ...]) -> MeanAccuracy:
    return mean_accuracy(by_task(rows), tuple(TASKS))


def test_every_task_has_its_value_and_lm_evals_standard_error(evaluated: Evaluated) -> None:
    generated = dict.fromkeys(TASKS, "exact_match")
    assert {row.task: row.metric for row in evaluated.sweep.accuracy} == generated
    assert {row.task: row.metric for row in evaluated.pruned} == {**generated, CHOICE: "acc"}
    for rows, samples in ((evaluated.sweep.accuracy, STUDY_SAMPLES), (evaluated.pruned, SAMPLES)):
        for row in rows:
            assert (row.samples, row.shots, row.tool, row.tool_version) == (samples, 0, "lm-eval", "0.4.13")
            assert row.provenance == "tiny"
            assert row.standard_error is not None
            expected = math.sqrt(row.value * (1 - row.value) / (samples - 1))
            assert row.standard_error == pytest.approx(expected, abs=1e-6)
    assert {row.sweep_id for row in evaluated.sweep.accuracy} == {evaluated.sweep.sweep_id}
    assert {row.sweep_id for row in evaluated.pruned} == {None}


def test_the_model_has_learnt_its_tasks_and_half_of_its_experts_are_not_enough_for_them(evaluated: Evaluated) -> None:
    whole, pruned = mean(evaluated.sweep.accuracy), mean(evaluated.pruned)
    assert whole.value >= 0.9
    assert whole.low is not None
    assert pruned.high is not None
    assert pruned.high < whole.low


def test_nothing_of_lm_eval_is_left(evaluated: Evaluated) -> None:
    assert list(evaluated.temporary.glob("loadgen-accuracy-*")) == []
    commands = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(evaluated.temporary) in command] == []
