"""Accuracy by lm-eval on a small model that has learnt its tasks, served by a real vLLM: with its two experts, and with one."""

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

from loadgen.servers.launcher.stop import stop
from loadgen.store.repository import Store
from loadgen.store.rows import AccuracyRow
from loadgen.study.accuracy import MeanAccuracy, by_task, mean_accuracy
from tests.real.command import loadgen_command
from tests.real.vllm_server import ROOT, skip_without_vllm

pytestmark = pytest.mark.vllm

PROFILE = "trained-mixtral"
TASKS = ("copy", "sort", "find_choice")
SAMPLES = 60
LOAD = ("--concurrency", "2", "--requests", "8", "--endpoint", "chat", "--input-tokens", "16", "--output-tokens", "8")
ONE_EXPERT = "hf-overrides.num_experts_per_tok=1"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What two evaluations left in one database."""

    temporary: Path  # where its processes put their files
    sweep_id: str
    whole: tuple[AccuracyRow, ...]
    top_1: tuple[AccuracyRow, ...]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluated]:
    """A sweep with an evaluation, and an evaluation by itself of the same model with one expert for each token."""
    skip_without_vllm()
    if not (ROOT / ".venv-lm-eval/bin/lm_eval").exists():
        pytest.skip("lm-eval is not installed: run `make accuracy`")
    folder = tmp_path_factory.mktemp("accuracy")
    temporary = Path(tempfile.mkdtemp(prefix="acc"))  # short: vLLM's sockets are in it
    names = ",".join(TASKS)
    spec = folder / "sweep.yaml"
    spec.write_text(f"accuracy: {{tasks: [{names}], limit: {SAMPLES}}}\n")
    try:
        swept = run(folder, temporary, "sweep", str(spec), "--profile", PROFILE, *LOAD, "--json")
        assert swept.returncode in (0, 3), swept.stderr  # whether a small run is valid is not the question here
        sweep_id = json.loads(swept.stdout)["sweep_id"]
        changed = ("--profile", PROFILE, "--argument", ONE_EXPERT)
        alone = run(folder, temporary, "accuracy", *changed, "--tasks", names, "--limit", str(SAMPLES), "--json")
        assert alone.returncode == 0, alone.stderr
        with Store.open(database(folder), read_only=True) as store:
            top_1 = store.evaluation(json.loads(alone.stdout)["evaluation_id"]).rows
            yield Evaluated(temporary, sweep_id, store.sweep(sweep_id).accuracy, top_1)
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
    return mean_accuracy(by_task(rows), TASKS)


def test_every_task_has_its_value_and_lm_evals_standard_error(evaluated: Evaluated) -> None:
    metrics = {"copy": "exact_match", "sort": "exact_match", "find_choice": "acc"}
    for rows in (evaluated.whole, evaluated.top_1):
        assert {row.task: row.metric for row in rows} == metrics
        for row in rows:
            assert (row.samples, row.shots, row.tool, row.tool_version) == (SAMPLES, 0, "lm-eval", "0.4.13")
            assert row.provenance == "tiny"
            assert row.standard_error is not None
            expected = math.sqrt(row.value * (1 - row.value) / (SAMPLES - 1))
            assert row.standard_error == pytest.approx(expected, abs=1e-6)
    assert {row.sweep_id for row in evaluated.whole} == {evaluated.sweep_id}
    assert {row.sweep_id for row in evaluated.top_1} == {None}


def test_the_model_has_learnt_its_tasks_and_one_expert_is_not_enough_for_them(evaluated: Evaluated) -> None:
    whole, top_1 = mean(evaluated.whole), mean(evaluated.top_1)
    assert whole.value >= 0.9
    assert whole.low is not None
    assert top_1.high is not None
    assert top_1.high < whole.low


def test_nothing_of_lm_eval_is_left(evaluated: Evaluated) -> None:
    assert list(evaluated.temporary.glob("loadgen-accuracy-*")) == []
    commands = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(evaluated.temporary) in command] == []
