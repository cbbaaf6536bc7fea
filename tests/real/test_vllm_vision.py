"""A small model that answers questions about images, in a real vLLM: in Figure 18's study, and with half of its experts."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import psutil
import pytest

from loadgen.analysis.document.run import RunDocument
from loadgen.load.image_questions import IMAGE_TASKS
from loadgen.servers.launcher.stop import stop
from loadgen.store.repository import Store
from loadgen.store.rows import AccuracyRow, SweepRow
from tests.real.command import loadgen_command
from tests.real.vllm_server import ROOT, free_port, skip_without_vllm

pytestmark = pytest.mark.vllm

PROFILE, ONE_EXPERT = "trained-vision", "trained-vision-top1"
STUDY = ("study", "run", "fig18", "--scale", "tiny", "--repeats", "1", "--only", "load=wave", "--only", "batch=64")
HALF = f"{PROFILE}-inter50"
PRUNED = ("--inter", "0.5", "--rule", "random")  # by norm its best half stays, which is enough
SAMPLES = 40
VLM_EVAL = f"{sys.executable} tests/experiments/accuracy/vlm_eval_command.py --model {{model}} --work-dir {{folder}}"
LOAD = (
    "--wave",
    "4",
    "--input-tokens",
    "32",
    "--output-tokens",
    "16",
    "--image",
    "64x64",
    "--endpoint",
    "chat",
    "--experts",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the commands left in one database, and what those without an exit code 0 said."""

    sweeps: dict[str, SweepRow]  # of the study, by profile
    runs: list[RunDocument]  # of the study
    half: tuple[AccuracyRow, ...]
    foreign: tuple[AccuracyRow, ...]  # by a command in the place of VLMEvalKit
    refused: "subprocess.CompletedProcess[str]"
    counted: RunDocument
    page: str  # the study's


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """The study on both of its models, and a running server of the same model with half of its experts."""
    skip_without_vllm()
    folder = tmp_path_factory.mktemp("vision")
    temporary = Path(tempfile.mkdtemp(prefix="vis"))  # short: vLLM's sockets are in it
    half = folder / "trained_models" / HALF  # a folder of that name holds small models
    half.parent.mkdir()

    def run(*arguments: str, codes: tuple[int, ...] = (0,)) -> "subprocess.CompletedProcess[str]":
        environment = {**psutil.Process().environ(), "LOADGEN_STATE_DIR": str(folder), "TMPDIR": str(temporary)}
        environment["LOADGEN_DB"] = database(folder)
        ended = subprocess.run(
            loadgen_command(*arguments),
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode in codes, ended.stderr
        return ended

    def evaluated(*arguments: str) -> str:
        return str(json.loads(run("accuracy", *arguments, "--json").stdout)["evaluation_id"])

    try:
        run(*STUDY, codes=(0, 3))  # whether so small a run is valid is not the question here
        run("study", "report", "fig18", "-o", str(folder / "fig18.html"))
        run("moe", "prune", f"trained_models/{PROFILE}", "-o", str(half), *PRUNED)
        profile = folder / f"{HALF}.yaml"
        profile.write_text(
            f"extends: {PROFILE}\ndescription: half of its experts\nmodel: {half}\nplugins: [expert-counts]\n"
        )
        run("serve", "up", str(profile), "--port", str(free_port()))
        pruned = evaluated("--tasks", "images", "--limit", str(SAMPLES))
        foreign = evaluated("--vlmevalkit", f"{VLM_EVAL} --data image_colour")
        refused = run("accuracy", "--vlmevalkit", f"{VLM_EVAL} --data MME", codes=(2,))
        counted = json.loads(run("run", *LOAD, "--json", codes=(0, 3)).stdout)
        with Store.open(database(folder), read_only=True) as store:
            sweeps = {str(row.server.get("profile")): row for row in store.sweeps() if row.group_id}
            runs = [run for row in sweeps.values() for run in store.runs(row.sweep_id)]
            rows = [store.evaluation(each).rows for each in (pruned, foreign)]
        page = (folder / "fig18.html").read_text()
        yield Measured(sweeps, runs, rows[0], rows[1], refused, counted, page)
    finally:
        stop(folder)
        shutil.rmtree(temporary, ignore_errors=True)


def database(folder: Path) -> str:
    return f"sqlite:///{folder / 'loadgen.db'}"


def by_task(rows: tuple[AccuracyRow, ...]) -> dict[str, float]:
    return {row.task: row.value for row in rows}


def test_the_study_evaluates_both_models_on_images_and_measures_their_speed(measured: Measured) -> None:
    assert measured.sweeps.keys() == {PROFILE, ONE_EXPERT}
    for sweep in measured.sweeps.values():
        assert by_task(sweep.accuracy).keys() == IMAGE_TASKS.keys()
        assert {(row.provenance, row.samples) for row in sweep.accuracy} == {("tiny", 20)}
    for run in measured.runs:
        assert run["outcomes"]["ok"] == run["outcomes"]["planned"] > 0
        assert run["spec"]["workload"].get("images") is not None
    assert measured.page.count("TINY MODEL") > 0


def test_the_model_has_learnt_its_tasks_and_loses_them_with_half_of_its_experts(measured: Measured) -> None:
    whole = fmean(by_task(measured.sweeps[PROFILE].accuracy).values())
    half = fmean(by_task(measured.half).values())
    assert whole >= 0.9
    assert half < whole - 0.1


def test_a_command_of_vlmevalkits_shape_is_run_against_the_server(measured: Measured) -> None:
    (row,) = measured.foreign
    assert (row.task, row.metric, row.standard_error) == ("image_colour", "Overall", None)
    assert row.value == pytest.approx(by_task(measured.half)["image_colour"], abs=0.5)
    *progress, said = measured.refused.stderr.strip().splitlines()
    assert len(progress) <= 1
    assert "failed (exit code 1: there is no data set MME)" in said


def test_experts_are_counted_over_images_too(measured: Measured) -> None:
    experts: Any = measured.counted.get("experts")
    assert measured.counted.get("experts_failure") is None
    assert experts is not None
    assert {len(layer["counts"]) for layer in experts["layers"]} == {4}
    tokens = measured.counted["tokens"]
    assert tokens["prompt"] is not None
    assert tokens["output"] is not None
    assert experts["tokens"] == tokens["prompt"] + tokens["output"] - measured.counted["outcomes"]["ok"]
