"""Accuracy by lm-eval on a small model that has learnt its tasks, served by a real vLLM: in Figure 17's study, as it was trained, with one
expert a token, and with half of its experts.
"""

import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import httpx2
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
STUDY_SAMPLES, PRUNED_SAMPLES = 20, 25
SAMPLES = 80
"""Questions of each task for the servers as trained and with one expert a token. Their means over five tasks, 0.99 and 0.89, then have
standard errors of 0.01 and 0.015: the fall of 0.1 is 5.5 times that of the difference."""

MARGIN = 3  # standard errors of the difference by which accuracy has to fall
Z_95 = 1.96
CHOICE = "find_choice"
HALF = f"{PROFILE}-inter50"
TOP_1 = ("--argument", "hf-overrides.num_experts_per_tok=1")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What the evaluations left in one database."""

    temporary: Path  # where its processes put their files
    sweep: SweepRow  # of the study
    whole: tuple[AccuracyRow, ...]
    chat: dict[str, Any]  # the reply of the whole model to one message
    top_1: tuple[AccuracyRow, ...]
    pruned: tuple[AccuracyRow, ...]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluated]:
    """The study on its Mixtral, and evaluations of three running servers of the same model."""
    skip_without_vllm()
    if not (ROOT / ".venv-lm-eval/bin/lm_eval").exists():
        pytest.skip("lm-eval is not installed: run `make accuracy`")
    folder = tmp_path_factory.mktemp("accuracy")
    temporary = Path(tempfile.mkdtemp(prefix="acc"))  # short: vLLM's sockets are in it
    try:
        studied = run(folder, temporary, *STUDY)
        assert studied.returncode in (0, 3), studied.stderr  # whether a small run is valid is not the question here
        with server(folder, temporary) as port:
            whole = evaluation(folder, temporary, "built-in", SAMPLES)
            chat = replied(port)
        with server(folder, temporary, *TOP_1):
            top_1 = evaluation(folder, temporary, "built-in", SAMPLES)
        target = folder / "trained_models" / HALF  # a folder of that name holds small models
        target.parent.mkdir()
        half = run(folder, temporary, "moe", "prune", f"trained_models/{PROFILE}", "-o", str(target), "--inter", "0.5")
        assert half.returncode == 0, half.stderr
        with server(folder, temporary, "--model", str(target)):
            pruned = evaluation(folder, temporary, f"built-in,{CHOICE}", PRUNED_SAMPLES)
        with Store.open(database(folder), read_only=True) as store:
            (sweep,) = store.sweeps()
            rows = [store.evaluation(each).rows for each in (whole, top_1, pruned)]
        yield Evaluated(temporary, sweep, rows[0], chat, rows[1], rows[2])
    finally:
        stop(folder)
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def server(folder: Path, temporary: Path, *up: str) -> Iterator[int]:
    """The port of a server of the profile that is started with the flags `up`."""
    port = free_port()
    started = run(folder, temporary, "serve", "up", PROFILE, *up, "--port", str(port))
    assert started.returncode == 0, started.stderr
    yield port
    stop(folder)


def evaluation(folder: Path, temporary: Path, tasks: str, samples: int) -> str:
    """Evaluate the running server; the id of the evaluation."""
    done = run(folder, temporary, "accuracy", "--tasks", tasks, "--limit", str(samples), "--json")
    assert done.returncode == 0, done.stderr
    evaluation_id: str = json.loads(done.stdout)["evaluation_id"]
    return evaluation_id


def replied(port: int) -> dict[str, Any]:
    """The one choice of the reply to a question in a chat."""
    body = {"model": PROFILE, "messages": [{"role": "user", "content": "sort 4721="}], "max_tokens": 12}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    reply = httpx2.post(url, json=body | {"temperature": 0}, timeout=60).raise_for_status().json()
    choice: dict[str, Any] = reply["choices"][0]
    return choice


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
    for rows, samples in ((evaluated.sweep.accuracy, STUDY_SAMPLES), (evaluated.pruned, PRUNED_SAMPLES)):
        for row in rows:
            assert (row.samples, row.shots, row.tool, row.tool_version) == (samples, 0, "lm-eval", "0.4.13")
            assert row.provenance == "tiny"
            assert row.standard_error is not None
            expected = math.sqrt(row.value * (1 - row.value) / (samples - 1))
            assert row.standard_error == pytest.approx(expected, abs=1e-6)
    assert {row.sweep_id for row in evaluated.sweep.accuracy} == {evaluated.sweep.sweep_id}
    assert {row.sweep_id for row in evaluated.pruned} == {None}


def test_the_model_has_learnt_its_tasks(evaluated: Evaluated) -> None:
    for rows in (evaluated.sweep.accuracy, evaluated.whole):
        assert mean(rows).value >= 0.9
    stated = json.loads((ROOT / "trained_models" / PROFILE / "training.json").read_text())["scores"]
    assert mean(evaluated.whole).value == pytest.approx(fmean(stated.values()), abs=0.05)
    assert evaluated.chat["message"]["content"] == "1247"
    assert evaluated.chat["finish_reason"] == "stop"


@pytest.mark.parametrize("name", ["top_1", "pruned"])
def test_fewer_experts_cost_accuracy(evaluated: Evaluated, name: str) -> None:
    """With one expert a token, and with half of the experts. The same questions are asked of all, so that the errors are at most these."""
    whole, fewer = mean(evaluated.whole), mean(getattr(evaluated, name))
    assert whole.value - fewer.value > MARGIN * math.hypot(standard_error(whole), standard_error(fewer)), (whole, fewer)


def standard_error(found: MeanAccuracy) -> float:
    """From the lower end of the interval, since the upper one may be cut off at 1; near 0 from the upper one."""
    assert found.low is not None
    assert found.high is not None
    return max(found.value - found.low, found.high - found.value) / Z_95


def test_nothing_of_lm_eval_is_left(evaluated: Evaluated) -> None:
    assert list(evaluated.temporary.glob("loadgen-accuracy-*")) == []
    commands = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(evaluated.temporary) in command] == []
